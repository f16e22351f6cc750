"""Spark Structured Streaming: see `TUNING.md`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peer import NotRunnableError, Peer
from benchmarks.peers.python import environment
from sluice.stack import jars
from sluice.stack.errors import DownloadError

_LOCK = Path(__file__).with_name("jars.lock")


def _install(folder: Path) -> None:
    environment.install(folder, requirements="spark/requirements.txt")
    try:
        jars.fetch(folder / "jars", jars.parse_lock(_LOCK.read_text()))
    except DownloadError as error:
        raise NotRunnableError(str(error)) from error


def _command(folder: Path) -> Sequence[str]:
    found = jars.parse_lock(_LOCK.read_text())
    paths = [str((folder / "jars" / jar.file_name).resolve()) for jar in found]
    return [*environment.program(folder, "benchmarks.peers.spark.program"), ",".join(paths)]


PEER = Peer(
    name="spark",
    title="Spark Structured Streaming 4.0.0, mapInArrow, hand-made numpy 2.2.6 arithmetic",
    models=("linear", "tree", "forest"),
    install=_install,
    command=_command,
)
