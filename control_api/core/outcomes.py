"""What became of versions on workers: the parts that all views share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from control_api.core.snapshot import Snapshot
from control_api.schemas.models import ModelSignature, Outcome, OutcomeState, Position, Slot, Status, Tensor
from control_api.schemas.shape import rfc3339
from model_store.core.control_records import ModelState
from model_store.core.routes import Route
from model_store.core.signature import Signature, TensorSpec
from model_store.core.versions import ModelVersion
from model_store.core.workers import Reported, Worker

_STATES: Final[Mapping[ModelState, OutcomeState]] = {
    ModelState.LIVE: "live",
    ModelState.REFUSED: "refused",
    ModelState.RETIRED: "retired",
    ModelState.RETRYING: "retrying",
    ModelState.ELSEWHERE: "elsewhere",
}


def workers_of(snapshot: Snapshot) -> Iterator[Worker]:
    """All workers that the log knows, by id."""
    for name in sorted(snapshot.catalogue.workers):
        worker = snapshot.catalogue.workers.get(name)
        if worker is not None:
            yield worker


def reports_on(snapshot: Snapshot, version: ModelVersion) -> list[tuple[Worker, Reported]]:
    """The latest word of each worker on a version."""
    found = ((worker, worker.reports.get(version.control_offset)) for worker in workers_of(snapshot))
    return [(worker, reported) for worker, reported in found if reported is not None]


def status_of(snapshot: Snapshot, version: ModelVersion) -> tuple[Status, str]:
    """MLflow's status of a version, and why: it is ready if it was live anywhere, failed if it was only refused."""
    reports = reports_on(snapshot, version)
    states = {reported.report.state for _, reported in reports}
    if states & {ModelState.LIVE, ModelState.RETIRED}:
        return "READY", ""
    refusals = [(w, r) for w, r in reports if r.report.state is ModelState.REFUSED]
    if refusals:
        return "FAILED_REGISTRATION", _said(refusals)
    retries = [(w, r) for w, r in reports if r.report.state is ModelState.RETRYING]
    if retries:
        return "PENDING_REGISTRATION", _said(retries)
    return "PENDING_REGISTRATION", "no worker has loaded it yet"


def serving_version(snapshot: Snapshot, route: Route) -> ModelVersion | None:
    """The version that most of a route's records are meant to be scored with: its primary.

    After an exact change that is the plan's. After an immediate one, workers change when they are ready: the newest version
    that a live worker scores with; where none does, the newest not refused.
    """
    entry = route.current
    if entry is None or entry.plan is None:
        return None
    if entry.is_exact:
        return snapshot.catalogue.version(entry.plan.primary.target)
    loaded = {
        reported.report.control_offset
        for worker in workers_of(snapshot)
        if worker.worker in snapshot.membership.live and (reported := worker.loaded.get(route.key)) is not None
    }
    live = next((version for version in route.history if version.control_offset in loaded), None)
    if live is not None:
        return live
    return next((v for v in route.history if status_of(snapshot, v)[0] != "FAILED_REGISTRATION"), None)


def outcome_of(
    snapshot: Snapshot, worker: str, reported: Reported | None, state: OutcomeState | None = None
) -> Outcome:
    """A worker's word, or `pending` where it has said nothing; `state` replaces what the report says."""
    is_live = worker in snapshot.membership.live
    if reported is None:
        return Outcome(
            worker=worker, is_live=is_live, state=state or "pending", reason="", problem="", since=[], at=None,
            load_ms=0.0, swap_ms=0.0,
        )  # fmt: skip
    report = reported.report
    return Outcome(
        worker=worker,
        is_live=is_live,
        state=state or _STATES[report.state],
        reason=report.reason,
        problem=report.problem,
        since=[Position(topic=at.topic, partition=at.partition, offset=at.offset) for at in report.since],
        at=rfc3339(report.at_ms or max(0, reported.logged_at_ms)),
        load_ms=report.load_ms,
        swap_ms=report.swap_ms,
    )


def signature_shape(signature: Signature | None) -> ModelSignature | None:
    """A signature as its response shape."""
    if signature is None:
        return None
    return ModelSignature(
        inputs=[_tensor(spec) for spec in signature.inputs],
        outputs=[_tensor(spec) for spec in signature.outputs],
        slots=[Slot(name=slot.name, is_text=slot.is_text, is_optional=slot.is_optional) for slot in signature.slots],
    )


def _tensor(spec: TensorSpec) -> Tensor:
    return Tensor(name=spec.name, dtype=spec.dtype, shape=list(spec.shape), categories=list(spec.categories))


def _said(reports: Iterable[tuple[Worker, Reported]]) -> str:
    """Each different reason once, with the first worker that gave it."""
    reasons: dict[str, str] = {}
    for worker, reported in reports:
        reasons.setdefault(reported.report.reason, worker.worker)
    return "; ".join(f"worker {worker}: {reason}" for reason, worker in reasons.items())
