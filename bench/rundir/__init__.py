"""Keeps a run in a directory: what was asked, what each model answered, and what was measured.

The rooms of the house exchange nothing else. ``bench run`` creates the run directory and holds its lock
(``lock.RunLock``). The processes of a model append outputs and measurements to it, each to files of its
own. Scores and reports read it later and write only what can be made again: ``scores/``, ``pages/`` and
``report.*``. ``store`` lists every file and is the only code that knows them.
"""
