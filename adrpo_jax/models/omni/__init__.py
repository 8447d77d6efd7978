"""Qwen2.5-Omni's thinker: the audio tower and a decoder, text out."""
