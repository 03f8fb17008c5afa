"""A document-reading service: a model behind HTTP, with a queue that survives a restart (``bench serve``).

In the order of the data: ``entrance`` (who may ask, and how much), ``api`` and ``chat`` (requests become
questions), ``fetching`` and ``intake`` (pages become files), ``jobs`` (what was accepted, on the disk),
``dispatch`` (what is asked next), ``model_process`` and ``worker`` (the model, in a process of its own),
``answers`` (outputs become replies), ``serve`` (the whole, from start to end).
"""
