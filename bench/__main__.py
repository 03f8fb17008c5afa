"""Begins ``bench`` and ``python -m bench``, which a person may stop before all of it is imported."""

import sys

_INTERRUPTED = 130
"""As in ``bench.errors``, from which nothing is imported here: that takes time, too."""


def main() -> None:
    """Run the command line."""
    try:
        from bench.cli import main as run_command
    except KeyboardInterrupt:
        sys.stderr.write("error: the program was interrupted\n")
        sys.exit(_INTERRUPTED)
    run_command()


if __name__ == "__main__":
    main()
