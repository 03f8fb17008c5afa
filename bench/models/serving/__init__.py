"""Starts an engine as a server of this machine, and asks it as any endpoint is asked: vLLM, SGLang.

The engine is never imported: it lives in an environment, an image or a program of its own. In the order of
the work: ``choice`` (which models), ``settings`` (what is to be started), ``engines`` (its command line),
``launch`` (the whole command), ``process`` and ``supervisor`` (it runs), ``counters`` (what it says of
itself), ``server`` (the model, which ``bench.models.openai`` asks).
"""
