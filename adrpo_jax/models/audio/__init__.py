"""What a model hears: features of a clip and the tower that reads them."""
