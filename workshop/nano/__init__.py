"""How the bundled model ``qwen2-vl-nano`` was trained, from nothing, on synthetic slips (see README.md)."""
