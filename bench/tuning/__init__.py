"""``bench tune``: LoRA adapters for Qwen-VL models, trained on a task's training part.

To be read in the order of the data::

    base        which models can be trained, and what an adapter calls its base
    parts       which documents train, which validate, which must not be seen; nothing in two parts
    examples    a document with its questions and answers, as tokens
    packing     documents in a row: each page once, its questions behind it, blind to each other
    memory      what a step will hold, before anything is loaded
    lora        which layers get an adapter
    validation  loss and the task's own metric, by the engine that answers in ``bench run``
    training    transformers' Trainer over packed rows: resuming, early stopping, divergence
    record      the files of an adapter's folder: what was trained, on what, by which command
    curves      losses and scores by step as a picture
    merge       an adapter put into its weights for good

``tune`` joins them.
"""

import importlib.util

from bench.errors import missing_package


def check_packages() -> None:
    """Ask for what training needs, before the modules of this room are imported.

    Raises:
        EnvironmentProblem: naming the command that installs it.
    """
    for package in ("torch", "transformers", "accelerate", "peft"):
        if importlib.util.find_spec(package) is None:
            raise missing_package("bench tune", package, "hf")
