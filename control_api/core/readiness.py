"""Whether the owners of all lanes may be asked for their cuts: what an exact change waits for before it is proposed.

Every worker that lives and reads a stream has to have loaded what the change needs, in its present life; every consumer
group has to be at rest; every partition of its data topics has to be somebody's. A group without a live worker takes no
part: its partitions change where their next owner begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control_api.ports import Membership
from model_store.core.catalogue import Catalogue
from model_store.core.changes import Change
from model_store.core.lanes import Lane
from model_store.core.workers import Worker

Partitions = Mapping[str, int]
"""Topic -> number of partitions; 0: there is no such topic; not in it: not known now."""

_NAMED = 5
"""So many of a kind are named in a sentence; the others are counted."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What one change waits for.

    Attributes:
        unready: Live workers that have not said that they are ready.
        waits: Parts of sentences ("worker-2 has not loaded it"); empty: the change may be proposed.
        lanes: That would have to promise, as far as they are known.
    """

    unready: tuple[str, ...]
    waits: tuple[str, ...]
    lanes: tuple[Lane, ...]


def readiness(catalogue: Catalogue, change: Change, membership: Membership, partitions: Partitions) -> Readiness:
    """What a prepared change waits for.

    Args:
        membership: Who lives; nothing is ready while it is not current.
        partitions: Of all data topics.
    """
    readers = _readers(catalogue, membership)
    if not membership.is_current:
        return Readiness((), ("Kafka has not said which workers live",), ())
    if not readers:
        return Readiness((), ("no worker has come",), ())
    unready = tuple(name for name, worker in readers.items() if worker is None or not is_ready(change, worker))
    groups = {membership.members[name].group for name in readers}
    waits = [*_not_loaded(unready)]
    waits += [f"group {group} has not settled" for group in sorted(groups - membership.stable)]
    topics = _topics(readers)
    unknown = sorted({topic for _, topic in topics if topic not in partitions})
    waits += [f"Kafka has not said how many partitions {topic} has" for topic in unknown]
    lanes = tuple(Lane(group, topic, number) for group, topic in topics for number in range(partitions.get(topic, 0)))
    held = {
        Lane(membership.members[name].group, *position)
        for name in readers
        for position in membership.members[name].partitions
    }
    orphans = [lane for lane in lanes if lane not in held]
    if orphans and groups <= membership.stable:
        waits.append(f"no worker has been given {lane_names(orphans)}")
    return Readiness(unready, tuple(waits), lanes)


def is_ready(change: Change, worker: Worker) -> bool:
    """The present life of a worker has said that it is ready."""
    return change.ready.get(worker.worker) == worker.epoch


def data_topics(catalogue: Catalogue, membership: Membership) -> list[str]:
    """The data topics of the streams that live workers read."""
    return sorted({topic for _, topic in _topics(_readers(catalogue, membership))})


def groups_of(catalogue: Catalogue) -> list[str]:
    """The consumer groups of all workers that the log knows."""
    workers = (catalogue.workers.get(name) for name in catalogue.workers)
    return sorted({w.started.group for w in workers if w is not None and w.started is not None and w.started.group})


def lane_names(lanes: list[Lane]) -> str:
    """Lanes for people: `partition 0 of wine`; `partitions 0, 2 of wine`."""
    by_topic: dict[str, list[int]] = {}
    for lane in sorted(lanes):
        by_topic.setdefault(lane.topic, []).append(lane.partition)
    return " and ".join(
        f"partition{'s' if len(set(numbers)) > 1 else ''} {_listed([str(n) for n in sorted(set(numbers))])} of {topic}"
        for topic, numbers in by_topic.items()
    )


def _readers(catalogue: Catalogue, membership: Membership) -> dict[str, Worker | None]:
    """Live workers that read a stream; one that has not yet said what it reads may read any."""
    found = {name: catalogue.workers.get(name) for name in sorted(membership.members)}
    return {
        name: worker
        for name, worker in found.items()
        if worker is None or worker.started is None or worker.started.streams
    }


def _topics(readers: Mapping[str, Worker | None]) -> list[tuple[str, str]]:
    """Group and data topic of each stream."""
    started = [worker.started for worker in readers.values() if worker is not None and worker.started is not None]
    return sorted({(one.group, stream.data_topic) for one in started for stream in one.streams})


def _not_loaded(workers: tuple[str, ...]) -> list[str]:
    if not workers:
        return []
    return [f"{_listed(list(workers))} {'has' if len(workers) == 1 else 'have'} not loaded it"]


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
