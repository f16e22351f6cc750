"""Which version scored a record, and why: from the control log alone, by the functions that workers score by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control_api.core.outcomes import workers_of
from control_api.core.snapshot import Snapshot
from control_api.schemas.decisions import Decision
from control_api.schemas.plans import RuleShape
from model_store.core.catalogue import Catalogue
from model_store.core.control_records import StreamDeclared
from model_store.core.lanes import Lane
from model_store.core.plans import Target
from model_store.core.routes import RouteEntry
from model_store.core.timeline import Choice, choice_of, decision


@dataclass(frozen=True, slots=True)
class Read:
    """What is known of a record.

    Attributes:
        key: Its Kafka key; `None` if it has none.
        headers: Its headers, the last of each name.
    """

    key: bytes | None
    headers: Mapping[str, bytes | None]


def streams_reading(snapshot: Snapshot, topic: str) -> dict[str, StreamDeclared]:
    """Consumer group -> the stream by which it reads a topic, of all workers that the log knows."""
    found: dict[str, StreamDeclared] = {}
    for worker in workers_of(snapshot):
        if worker.started is not None and worker.started.group:
            for stream in worker.started.streams:
                if stream.data_topic == topic:
                    found[worker.started.group] = stream
    for lane in snapshot.catalogue.lanes:
        if lane.topic == topic:
            found.setdefault(lane.group, StreamDeclared("", topic, "", "", "", entity=""))
    return dict(sorted(found.items()))


def needs_record(stream: StreamDeclared, data_type: str | None, entity: str | None) -> bool:
    """Whether the record's key or headers would say something that is not known."""
    is_told = stream.route.startswith("constant:") or data_type is not None
    in_record = ("record_key", "header:")
    return (not is_told and stream.route.startswith(in_record)) or (
        entity is None and stream.entity.startswith(in_record)
    )


def data_type_of(stream: StreamDeclared, record: Read | None) -> str | None:
    """The data type by the stream's declaration; `None` where only the record's value can say."""
    kind, _, rest = stream.route.partition(":")
    if kind == "constant":
        return rest
    found = _place(stream.route, record)
    return None if found is None else found.decode(errors="replace")


def entity_of(stream: StreamDeclared, record: Read | None) -> bytes | None:
    """The record's entity, empty if it has none; `None` where it is not known."""
    if record is not None and stream.entity == "record_key" and record.key is None:
        return b""
    return _place(stream.entity, record)


def decisions(
    catalogue: Catalogue, lane: Lane, offset: int, data_type: str | None, entity: bytes | None
) -> list[Decision]:
    """What was decided about a record: one decision, or where its data type is not known one for each route.

    Args:
        catalogue: The state.
        lane: Of the record.
        offset: Of the record.
        data_type: Of the record, where it is known.
        entity: Of the record, where it is known; empty: it has none.
    """
    if data_type is not None:
        choices = [decision(catalogue, lane, offset, data_type, entity)]
    else:
        choices = [choice_of(catalogue, route, lane, offset, entity) for _, route in sorted(catalogue.routes.items())]
    return [_decision(catalogue, lane.group, data_type, choice, entity) for choice in choices if choice is not None]


def _decision(
    catalogue: Catalogue, group: str, data_type: str | None, choice: Choice, entity: bytes | None
) -> Decision:
    entry, plan = choice.entry, choice.plan
    needs_entity = entity is None and bool(plan.slots or plan.pins)
    overruled = any(choice.arm is not None and rule.arm != choice.arm.name for rule in plan.rules)
    arm = None if needs_entity or overruled else choice.arm
    target = arm.target if arm is not None else None
    reason = "arm" if needs_entity and not plan.rules and choice.arm is not None else choice.reason
    return Decision(
        group=group,
        route=choice.key,
        data_type=data_type,
        model=target.model if target is not None else None,
        version=str(target.version) if target is not None else None,
        arm=arm.name if arm is not None else None,
        reason=reason,  # type: ignore[arg-type]  # a `Choice` gives no other
        since_offset=choice.start,
        control_offset=entry.change,
        entry_offset=entry.offset,
        exact=entry.is_exact,
        actor=entry.actor,
        change_reason=entry.reason,
        approved_by=_approved_by(catalogue, target, entry),
        rollout=str(entry.rollout) if entry.rollout is not None else None,
        plan_digest=plan.digest,
        rules=[RuleShape(when=rule.when, arm=rule.arm) for rule in plan.rules],
    )


def _approved_by(catalogue: Catalogue, target: Target | None, entry: RouteEntry) -> list[str]:
    version = catalogue.version(target) if target is not None else None
    return list(entry.approved.get(version.control_offset, ())) if version is not None else []


def _place(where: str, record: Read | None) -> bytes | None:
    kind, _, rest = where.partition(":")
    if record is None:
        return None
    if kind == "record_key":
        return record.key
    return record.headers.get(rest) if kind == "header" else None
