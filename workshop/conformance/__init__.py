"""Checks our metrics and statistics against values that reference implementations gave."""
