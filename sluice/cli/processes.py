"""`sluice worker` and `sluice api`: become another program, with the arguments as they came."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer


def worker(context: typer.Context) -> None:
    """Run a worker: `python -m serving` with the same arguments."""
    _become("serving", context.args)


def api(context: typer.Context) -> None:
    """Run the control API: `python -m control_api` with the same arguments."""
    _become("control_api", context.args)


def _become(module: str, arguments: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
