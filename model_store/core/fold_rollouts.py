"""The fold of rollouts: started, steered, over. What each step changes is a change of the route (`fold_routes`)."""

from __future__ import annotations

import math

from model_store.core.commands import Command, StartRollout, SteerRollout
from model_store.core.errors import CommandRefusedError
from model_store.core.fold_routes import aborted, with_rollout
from model_store.core.fold_versions import check_active, check_policy, find_version
from model_store.core.plans import WHOLE
from model_store.core.replacing import replace
from model_store.core.rollouts import BACK, Rollout, RolloutState, Steered, step_plan
from model_store.core.state import Catalogue, LogEntry

MAX_STEPS = 50


def start_rollout(catalogue: Catalogue, entry: LogEntry, command: Command, body: StartRollout) -> Catalogue:
    """Begin to move a route.

    Raises:
        CommandRefusedError: The steps make no sense, the candidate may not serve, or something is under way.
    """
    route = catalogue.routes.get(body.key)
    if route is None or route.plan is None:
        raise CommandRefusedError("not-found", f"route {body.key!r} serves nothing yet: give it a plan first")
    if route.rollout is not None:
        raise CommandRefusedError("conflict", f"rollout {route.rollout} of route {body.key!r} is under way")
    if route.change is not None:
        raise CommandRefusedError("conflict", f"change op-{route.change} of route {body.key!r} is under way")
    _check_steps(body)
    version = find_version(catalogue, body.candidate.model, body.candidate.version)
    check_active(catalogue, version)
    for step in body.steps:
        if step.weight:
            check_policy(catalogue, version, step_plan(route.plan, body.candidate, step.weight).digest)
    served = {(target.model, target.version) for target in route.plan.serving_targets()}
    if (version.model, version.version) in served:
        raise CommandRefusedError("conflict", f"{body.candidate} serves route {body.key!r} already")
    rollout = Rollout(
        entry.offset, body.key, body.candidate, body.steps, body.guards, body.deadline_ms, route.plan,
        since_ms=entry.timestamp_ms,
    )  # fmt: skip
    rollout = rollout.told(Steered(entry.timestamp_ms, entry.offset, command.actor, "started", command.reason))
    route = replace(route, rollout=rollout.id, revision=entry.offset)
    return with_rollout(replace(catalogue, routes=catalogue.routes.set(route.key, route)), rollout)


def steer_rollout(catalogue: Catalogue, entry: LogEntry, command: Command, body: SteerRollout) -> Catalogue:
    """Say how a rollout goes on.

    Raises:
        CommandRefusedError: It is over, or the action does not fit where it is.
    """
    rollout = catalogue.rollouts.get(body.rollout)
    if rollout is None:
        raise CommandRefusedError("not-found", f"there is no rollout {body.rollout}")
    if not rollout.state.is_open:
        raise CommandRefusedError("conflict", f"rollout {rollout.id} is over: {rollout.state.value}")
    steered = Steered(entry.timestamp_ms, entry.offset, command.actor, body.action, command.reason, body.evidence)
    match body.action:
        case "pause" if rollout.state is RolloutState.RUNNING:
            after = replace(rollout, state=RolloutState.PAUSED)
        case "resume" if rollout.state is RolloutState.PAUSED:
            after = replace(rollout, state=RolloutState.RUNNING, since_ms=entry.timestamp_ms)
        case "promote" if rollout.state in (RolloutState.RUNNING, RolloutState.PAUSED):
            after = replace(rollout, state=RolloutState.RUNNING, is_promoted=True)
        case "abort" | "rollback" if rollout.state is not RolloutState.REVERTING:
            return _reverting(catalogue, entry, rollout, steered)
        case "complete" if rollout.state is RolloutState.RUNNING and rollout.step == rollout.last:
            return _over(
                catalogue, entry, replace(rollout, state=RolloutState.SUCCEEDED, goal=RolloutState.SUCCEEDED), steered
            )
        case "pause" | "resume" | "promote" | "abort" | "rollback" | "complete":
            raise CommandRefusedError(
                "conflict", f"rollout {rollout.id} is {rollout.state.value}: {body.action} does not fit"
            )
        case _:
            raise CommandRefusedError(
                "invalid", f"{body.action!r} is none of pause, resume, promote, abort, rollback, complete"
            )
    return with_rollout(catalogue, after.told(steered))


def _reverting(catalogue: Catalogue, entry: LogEntry, rollout: Rollout, steered: Steered) -> Catalogue:
    goal = RolloutState.ROLLED_BACK if steered.action == "rollback" else RolloutState.ABORTED
    rollout = replace(rollout, state=RolloutState.REVERTING, goal=goal).told(steered)
    catalogue = with_rollout(catalogue, rollout)
    change = catalogue.open_change(catalogue.routes[rollout.key])
    if change is not None:
        catalogue = aborted(catalogue, entry, change, f"rollout {rollout.id} goes back: {steered.reason}")
        again = catalogue.rollouts.get(rollout.id)
        rollout = again if again is not None else rollout
    if rollout.step == BACK:  # nothing was changed yet
        return _over(catalogue, entry, replace(rollout, state=goal), None)
    return catalogue


def _over(catalogue: Catalogue, entry: LogEntry, rollout: Rollout, steered: Steered | None) -> Catalogue:
    rollout = rollout if steered is None else rollout.told(steered)
    route = replace(catalogue.routes[rollout.key], rollout=None, revision=entry.offset)
    return with_rollout(replace(catalogue, routes=catalogue.routes.set(route.key, route)), rollout)


def _check_steps(body: StartRollout) -> None:
    weights = [step.weight for step in body.steps]
    if not weights or len(weights) > MAX_STEPS:
        raise CommandRefusedError("invalid", f"a rollout has 1 to {MAX_STEPS} steps, this one has {len(weights)}")
    if any(not 0 <= weight <= WHOLE for weight in weights) or sorted(weights) != weights:
        raise CommandRefusedError("invalid", f"the weights of the steps rise from 0 to {WHOLE}, these are {weights}")
    if weights[-1] != WHOLE:
        raise CommandRefusedError("invalid", f"the last step has all of the traffic ({WHOLE}), not {weights[-1]}")
    if not all(0 <= step.bake_seconds < math.inf for step in body.steps):  # false for NaN too
        raise CommandRefusedError("invalid", "a step bakes for a finite number of seconds, at least 0")
