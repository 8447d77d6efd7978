"""Decoder-only language models: the network, its cache, its files."""
