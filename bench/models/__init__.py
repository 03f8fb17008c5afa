"""Models by name, and the backends that answer for them."""

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
