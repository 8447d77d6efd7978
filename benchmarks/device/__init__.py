"""What one accelerator does in twelve minutes, beside PyTorch on the same."""
