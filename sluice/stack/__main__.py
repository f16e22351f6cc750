"""The supervisor that `sluice up --detach` leaves behind: `python -m sluice.stack --data FOLDER ...`."""

import argparse
import sys
from pathlib import Path

from sluice.stack.errors import StackError
from sluice.stack.plan import Wanted
from sluice.stack.run import run_stack


def main() -> None:
    """Run the stack; the exit status is 1 if it could not be started."""
    parser = argparse.ArgumentParser(prog="python -m sluice.stack", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kafka")
    parser.add_argument("--redis")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--api-port", type=int)
    given = parser.parse_args()
    wanted = Wanted(given.data.absolute(), given.workers, given.kafka, given.redis, given.config, given.api_port)
    try:
        run_stack(wanted, on_note=lambda note: print(note, flush=True))
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
