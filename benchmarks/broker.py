"""The one Kafka of a run: its own, started for it, unless it is given one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sluice.stack import jars
from sluice.stack.kafka import Broker, RunningBroker, new_cluster_id
from sluice.stack.ports import free_port


@contextmanager
def broker(folder: Path, bootstrap: str | None, quick_compile: bool = False) -> Iterator[str]:
    """`host:port` of a broker that answers; an own one is stopped when the block ends.

    By default it compiles well, as in production. Compiling well takes a core for minutes, a tenth of a second at a time: where
    that core is one of those that are measured, it is most of every delay's tail, and `quick_compile` keeps it out.
    """
    if bootstrap is not None:
        yield bootstrap
        return
    jars.fetch(jars.jar_folder(), jars.locked_jars())
    port = free_port()
    running = RunningBroker(
        Broker(
            folder / "kafka",
            port,
            free_port(avoid=[port]),
            new_cluster_id(),
            heap_megabytes=1024,
            quick_compile=quick_compile,
        )
    )
    running.start()
    try:
        yield running.bootstrap
    finally:
        running.stop()
