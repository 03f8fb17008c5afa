"""``bench tune``: LoRA adapters for Qwen-VL models, trained on a task's training part.

To be read in the order of the data::

    parts       which documents train, which validate, which must not be seen; nothing in two parts
    examples    a document with its questions and answers, as tokens
    packing     documents in a row: each page once, its questions behind it, blind to each other
    memory      what a step will hold, before anything is loaded
    lora        which layers get an adapter
    validation  loss and the task's own metric, by the engine that answers in ``bench run``
    training    transformers' Trainer over packed rows: resuming, early stopping, divergence
    record      tune.json: what was trained, on what, by which command
    merge       an adapter put into its weights for good

``tune`` joins them.
"""
