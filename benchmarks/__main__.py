"""`python -m benchmarks`: every system does the same work on the same Kafka in one run.

run      measure (the default): table on standard output, progress on standard error, figures in a file
install  bring what the systems need, each into a folder of its own
list     the systems, and what cannot be used here
report   docs/benchmarks.md and its plots from the committed figures
profile  where the CPU time of the worker goes, stage by stage
pieces   some pieces of the worker by themselves, beside what they took the place of
heavy, size, guard   suites of their own
"""

from __future__ import annotations

import importlib
import os
import sys

COMMANDS = {
    "run": "benchmarks.run",
    "install": "benchmarks.installing",
    "list": "benchmarks.listing",
    "report": "benchmarks.report.__main__",
    "heavy": "benchmarks.heavy.__main__",
    "size": "benchmarks.size.__main__",
    "guard": "benchmarks.guard.__main__",
    "profile": "benchmarks.profile.__main__",
    "pieces": "benchmarks.pieces",
}


def main(arguments: list[str]) -> int:
    """Give the arguments to the command's own `main`; returns the exit status."""
    if arguments[:1] in (["help"], ["-h"], ["--help"]):
        print(__doc__)
        print("`python -m benchmarks run --help` says what there is to choose.")
        return 0
    # Where Python may keep nothing, each start compiles all of a system's libraries anew: not the system's doing.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command, rest = (arguments[0], arguments[1:]) if arguments and arguments[0] in COMMANDS else ("run", arguments)
    try:
        module = importlib.import_module(COMMANDS[command])
    except ModuleNotFoundError as error:
        print(f"`{command}` cannot be run: {error}", file=sys.stderr)
        return 2
    return module.main(rest) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
