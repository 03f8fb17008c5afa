"""Turns recorded outputs into scores, and compares scores between models and with published ones."""
