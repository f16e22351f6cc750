"""The one Kafka of a run: its own, started for it, unless it is given one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sluice.stack import jars
from sluice.stack.kafka import Broker, RunningBroker, new_cluster_id
from sluice.stack.ports import free_port


@contextmanager
def broker(folder: Path, bootstrap: str | None) -> Iterator[str]:
    """`host:port` of a broker that answers; an own one compiles well (not quickly) and is stopped when the block ends."""
    if bootstrap is not None:
        yield bootstrap
        return
    jars.fetch(jars.jar_folder(), jars.locked_jars())
    port = free_port()
    running = RunningBroker(
        Broker(folder / "kafka", port, free_port(avoid=[port]), new_cluster_id(), heap_megabytes=1024)
    )
    running.start()
    try:
        yield running.bootstrap
    finally:
        running.stop()
