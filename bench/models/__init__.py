"""Turns a model's name into a specification, and a specification into a backend that answers questions."""

from bench.models.backends import (
    BACKENDS,
    BackendTraits,
    check_options,
    make_model,
    traits_of,
    with_traits,
)

__all__ = [
    "BACKENDS",
    "BackendTraits",
    "check_options",
    "make_model",
    "traits_of",
    "with_traits",
]
