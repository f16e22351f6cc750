"""A control log of any length, as bytes: what a system of some years has on it, in the proportions of ordinary use.

Of a hundred records about twenty are announcements, four are exact changes of a route with all that belongs to them
(command, two workers ready, proposal, two promises), the rest are reports of two workers, and now and then a claim.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from immutables import Map

from model_store.core.commands import EXACT, ChangeRoute, Command, ProposeChange, RegisterVersion
from model_store.core.control_records import (
    ChangeReady,
    CutsPromised,
    ModelReport,
    ModelState,
    PartitionOffset,
    PartitionsClaimed,
    RouteApplied,
    WorkerStarted,
)
from model_store.core.descriptor import Descriptor, FeatureBinding, GoldenRow
from model_store.core.lanes import Lane
from model_store.core.plans import plain_plan
from model_store.core.signature import FeatureSlot, Signature, TensorSpec
from model_store.core.wire import (
    EncodedRecord,
    encode_command,
    encode_descriptor,
    encode_model_report,
    encode_worker_record,
    encode_worker_started,
)

GROUP, TOPIC = "sluice", "records"
WORKERS = ("worker-0", "worker-1")
PARTITIONS = 4
FEATURES = tuple(f"feature_{number}" for number in range(11))

_SIGNATURE = Signature(
    (TensorSpec("input", "float64", (-1, 11)),),
    (TensorSpec("score", "float64", (-1,)),),
    tuple(FeatureSlot(name) for name in FEATURES),
)


class Logged(NamedTuple):
    """One record as it is on the log."""

    offset: int
    timestamp_ms: int
    record: EncodedRecord


def descriptor(model: str, data_type: str, number: int, location: str = "") -> Descriptor:
    """An announcement as a careful publisher writes it: digest, mapping, one golden row."""
    return Descriptor(
        model, data_type, "PMML", description=f"build {number}",
        location=location or f"https://models.example.com/{model}/{number}.pmml", sha256=bytes(32),
        feature_mapping=tuple(FeatureBinding(name, name) for name in FEATURES),
        golden_rows=(GoldenRow(Map(dict.fromkeys(FEATURES, 1.0)), outputs=Map({"score": 0.5})),),
        use_case="size", publisher="benchmark", request_id=f"request-{model}-{number}",
    )  # fmt: skip


def control_log(count: int, models: int = 100) -> list[Logged]:
    """The first `count` records of such a log."""
    found: list[Logged] = []
    for record in _records(models):
        found.append(Logged(len(found), 1_700_000_000_000 + len(found) * 60_000, record))
        if len(found) == count:
            break
    return found


def _records(models: int) -> Iterator[EncodedRecord]:
    """Endless. The offset of a record is its place, which changes and reports refer to."""
    at = 0
    for worker in WORKERS:
        yield encode_worker_started(WorkerStarted(worker, "epoch-0", "host", 1, "broadcast", GROUP))
        at += 1
    yield from _claims(0)
    at += len(WORKERS)
    versions: dict[str, int] = {}
    number = 0
    while True:
        number += 1
        name = f"model-{number % models}"
        versions[name] = versions.get(name, 0) + 1
        if number % 500 == 0:
            yield from _claims(number)
            at += len(WORKERS)
        announced = at
        if number % 5:
            yield encode_descriptor(descriptor(name, name, number), None)
            at += 1
            for place, worker in enumerate(WORKERS):
                since = tuple(PartitionOffset(TOPIC, each, number * 10) for each in _own(place))
                yield encode_worker_record(RouteApplied(worker, announced, name, _claim(place, number), GROUP, since))
                yield _report(worker, announced, name, versions[name], since)
                at += 2
        else:
            body = RegisterVersion(descriptor(name, name, number))
            yield encode_command(Command(f"register-{number}", "ann", "", body))
            change = at + 1
            plan = plain_plan(name, versions[name])
            yield encode_command(Command(f"change-{number}", "ann", "", ChangeRoute(name, plan, EXACT, 60_000)))
            for worker in WORKERS:
                yield encode_worker_record(ChangeReady(worker, "epoch-0", change))
            lanes = tuple(Lane(GROUP, TOPIC, each) for each in range(PARTITIONS))
            yield encode_command(Command(f"propose-{number}", "sluice", "", ProposeChange(change, lanes)))
            at += 5
            for place, worker in enumerate(WORKERS):
                cuts = tuple(PartitionOffset(TOPIC, each, number * 10) for each in _own(place))
                yield encode_worker_record(CutsPromised(worker, change, _claim(place, number), GROUP, cuts))
                yield _report(worker, announced, name, versions[name], cuts)
                at += 2


def _own(place: int) -> range:
    return range(place, PARTITIONS, len(WORKERS))


def _claim(place: int, number: int) -> str:
    return f"claim-{place}-{number // 500 * 500}"


def _claims(number: int) -> Iterator[EncodedRecord]:
    for place, worker in enumerate(WORKERS):
        partitions = tuple(PartitionOffset(TOPIC, each, number * 10) for each in _own(place))
        yield encode_worker_record(
            PartitionsClaimed(worker, "epoch-0", _claim(place, number), GROUP, partitions, number // 500 + 1)
        )


def _report(worker: str, offset: int, name: str, version: int, since: tuple[PartitionOffset, ...]) -> EncodedRecord:
    return encode_model_report(
        ModelReport(
            worker, "epoch-0", offset, name, version, name, ModelState.LIVE, since=since, at_ms=1_700_000_000_000,
            load_ms=12.5, swap_ms=0.1, signature=_SIGNATURE, sha256=bytes(32), engine="pmml4s", artifact_bytes=10_000,
        )
    )  # fmt: skip
