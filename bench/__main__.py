"""Begins ``bench`` and ``python -m bench``, which a person may stop before all of it is imported."""

import sys
from typing import NoReturn

from bench.errors import INTERRUPTED


def main() -> NoReturn:
    """Run the command line."""
    try:
        from bench.cli import main as run_command
    except KeyboardInterrupt:
        sys.stderr.write("error: the program was interrupted\n")
        sys.exit(INTERRUPTED)
    run_command()


if __name__ == "__main__":
    main()
