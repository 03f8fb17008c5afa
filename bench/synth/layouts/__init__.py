"""Lays values out on sheets, with one module for each kind of document; a layout chooses no values."""
