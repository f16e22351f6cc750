"""Writes the worker's settings file from the environment of the contract, and becomes the worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from sluice.demo.wine import DESCRIPTOR_SET, MESSAGE


def settings(environment: Mapping[str, str]) -> dict[str, object]:
    """What differs from the defaults: where things are, and that a new group begins with the first record."""
    return {
        "kafka": {"bootstrap": environment["BOOTSTRAP"]},
        "group": environment["GROUP"],
        "worker_id": "worker",  # a stable name, as operations.md says: who starts again ends the dead one's transaction at once
        "control_topic": {"name": environment["CONTROL"]},
        "dead_letter_topic": f"{environment['OUTPUT']}-dead",
        "delivery": environment["DELIVERY"],
        "metrics": {"port": 0},
        "artifacts": {"cache_dir": f"{environment['STATE']}/cache"},
        "streams": [
            {
                "name": "wine",
                "topic": environment["INPUT"],
                "start": "earliest",
                "format": {"type": "protobuf", "message": MESSAGE, "descriptor_set": str(DESCRIPTOR_SET)},
                "route": {"field": "data_type"},
                "results": {"topic": environment["OUTPUT"], "dark_topic": f"{environment['OUTPUT']}-dark"},
            }
        ],
    }


def main() -> None:
    import yaml

    path = Path(os.environ["STATE"]) / "worker.yaml"
    path.write_text(yaml.safe_dump(settings(os.environ)))
    processes = ["--processes", os.environ["PROCESSES"]] if os.environ["PROCESSES"] != "1" else []
    os.execv(sys.executable, [sys.executable, "-m", "serving", "--config", str(path), *processes])


if __name__ == "__main__":
    main()
