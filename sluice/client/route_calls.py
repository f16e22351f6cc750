"""Calls about routes: what serves a data type, changing it, rollouts, and which version scored a record.

A change of a route is exact unless `mode` is `immediate`: each partition goes over at an offset that its worker promised,
all of them, or none. What it would come to is a `RoutePlan`. `revision`, `reason` and `dry_run` are as in `registry_calls`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sluice.client import answers
from sluice.client.calls import API, Call, PagedCall, paged, segment
from sluice.client.conditions import condition, write
from sluice.client.plans import Plan, Target
from sluice.client.routing import Decisions, Guard, Rollout, RolloutStep, RoutePlan

PREVIOUS = "previous"
"""As the aim of a rollback: what served before."""


def routes(*, model: str = "", as_of: str = "") -> PagedCall[answers.Route]:
    """All routes, by key; only those that `model` serves, as they were at `as_of` (RFC 3339)."""
    return paged(f"{API}/deployments", answers.Route, "deployments", {"model": model, "as_of": as_of})


def route(
    key: str, *, as_of: str = "", max_entries: int | None = None, entries_before: int | None = None
) -> Call[answers.Route]:
    """One route: its plan, what is under way, and what it served before.

    Args:
        key: A data type, a pattern such as `wine-*`, or `*`.
        as_of: RFC 3339: as it was then.
        max_entries: Length of the timeline at most.
        entries_before: Only entries that took force before this control offset.
    """
    params = {"as_of": as_of or None, "max_entries": max_entries, "entries_before": entries_before}
    given = {name: str(value) for name, value in params.items() if value is not None}
    return Call("GET", _route(key), answers.Route, given)


def put_route(
    key: str,
    plan: Plan,
    *,
    revision: int,
    mode: str = "exact",
    deadline_seconds: float | None = None,
    reason: str = "",
) -> Call[answers.Operation]:
    """Give a route another plan; the operation is done when every partition has gone over to it.

    Args:
        key: A data type, a pattern such as `wine-*`, or `*`.
        plan: What it is to serve; without a salt the entities stay dealt as they are.
        revision: Of the route as it was read; `conditions.ABSENT` for a new one.
        mode: `exact`, or `immediate` for emergencies.
        deadline_seconds: When an exact change is given up, and what serves goes on serving.
        reason: Why, for the record.
    """
    body = {**plan.body(), "mode": mode, "deadline_seconds": deadline_seconds}
    return write("PUT", _route(key), answers.Operation, body, revision=revision, reason=reason)


def plan_route(key: str, plan: Plan, *, mode: str = "exact") -> Call[RoutePlan]:
    """What `put_route` would come to: before, after, and how many entities move. Writes nothing."""
    return write("PUT", _route(key), RoutePlan, {**plan.body(), "mode": mode}, dry_run=True)


def delete_route(key: str, *, revision: int, mode: str = "exact", reason: str = "") -> Call[answers.Operation]:
    """Take a route away: its records are for the next route that matches them, or become dead letters."""
    params = {"mode": mode} | ({"reason": reason} if reason else {})
    return Call("DELETE", _route(key), answers.Operation, params, condition(revision))


def plan_route_removal(key: str, *, mode: str = "exact") -> Call[RoutePlan]:
    """What `delete_route` would come to. Writes nothing."""
    return Call("DELETE", _route(key), RoutePlan, {"mode": mode, "dry_run": "true"})


def rollback(
    key: str,
    to: str | Target = PREVIOUS,
    *,
    revision: int | None = None,
    mode: str = "exact",
    deadline_seconds: float | None = None,
    reason: str = "",
) -> Call[answers.Operation]:
    """Give a route back what it served before. A change like any other.

    Args:
        key: Of the route.
        to: `PREVIOUS`: the plan before this one, where the steps of a rollout count as one; or a version: the last plan that had
            it as its primary, else it alone.
        revision: Of the route, if it matters what it is now.
        mode: See `put_route`.
        deadline_seconds: See `put_route`.
        reason: See `put_route`.
    """
    body = {**_aim(to), "mode": mode, "deadline_seconds": deadline_seconds}
    path = f"{_route(key)}:rollback"
    return write("POST", path, answers.Operation, body, revision=revision, reason=reason)


def plan_rollback(key: str, to: str | Target = PREVIOUS, *, mode: str = "exact") -> Call[RoutePlan]:
    """What `rollback` would come to. Writes nothing."""
    return write("POST", f"{_route(key)}:rollback", RoutePlan, {**_aim(to), "mode": mode}, dry_run=True)


def start_rollout(
    key: str,
    candidate: Target,
    *,
    steps: Iterable[RolloutStep] | None = None,
    guards: Iterable[Guard] | None = None,
    deadline_seconds: float | None = None,
    revision: int | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> Call[Rollout]:
    """Move a route to a candidate step by step, each an exact change; a guard that fails takes it back.

    Args:
        key: Of the route.
        candidate: What is to serve in the end.
        steps: Weights rise, the last is 100; weight 0 is dark. Left out: the API's own.
        guards: Left out: errors, time and drift against what serves now; empty: none.
        deadline_seconds: How long each change may take.
        revision: Of the route, if it matters what it is now.
        reason: See `put_route`.
        dry_run: See `put_route`.
    """
    body: dict[str, Any] = {
        **candidate.body(),
        "steps": None
        if steps is None
        else [{"weight": step.weight, "bake_seconds": step.bake_seconds} for step in steps],
        "guards": None if guards is None else [guard.body() for guard in guards],
        "deadline_seconds": deadline_seconds,
    }
    path = f"{_route(key)}/rollouts"
    return write("POST", path, Rollout, body, revision=revision, reason=reason, dry_run=dry_run)


def rollouts(key: str) -> PagedCall[Rollout]:
    """The rollouts of a route, newest first."""
    return paged(f"{_route(key)}/rollouts", Rollout, "rollouts")


def rollout(key: str, id: str) -> Call[Rollout]:
    """Where a rollout is, what it waits for, what its guards say, and what was decided so far."""
    return Call("GET", _rollout(key, id), Rollout)


def steer_rollout(
    key: str, id: str, action: str, *, revision: int, reason: str = "", dry_run: bool = False
) -> Call[Rollout]:
    """Say how a rollout goes on.

    Args:
        key: Of the route.
        id: Of the rollout.
        action: `pause`, `resume`, `promote` (to the last step now) or `abort` (back to where it began).
        revision: Of the rollout as it was read.
        reason: See `put_route`.
        dry_run: See `put_route`.
    """
    path = f"{_rollout(key, id)}:{action}"
    return write("POST", path, Rollout, {}, revision=revision, reason=reason, dry_run=dry_run)


def decisions(
    topic: str,
    partition: int,
    offset: int,
    *,
    data_type: str = "",
    entity: str = "",
    group: str = "",
) -> Call[Decisions]:
    """Which version scored a record, why, and who wanted that; from the control log alone.

    Args:
        topic: Data topic.
        partition: Of the record.
        offset: Of the record; it need not be retained any more, nor be there yet.
        data_type: Of the record; left out: each route that has scored there.
        entity: Of the record (its Kafka key, as a rule): tells which arm.
        group: Only of this consumer group.
    """
    params = {"topic": topic, "partition": str(partition), "offset": str(offset)}
    more = {"data_type": data_type, "entity": entity, "group": group}
    return Call("GET", f"{API}/decisions", Decisions, params | {name: value for name, value in more.items() if value})


def abort_operation(id: str, *, reason: str = "", dry_run: bool = False) -> Call[answers.Operation]:
    """Give up a change that is under way: what serves goes on serving, everywhere.

    It may be too late; then this is a `ConflictError`, and the change is made.
    """
    path = f"{API}/operations/{segment(id)}"
    return write("DELETE", path, answers.Operation, reason=reason, dry_run=dry_run)


def _aim(to: str | Target) -> dict[str, Any]:
    return {"to": to.body() if isinstance(to, Target) else to}


def _route(key: str) -> str:
    return f"{API}/deployments/{segment(key)}"


def _rollout(key: str, id: str) -> str:
    return f"{_route(key)}/rollouts/{segment(id)}"
