"""Trains LoRA adapters for Qwen-VL models on a task's training part, for ``bench tune``.

Read the modules in the order of the data::

    base_model      which models can be trained, and what an adapter calls its base
    parts           which documents train, which validate, and which training must not see
    examples        a document with its questions and answers, as tokens
    packing         documents in a row: each page once, and its questions behind it
    feeding         the pages of a row, read and kept
    memory          how much memory a step will need, before anything is loaded
    lora            which layers get an adapter
    validation      the loss and the task's own metric, with the engine of ``bench run``
    trainer         transformers' Trainer over packed rows: loss, validation, the best checkpoint
    training        a whole training: its schedule, where it continues, how it ends
    adapter_folder  the files of an adapter: what was trained, on what, by which command
    curves          losses and scores by step, as a picture
    merge           an adapter that becomes part of the weights

``tune`` joins them.
"""

from bench.errors import require_package


def check_packages() -> None:
    """Check that the packages for training are installed, before the modules of this room are imported.

    Raises:
        EnvironmentProblem: one is missing; the hint is the command that installs it.
    """
    for package in ("torch", "transformers", "accelerate", "peft"):
        require_package("bench tune", package, "hf")
