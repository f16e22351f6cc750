"""When a worker says that it is ready: not before it has the models of the partitions that it got."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from unittest.mock import AsyncMock, MagicMock

import pytest

from serving import worker as module
from serving.adapters.metrics import MetricsServer
from serving.worker import Worker

PARTITIONS = [("records", 0)]

T = TypeVar("T")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(module, "_READY_ANYWAY_SECONDS", 0.0)
    monkeypatch.setattr(module, "calm_collector", lambda: None)
    monkeypatch.setattr(module, "wait_for_kafka", lambda prepare: {})
    monkeypatch.setattr(Worker, "_announce", lambda self: None)
    worker = Worker(AsyncMock())
    worker.parts = MagicMock()
    worker.parts.metrics = MagicMock(spec=MetricsServer)
    worker.parts.identity.placement = "keyed"
    for waited in ("control_log.start", "control_log.ready.wait", "control_writer.start", "feed.start", "swapper.run"):
        _replace(worker.parts, waited, AsyncMock())
    for waited in ("swapper.settle", "participant.claim"):
        _replace(worker.parts, waited, AsyncMock())
    return worker


def test_a_worker_that_gets_no_partition_is_ready_all_the_same(worker: Worker) -> None:
    asyncio.run(worker._begin())

    assert is_ready(worker)


def test_a_worker_that_loads_the_models_of_its_partitions_is_ready_when_it_has_them(worker: Worker) -> None:
    assert before_and_after_its_models_came(worker, is_ready) == (False, True)


def test_loads_give_way_to_records_from_when_it_is_ready(worker: Worker) -> None:
    assert before_and_after_its_models_came(worker, lambda worker: worker.parts.records_flow.call_count) == (0, 1)  # type: ignore[attr-defined]


def before_and_after_its_models_came(worker: Worker, look: Callable[[Worker], T]) -> tuple[T, T]:
    """What is seen while it loads the models of its partitions, and when it has them and got its partitions once more."""

    async def run() -> tuple[T, T]:
        loaded = asyncio.Event()
        _replace(worker.parts, "swapper.settle", AsyncMock(side_effect=loaded.wait))
        assigned = asyncio.create_task(worker.on_assigned(PARTITIONS))
        await asyncio.sleep(0)
        await worker._begin()
        before = look(worker)
        loaded.set()
        await assigned
        await worker.on_assigned(PARTITIONS)
        await asyncio.get_running_loop().shutdown_default_executor()
        return before, look(worker)

    return asyncio.run(run())


def is_ready(worker: Worker) -> bool:
    """The last that was said."""
    said = [name for name, *_ in worker.parts.metrics.method_calls if name in ("mark_ready", "mark_unready")]  # type: ignore[union-attr]
    return said[-1] == "mark_ready"


def _replace(parts: Any, path: str, what: object) -> None:
    *owners, name = path.split(".")
    for owner in owners:
        parts = getattr(parts, owner)
    setattr(parts, name, what)
