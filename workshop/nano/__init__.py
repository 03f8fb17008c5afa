"""Trains the bundled model ``qwen2-vl-nano`` from nothing, on synthetic slips (see README.md)."""
