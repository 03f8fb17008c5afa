"""Decides whether a run may go out: has it got worse than a baseline, beyond the noise and beyond a margin?

In the order of the data: ``baseline`` (what is kept of a run), ``comparable`` (whether two of them were asked
the same), ``rules`` (what is accepted), ``costs`` (speed, memory and failures), ``verdict`` (scores, and the
whole), ``outputs`` (terminal, Markdown, JUnit and JSON).
"""
