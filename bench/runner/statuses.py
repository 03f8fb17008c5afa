"""Exit statuses by which a model's process tells its parent how it ended; 0 means that all is done."""

STOPPED = 130
"""It ended because it was asked to stop."""
FAILED = 3
"""The model could not be loaded, or its work could not be stored; ``failure.json`` says why."""
LOST = 6
"""The GPU can compute nothing more in this process; another process may go on."""
UNFINISHED = 5
"""This process did its part, but another process of the same model did not."""
