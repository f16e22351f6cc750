"""The catalogue's rollouts as response shapes, and what each of them waits for, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from control_api.core.driving import baked_at_ms, retry_at_ms
from control_api.core.guards import Fail, Finding, Pass
from control_api.core.judging import Judged
from control_api.core.operations import operation_id
from control_api.core.readiness import Partitions, readiness
from control_api.core.snapshot import Snapshot
from control_api.schemas import rollouts as shapes
from control_api.schemas.shape import rfc3339
from model_store.core.changes import Change, ChangeState
from model_store.core.commands import StartRollout, Step
from model_store.core.guards import DEFAULT_GUARDS, Guard
from model_store.core.plans import Target
from model_store.core.rollouts import BACK, Rollout, RolloutState


def rollout_asked(key: str, candidate: Target, given: shapes.RolloutGiven) -> StartRollout:
    """The command of a request.

    Raises:
        ValueError: A guard makes no sense; the message says which.
    """
    steps = tuple(Step(round(step.weight * 100), step.bake_seconds) for step in given.steps)
    guards: tuple[Guard, ...] = DEFAULT_GUARDS
    if given.guards is not None:
        guards = tuple(Guard(**guard.model_dump()) for guard in given.guards)
    return StartRollout(key, candidate, steps, guards, round(given.deadline_seconds * 1000))


def revision(rollout: Rollout) -> int:
    """Control offset of the last decision about it."""
    return max([rollout.id, *(told.offset for told in rollout.story[-1:])])


def rollout_view(
    snapshot: Snapshot, rollout: Rollout, judged: Judged | None, now_ms: int, partitions: Partitions | None = None
) -> shapes.Rollout:
    """One rollout.

    Args:
        judged: The latest evaluation of its guards.
        now_ms: Milliseconds since 1970 UTC.
        partitions: Of the data topics, where they are known.
    """
    latest = judged if judged is not None and judged.is_of(rollout) else None
    change = _change_of(snapshot, rollout)
    first = rollout.story[0]
    return shapes.Rollout(
        id=str(rollout.id),
        operation=operation_id(rollout.id),
        key=rollout.key,
        candidate=_target(rollout.candidate),
        baseline=_target(rollout.base.primary.target),
        state=rollout.state.value,
        step=rollout.step + 1,
        steps=[shapes.RolloutStep(weight=step.weight / 100, bake_seconds=step.bake_seconds) for step in rollout.steps],
        since=rfc3339(max(0, rollout.since_ms)),
        is_promoted=rollout.is_promoted,
        next=waits_for(snapshot, rollout, latest, now_ms, partitions or {}),
        change=operation_id(change.id) if change is not None else None,
        guards=[_guard(rollout, number, latest) for number in range(len(rollout.guards))],
        story=[
            shapes.Told(
                at=rfc3339(max(0, told.at_ms)),
                control_offset=told.offset,
                actor=told.actor,
                action=told.action,
                reason=told.reason,
                evidence=_evidence(told.evidence),
            )
            for told in rollout.story
        ],
        actor=first.actor,
        reason=first.reason,
        created_at=rfc3339(max(0, first.at_ms)),
        revision=revision(rollout),
    )


def waits_for(snapshot: Snapshot, rollout: Rollout, judged: Judged | None, now_ms: int, partitions: Partitions) -> str:
    """What happens next to a rollout, and what it waits for."""
    change = _change_of(snapshot, rollout)
    match rollout.state:
        case RolloutState.RUNNING | RolloutState.REVERTING if change is not None:
            return _change_waits(snapshot, change, partitions)
        case RolloutState.RUNNING:
            return _step_waits(rollout, judged, now_ms)
        case RolloutState.REVERTING:
            at_ms = retry_at_ms(rollout)
            return "goes back to where it began" + (f" at {rfc3339(at_ms)}" if at_ms > now_ms else "")
        case RolloutState.PAUSED:
            return f"waits for somebody to resume, promote or abort it: {rollout.reason or 'it is paused'}"
        case _:
            return ""


def _step_waits(rollout: Rollout, judged: Judged | None, now_ms: int) -> str:
    if rollout.step == BACK:
        return "begins with its first step"
    if rollout.is_promoted and rollout.step < rollout.last:
        return "goes to its last step"
    then = "it is completed" if rollout.step == rollout.last else f"step {rollout.step + 2} of {len(rollout.steps)}"
    verdict = Pass() if not rollout.guards else judged.evaluation.verdict if judged is not None else None
    if isinstance(verdict, Fail):
        return f"goes back: {'; '.join(verdict.why)}"
    waits = []
    if now_ms < baked_at_ms(rollout):
        waits.append(f"bakes until {rfc3339(baked_at_ms(rollout))}")
    if verdict is None:
        waits.append("statistics for its guards have not come")
    elif not isinstance(verdict, Pass):
        waits += verdict.why
    return f"{'; '.join(waits)}; then {then}" if waits else then


def _change_waits(snapshot: Snapshot, change: Change, partitions: Partitions) -> str:
    where = f"change {operation_id(change.id)}"
    if change.state is ChangeState.PROPOSED:
        return f"{where} waits for the promises of {len(change.missing)} of {len(change.required)} partitions"
    found = readiness(snapshot.catalogue, change, snapshot.membership, partitions)
    return f"{where} waits: {'; '.join(found.waits)}" if found.waits else f"{where} is proposed next"


def _change_of(snapshot: Snapshot, rollout: Rollout) -> Change | None:
    route = snapshot.catalogue.routes.get(rollout.key)
    change = snapshot.catalogue.open_change(route) if route is not None else None
    return change if change is not None and change.rollout == rollout.id else None


def _target(target: Target) -> shapes.RolloutTarget:
    return shapes.RolloutTarget(model=target.model, version=str(target.version), alias=target.alias or None)


def _guard(rollout: Rollout, number: int, judged: Judged | None) -> shapes.GuardState:
    guard = rollout.guards[number]
    finding: Finding | None = judged.evaluation.findings[number] if judged is not None else None
    return shapes.GuardState(
        signal=guard.signal,
        limit=guard.limit,
        relative=guard.relative,
        minimum_records=guard.minimum_records,
        breaches=guard.breaches,
        tolerance=guard.tolerance,
        status=finding.status if finding is not None else None,
        value=finding.value if finding is not None else None,
        allowed=finding.limit if finding is not None else None,
        streak=finding.streak if finding is not None else 0,
        why=finding.why if finding is not None else "",
        at=rfc3339(judged.at_ms) if judged is not None else None,
    )


def _evidence(text: str) -> dict[str, Any] | None:
    """Evidence as it was stored; whoever else writes to the log may have stored anything."""
    if not text:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return dict(found) if isinstance(found, Mapping) else {"text": text}
