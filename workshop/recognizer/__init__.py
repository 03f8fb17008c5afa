"""Trains the recogniser of Cyrillic lines that the package ships (README.md here)."""
