"""From a record of the control log to the events that people and programs follow: what was asked for, and what came of it.

One record may be several events: the promise that completes a change is `cuts-promised` and `change-committed`. Kinds are
words of the domain, so a follower need not know which record type carried them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, assert_never

from control_api.schemas.shape import rfc3339
from model_store.core import commands
from model_store.core.catalogue import Catalogue, LogEntry
from model_store.core.changes import ChangeState
from model_store.core.commands import Command
from model_store.core.control_records import (
    Announced,
    ChangeReady,
    CutsPromised,
    Invalid,
    ModelReport,
    PartitionOffset,
    PartitionsClaimed,
    RouteApplied,
    Snapshot,
    Unknown,
    WorkerStarted,
)
from model_store.core.wire_commands import key_of

Event = tuple[str, dict[str, Any]]
"""Kind and data."""

_ASKED: Final[Mapping[type[commands.CommandBody], str]] = {
    commands.RegisterModel: "model-registered",
    commands.SetPolicy: "policy-set",
    commands.RegisterVersion: "version-registered",
    commands.UpdateVersion: "version-updated",
    commands.SetAlias: "alias-set",
    commands.SetStage: "stage-set",
    commands.Approve: "approval-given",
    commands.ChangeRoute: "route-change-requested",
    commands.ProposeChange: "change-proposed",
    commands.AbortChange: "change-abort-requested",
    commands.StartRollout: "rollout-started",
    commands.SteerRollout: "rollout-steered",
    commands.RequestJob: "job-requested",
    commands.ClaimJob: "job-claimed",
    commands.ReportJob: "job-reported",
}

KINDS: Final = (
    "published", "invalid", "refused", "repeated", *_ASKED.values(),
    "change-committed", "change-aborted", "rollout-moved", "rollout-ended", "partitions-claimed", "change-ready",
    "change-refused", "cuts-promised", "route-applied", "live", "retired", "retrying", "elsewhere", "worker-started",
    "worker-gone", "snapshot", "unknown",
)  # fmt: skip
"""All kinds of events."""


def events_of(entry: LogEntry, before: Catalogue, after: Catalogue) -> list[Event]:
    """The events that a record is, given the catalogue before it and the one that it led to; at least one."""
    place = {"control_offset": entry.offset, "at": rfc3339(max(0, entry.timestamp_ms))}
    kind, data = _record_event(entry, after)
    told = _consequences(before, after)
    if isinstance(entry.record, Announced):  # `published` says that it changed its route.
        told = (event for event in told if event[1].get("change") != entry.offset)
    return [(kind, place | data), *((kind, place | data) for kind, data in told)]


def _record_event(entry: LogEntry, after: Catalogue) -> Event:
    record = entry.record
    match record:
        case Announced(descriptor=d):
            version = after.version_at(entry.offset)
            return "published", {
                "model": d.name,
                "version": str(version.version) if version is not None else None,
                "data_type": d.data_type,
                "type": d.model_type,
                "is_retry": after.announcement_of(entry.offset) != entry.offset,
            }
        case Command():
            return _command_event(entry.offset, record, after)
        case Invalid(reason=reason, name=name, data_type=data_type):
            return "invalid", {"model": name, "data_type": data_type, "reason": reason}
        case WorkerStarted() as started:
            return "worker-started", {"worker": started.worker, "epoch": started.epoch, "host": started.host}
        case ModelReport() as report:
            return _report_event(report)
        case PartitionsClaimed(worker=worker, group=group, partitions=partitions):
            return "partitions-claimed", {"worker": worker, "group": group, "partitions": _places(partitions)}
        case ChangeReady(worker=worker, change=change, problem="", reason=_):
            return "change-ready", {"worker": worker, "change": change}
        case ChangeReady(worker=worker, change=change, problem=problem, reason=reason):
            return "change-refused", {"worker": worker, "change": change, "problem": problem, "reason": reason}
        case CutsPromised(worker=worker, change=change, group=group, cuts=cuts):
            return "cuts-promised", {"worker": worker, "change": change, "group": group, "cuts": _places(cuts)}
        case RouteApplied(worker=worker, change=change, key=key, group=group, since=since):
            return "route-applied", {
                "worker": worker, "change": change, "key": key, "group": group, "since": _places(since)
            }  # fmt: skip
        case Snapshot(schema=schema, state=state):
            return "snapshot", {"schema": schema, "bytes": len(state)}
        case Unknown(record_type=record_type):
            return "unknown", {"record_type": record_type}
        case _:
            assert_never(record)


def _command_event(offset: int, command: Command, after: Catalogue) -> Event:
    body = command.body
    asked = _ASKED[type(body)]
    data: dict[str, Any] = {"key": key_of(command), "actor": command.actor, "reason": command.reason}
    first = after.announcement_of(offset)
    if first != offset:
        return "repeated", data | {"asked": asked, "first": first}
    outcome = after.outcomes.get(offset)
    if outcome is not None and not outcome.is_accepted:
        return "refused", data | {"asked": asked, "problem": outcome.problem, "reason": outcome.reason}
    version = after.versions.get(offset)
    if version is not None:
        data |= {"model": version.model, "version": str(version.version), "data_type": version.data_type}
    return asked, data | _named(body)


def _named(body: commands.CommandBody) -> dict[str, Any]:
    """What a body says that names things: the small members, not plans and reports."""
    match body:
        case commands.SetAlias(model=model, alias=alias, version=version):
            return {"model": model, "alias": alias, "version": str(version) if version else None}
        case commands.SetStage(model=model, version=version, stage=stage):
            return {"model": model, "version": str(version) if version else None, "stage": stage}
        case commands.UpdateVersion(model=model, version=version):
            return {"model": model, "version": str(version)}
        case commands.Approve(model=model, version=version, is_approved=is_approved):
            return {"model": model, "version": str(version), "is_approved": is_approved}
        case commands.RegisterModel(model=model) | commands.SetPolicy(model=model):
            return {"model": model}
        case commands.RegisterVersion(mode=mode):
            return {"mode": mode or "none"}
        case commands.ChangeRoute(mode=mode, rollout=rollout, step=step):
            return {"mode": mode, "rollout": rollout, "step": step if rollout is not None else None}
        case commands.ProposeChange(change=change) | commands.AbortChange(change=change):
            return {"change": change}
        case commands.StartRollout(candidate=candidate):
            return {"candidate": str(candidate)}
        case commands.SteerRollout(rollout=rollout, action=action):
            return {"rollout": rollout, "action": action}
        case commands.RequestJob(kind=kind):
            return {"kind": kind}
        case commands.ClaimJob(job=job, worker=worker):
            return {"job": job, "worker": worker}
        case commands.ReportJob(job=job, state=state, verdict=verdict):
            return {"job": job, "state": state, "verdict": verdict}
        case _:
            assert_never(body)


def _report_event(report: ModelReport) -> Event:
    return report.state.value, {
        "worker": report.worker,
        "model": report.model,
        "version": str(report.model_version),
        "data_type": report.data_type,
        "descriptor_offset": report.control_offset,
        "reason": report.reason,
        "problem": report.problem,
        "load_ms": report.load_ms,
        "swap_ms": report.swap_ms,
    }


def _consequences(before: Catalogue, after: Catalogue) -> Iterator[Event]:
    """What ended or moved at this record."""
    yield from _ended_changes(before, after)
    for rollout_id in _touched_rollouts(before, after):
        was, now = before.rollouts.get(rollout_id), after.rollouts.get(rollout_id)
        if now is None or was is None:
            continue
        data = {"key": now.key, "rollout": now.id, "state": now.state.value, "step": now.step, "reason": now.reason}
        if was.state.is_open and not now.state.is_open:
            yield "rollout-ended", data
        elif (was.state, was.step) != (now.state, now.step):
            yield "rollout-moved", data


def _ended_changes(before: Catalogue, after: Catalogue) -> Iterator[Event]:
    made_here = [after.offset] if after.offset not in before.changes and after.offset in after.changes else []
    for change_id in sorted({*(before.open_changes - after.open_changes), *made_here}):
        change = after.changes.get(change_id)
        if change is None or change.state.is_open:
            continue
        data: dict[str, Any] = {"key": change.key, "change": change.id, "is_exact": change.is_exact}
        if change.state is ChangeState.ABORTED:
            yield "change-aborted", data | {"reason": change.ended_why}
        else:
            yield "change-committed", data | {"partitions": len(change.promises)}


def _touched_rollouts(before: Catalogue, after: Catalogue) -> list[int]:
    if before.rollouts is after.rollouts:
        return []
    routes = [route for key, route in before.routes.items() if route.rollout is not None]
    return [route.rollout for route in routes if route.rollout is not None]


def _places(partitions: tuple[PartitionOffset, ...]) -> list[dict[str, Any]]:
    return [{"topic": at.topic, "partition": at.partition, "offset": at.offset} for at in partitions]
