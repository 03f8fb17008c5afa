"""Exit statuses by which a model's process tells its parent how it ended; 0 is all done."""

STOPPED = 130
"""Ended after a request to stop."""
FAILED = 3
"""The model could not be loaded, or its work could not be stored; ``failure.json`` says why."""
UNFINISHED = 5
"""This process did its part, but another of the same model's did not."""
