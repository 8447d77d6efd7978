"""Hearing: log-mel features, and the audio tower of Qwen2.5-Omni."""
