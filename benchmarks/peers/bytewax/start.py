"""Makes the recovery store where there is none yet, and becomes `python -m bytewax.run`."""

from __future__ import annotations

import os
import sys

from bytewax.recovery import init_db_dir

from benchmarks.peers.python.run import this_run

_SNAPSHOT_SECONDS = 1
_WORKERS = 1


def main() -> None:
    store = this_run().state / "recovery"
    if not store.exists():
        store.mkdir()
        init_db_dir(store, _WORKERS)
    recovery = ["--recovery-directory", str(store), "--backup-interval", "0"]
    command = ["bytewax.run", "benchmarks.peers.bytewax.flow:make_flow()", *recovery]
    os.execv(sys.executable, [sys.executable, "-P", "-m", *command, "--snapshot-interval", str(_SNAPSHOT_SECONDS)])


if __name__ == "__main__":
    main()
