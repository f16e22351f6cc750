"""What the suite tells a program by its environment; `benchmarks/peer.py` has the meaning of each."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one peer.

    Attributes:
        model: None: relay the bytes and score nothing.
        worker: What the results name as their worker.
    """

    bootstrap: str
    input: str
    output: str
    control: str
    group: str
    delivery: str
    model: Path | None
    model_kind: str
    state: Path
    worker: str

    @property
    def is_exactly_once(self) -> bool:
        return self.delivery == "exactly_once"


def this_run() -> Run:
    """Of this process.

    Raises:
        KeyError: One of the variables that every run has is not set; its name.
    """
    env = os.environ
    return Run(
        bootstrap=env["BOOTSTRAP"],
        input=env["INPUT"],
        output=env["OUTPUT"],
        control=env.get("CONTROL", ""),
        group=env["GROUP"],
        delivery=env.get("DELIVERY") or "at_least_once",
        model=Path(env["MODEL"]) if env.get("MODEL") else None,
        model_kind=env.get("MODEL_KIND", ""),
        state=Path(env["STATE"]),
        worker=f"{env['GROUP']}-{os.getpid()}",
    )


def say_ready() -> None:
    """One line: records are being read from now on. Written past a standard output that a framework put in its place."""
    print("ready", file=sys.__stdout__, flush=True)
