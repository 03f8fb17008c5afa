"""Draws SVG pictures without a plotting library, for reports and training curves."""
