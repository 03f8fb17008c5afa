"""Conformance runners: our metrics and statistics against values that reference implementations gave."""
