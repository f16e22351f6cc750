"""The state of the whole system as a fold over the control log.

Theory of operation. Every worker and every replica of the control API reads the same log from its start and folds it
with `fold`, a pure function; so all of them hold equal catalogues at equal offsets, without a leader or a lock. The
offset of the last folded record is the catalogue's revision. A record at or below it was folded before and changes
nothing, so a reader may be given records twice.

Version numbers are given here, not by publishers: 1 + the highest number the log has for the model name. An invalid
announcement takes none; one of a model whose policy asks for more (approvals, a back-test) is registered and turns no route.
An announcement whose request id was seen before from the same model and data type is a retry
of that request: it takes none either and answers to the same operation. Commands are accepted or refused here as well,
and the outcome is kept by the command's offset (`commands`).

Memory grows with the accepted versions and route changes, which are the point, and with nothing else: requests,
outcomes, rejections, changes and rollouts that are over, workers and the reports of each are bounded, and what was used
longest ago is dropped, at the same record for every reader. All mappings are persistent, so a fold step costs O(log n).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from model_store.core.commands import (
    ABSENT,
    AbortChange,
    Approve,
    ChangeRoute,
    ClaimJob,
    Command,
    CommandBody,
    Outcome,
    Problem,
    ProposeChange,
    RegisterModel,
    RegisterVersion,
    ReportJob,
    RequestJob,
    SetAlias,
    SetPolicy,
    SetStage,
    StartRollout,
    SteerRollout,
    UpdateVersion,
)
from model_store.core.control_records import (
    Announced,
    ChangeReady,
    CutsPromised,
    Invalid,
    ModelReport,
    PartitionsClaimed,
    RouteApplied,
    Snapshot,
    Unknown,
    WorkerStarted,
)
from model_store.core.descriptor import Descriptor
from model_store.core.errors import CommandRefusedError
from model_store.core.fold_jobs import claim_job, report_job, request_job
from model_store.core.fold_rollouts import start_rollout, steer_rollout
from model_store.core.fold_routes import (
    abort,
    announce,
    applied,
    change_route,
    claim,
    promise,
    propose,
    ready,
    turn_to,
)
from model_store.core.fold_versions import (
    add_version,
    approve,
    check_policy,
    register_model,
    register_version,
    set_alias,
    set_policy,
    set_stage,
    update_version,
)
from model_store.core.plans import Target
from model_store.core.replacing import replace
from model_store.core.state import EMPTY, Catalogue, LogEntry
from model_store.core.versions import Rejected
from model_store.core.workers import Reported, Worker

__all__ = ["EMPTY", "Catalogue", "LogEntry", "fold", "fold_all", "revision_of"]


def fold(catalogue: Catalogue, entry: LogEntry) -> Catalogue:
    """The catalogue after one more record of the log. Pure; O(log n); never raises on any record."""
    if entry.offset <= catalogue.offset:
        return catalogue
    after = _folded(catalogue, entry)
    if after is catalogue:
        return replace(catalogue, offset=entry.offset)
    object.__setattr__(after, "offset", entry.offset)  # made in this step, so nobody else has it yet: spares a copy
    return after


def fold_all(catalogue: Catalogue, entries: Iterable[LogEntry]) -> Catalogue:
    """The catalogue after several more records, in the order of the log."""
    for entry in entries:
        catalogue = fold(catalogue, entry)
    return catalogue


def revision_of(catalogue: Catalogue, body: CommandBody) -> int | None:
    """The revision of what a command changes; `ABSENT` if it is not there, `None` if it has no revision."""
    match body:
        case ChangeRoute(key=key) | StartRollout(key=key):
            route = catalogue.routes.get(key)
            return ABSENT if route is None else route.revision
        case RegisterModel(model=name) | SetPolicy(model=name) | SetAlias(model=name) | SetStage(model=name, version=0):
            model = catalogue.models.get(name)
            return ABSENT if model is None or model.is_deleted else model.revision
        case RegisterVersion(descriptor=descriptor):
            model = catalogue.models.get(descriptor.name)
            return ABSENT if model is None else model.revision
        case (
            UpdateVersion(model=name, version=number)
            | SetStage(model=name, version=number)
            | Approve(model=name, version=number)
        ):
            version = catalogue.version(Target(name, number))
            return ABSENT if version is None else max(version.control_offset, catalogue.notes_of(version).revision)
        case SteerRollout(rollout=rollout_id):
            rollout = catalogue.rollouts.get(rollout_id)
            return ABSENT if rollout is None else max([rollout.id, *(told.offset for told in rollout.story[-1:])])
        case _:
            return None


def _folded(catalogue: Catalogue, entry: LogEntry) -> Catalogue:
    record = entry.record
    match record:
        case Announced(descriptor):
            return _announced(catalogue, entry, descriptor)
        case Command():
            return _commanded(catalogue, entry, record)
        case Invalid():
            return _noted(catalogue, entry, record)
        case WorkerStarted():
            return _started(catalogue, entry, record)
        case ModelReport():
            return _reported(catalogue, entry, record)
        case PartitionsClaimed():
            return claim(catalogue, entry, record)
        case ChangeReady():
            return ready(catalogue, entry, record)
        case CutsPromised():
            return promise(catalogue, entry, record)
        case RouteApplied():
            return applied(catalogue, record)
        case Snapshot():
            return catalogue
        case Unknown(record_type):
            count = (catalogue.unknown.get(record_type) or 0) + 1
            return replace(catalogue, unknown=catalogue.unknown.set(record_type, count))
        case _:
            assert_never(record)


def _announced(catalogue: Catalogue, entry: LogEntry, descriptor: Descriptor) -> Catalogue:
    model = catalogue.models.get(descriptor.name)
    if model is not None and model.is_deleted:
        reason = f"model {descriptor.name} was deleted; take another name"
        return _noted(catalogue, entry, Invalid(reason, descriptor.name, descriptor.data_type, descriptor.request_id))
    requests = catalogue.requests
    if descriptor.request_id:
        request = (descriptor.data_type, descriptor.name, descriptor.request_id)
        first = requests.get(request)
        if first is not None:
            return replace(catalogue, retries=catalogue.retries.set(entry.offset, first))
        requests = requests.set(request, entry.offset)
    catalogue, version = add_version(replace(catalogue, requests=requests), entry, descriptor)
    try:
        check_policy(catalogue, version)
    except CommandRefusedError as refused:
        reason = f"{refused}; it is registered, and the route of {descriptor.data_type!r} stays as it is"
        return _noted(catalogue, entry, Invalid(reason, descriptor.name, descriptor.data_type, descriptor.request_id))
    return announce(catalogue, entry, version)


def _commanded(catalogue: Catalogue, entry: LogEntry, command: Command) -> Catalogue:
    first = catalogue.commands.get(command.id) if command.id else None
    if first is not None:
        return replace(catalogue, retries=catalogue.retries.set(entry.offset, first))
    try:
        _check_revision(catalogue, command)
        catalogue, version = _done(catalogue, entry, command)
        outcome = Outcome(entry.offset, version=version)
    except CommandRefusedError as refused:
        problem: Problem = refused.problem  # type: ignore[assignment]  # the fold raises no others
        outcome = Outcome(entry.offset, problem, str(refused))
    if command.id:
        catalogue = replace(catalogue, commands=catalogue.commands.set(command.id, entry.offset))
    return replace(catalogue, outcomes=catalogue.outcomes.set(entry.offset, outcome))


def _check_revision(catalogue: Catalogue, command: Command) -> None:
    expected = command.expected_revision
    if expected is None:
        return
    found = revision_of(catalogue, command.body)
    if found is not None and found != expected:
        was = "that it does not exist" if expected == ABSENT else f"revision {expected}"
        now = "does not exist" if found == ABSENT else f"has revision {found}"
        raise CommandRefusedError("stale", f"this was decided on {was}; by now it {now}")


def _done(catalogue: Catalogue, entry: LogEntry, command: Command) -> tuple[Catalogue, int]:
    """The catalogue after a command, and the version that it made, -1 for none."""
    body = command.body
    match body:
        case RegisterVersion():
            catalogue, version = register_version(catalogue, entry, body)
            if body.mode:
                turn = turn_to(catalogue, version, body.mode, body.deadline_ms)
                catalogue = change_route(catalogue, entry, command, turn)
            return catalogue, version.control_offset
        case RegisterModel():
            return register_model(catalogue, entry, body), -1
        case SetPolicy():
            return set_policy(catalogue, entry, body), -1
        case UpdateVersion():
            return update_version(catalogue, entry, body), -1
        case SetAlias():
            return set_alias(catalogue, entry, body), -1
        case SetStage():
            return set_stage(catalogue, entry, command, body), -1
        case Approve():
            return approve(catalogue, entry, command, body), -1
        case ChangeRoute():
            return change_route(catalogue, entry, command, body), -1
        case ProposeChange():
            return propose(catalogue, entry, body), -1
        case AbortChange():
            return abort(catalogue, entry, command, body), -1
        case StartRollout():
            return start_rollout(catalogue, entry, command, body), -1
        case SteerRollout():
            return steer_rollout(catalogue, entry, command, body), -1
        case RequestJob():
            return request_job(catalogue, entry, command, body), -1
        case ClaimJob():
            return claim_job(catalogue, entry, body), -1
        case ReportJob():
            return report_job(catalogue, entry, body), -1
        case _:
            assert_never(body)


def _noted(catalogue: Catalogue, entry: LogEntry, invalid: Invalid) -> Catalogue:
    """Why what was announced serves nothing."""
    rejected = Rejected(
        entry.offset, entry.timestamp_ms, invalid.reason, invalid.name, invalid.data_type, invalid.request_id
    )
    return replace(catalogue, rejected=catalogue.rejected.set(entry.offset, rejected))


def _started(catalogue: Catalogue, entry: LogEntry, started: WorkerStarted) -> Catalogue:
    worker = catalogue.workers.get(started.worker)
    if worker is None:
        worker = Worker(started.worker, started.epoch, entry.offset, entry.offset, started)
    else:
        worker = worker.restarted(started, entry.offset)
    return replace(catalogue, workers=catalogue.workers.set(worker.worker, worker))


def _reported(catalogue: Catalogue, entry: LogEntry, report: ModelReport) -> Catalogue:
    worker = catalogue.workers.get(report.worker)
    if worker is None:
        worker = Worker(report.worker, report.epoch, entry.offset, entry.offset)
    if report.epoch != worker.epoch:
        return replace(catalogue, stale_reports=catalogue.stale_reports + 1)
    worker = worker.reporting(Reported(report, entry.offset, entry.timestamp_ms))
    return replace(catalogue, workers=catalogue.workers.set(worker.worker, worker))
