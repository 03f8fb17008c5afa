"""The run directory: what a run records, who may write it, and how it is read again."""
