"""Folders of Hugging Face, safetensors, tokenizers, adapters."""
