"""Hugging Face folders: configs, safetensors, tokenizers, adapters."""
