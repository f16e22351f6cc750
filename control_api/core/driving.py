"""What a replica should write on the control log now, so that changes, rollouts and jobs go on: a pure function.

Theory of operation. No replica leads. Each one looks at the same log and asks `next_commands`; what it answers is a
proposal, and the fold arbitrates. Two things keep several replicas from doing anything twice. A command names in its id
the state that it was decided on, so the same decision of two replicas is one command and its retry; and where a state has a
revision, the command expects it. So a command that was written once is never wanted again for the same state, whatever the
fold made of it: nothing loops. Before a command is answered it is tried on the state it was decided on, with the fold itself;
what would be refused is not written.

Who lives, how many partitions there are, and what the guards say are not on the log and come in as `Surroundings`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from control_api.core.guards import Fail, Pass, Verdict
from control_api.core.readiness import Partitions, lane_names, readiness
from control_api.ports import Membership
from model_store.core.catalogue import Catalogue, LogEntry, fold, revision_of
from model_store.core.changes import Change, ChangeState
from model_store.core.commands import (
    EXACT,
    IMMEDIATE,
    AbortChange,
    ChangeRoute,
    Command,
    CommandBody,
    Outcome,
    ProposeChange,
    ReportJob,
    SetStage,
    SteerRollout,
)
from model_store.core.fold_versions import last_routed_ms
from model_store.core.jobs_state import Job, JobState
from model_store.core.plans import Plan, Target
from model_store.core.rollouts import BACK, Rollout, RolloutState
from model_store.core.routes import Route
from model_store.core.versions import ModelVersion, Stage

ACTOR: Final = "sluice"
"""Who these commands are from."""

FIRST_PAUSE_MS: Final = 1_000
LONGEST_PAUSE_MS: Final = 60_000
"""A way back that was aborted is tried again after a second, then two, four and so on up to a minute."""

SILENCE_MS: Final = 5_000
"""A job is taken from a worker that is gone when nothing was heard of it for so long: who lives is known a second late."""

WORKERS_LOST: Final = 3
"""A job that so many workers were lost with is not given to another one."""

_BACKWARDS: Final = ("abort", "rollback")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a replica sees beside the log.

    Attributes:
        now_ms: Milliseconds since 1970 UTC.
        membership: Who lives.
        partitions: Of the data topics; needed while a change is prepared.
        verdicts: Rollout -> what its guards say of the step that it is at; not in it: not known.
    """

    now_ms: int
    membership: Membership
    partitions: Partitions = field(default_factory=dict)
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)


def next_commands(catalogue: Catalogue, around: Surroundings) -> list[Command]:
    """What to write now; empty if there is nothing to do. All of it is accepted if nothing comes between."""
    found: list[Command] = []
    for command in _wanted(catalogue, around):
        if command.id in catalogue.commands:
            continue
        after, outcome = tried(catalogue, command, around.now_ms)
        if not outcome.is_accepted:
            continue
        found.append(command)
        catalogue = after
    return found


def retirements(catalogue: Catalogue, now_ms: int, most: int) -> list[Command]:
    """Versions to retire now because their model's policy says how long one may be without a route; at most `most`.

    It looks at all routes for each version, so ask seldom.
    """
    due = sorted(_unrouted(catalogue, now_ms), key=lambda found: (found[1], found[0].control_offset))
    commands = (_retire(catalogue, version, since_ms) for version, since_ms in due)
    wanted = (command for command in commands if command.id not in catalogue.commands)
    possible = (command for command in wanted if tried(catalogue, command, now_ms)[1].is_accepted)
    return [command for command, _ in zip(possible, range(most), strict=False)]


def tried(catalogue: Catalogue, command: Command, now_ms: int) -> tuple[Catalogue, Outcome]:
    """What the fold would make of a command if it came next."""
    offset = catalogue.offset + 1
    after = fold(catalogue, LogEntry(offset, now_ms, command))
    outcome = after.outcomes.get(after.announcement_of(offset))
    return after, outcome or Outcome(offset, "conflict", "it was written before, and what became of it is forgotten")


def retry_at_ms(rollout: Rollout) -> int:
    """When the way back of a rollout may be tried, milliseconds since 1970 UTC: later after each time it was aborted."""
    begun = next((told.offset for told in reversed(rollout.story) if told.action in _BACKWARDS), -1)
    failures = [told for told in rollout.story if told.action == "step aborted" and told.offset > begun]
    if not failures:
        return 0
    return failures[-1].at_ms + min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS << min(len(failures) - 1, 16))


def baked_at_ms(rollout: Rollout) -> int:
    """When the step that a rollout is at will have baked, milliseconds since 1970 UTC; it is at one."""
    return rollout.since_ms + round(rollout.steps[rollout.step].bake_seconds * 1000)


def _wanted(catalogue: Catalogue, around: Surroundings) -> Iterator[Command]:
    for change_id in sorted(catalogue.open_changes):
        change = catalogue.changes.get(change_id)
        if change is not None:
            yield from _drive_change(catalogue, around, change)
    for route in catalogue.routes.values():
        if route.change is not None:
            continue
        rollout = catalogue.open_rollout(route)
        if rollout is not None:
            yield from _drive_rollout(catalogue, around, route, rollout)
        elif route.plan is not None:
            yield from _follow_aliases(catalogue, around, route, route.plan)
    for job_id in catalogue.jobs:
        job = catalogue.jobs.get(job_id)
        if job is not None and job.state is JobState.RUNNING:
            yield from _rescue_job(catalogue, around, job)


def _drive_change(catalogue: Catalogue, around: Surroundings, change: Change) -> Iterator[Command]:
    if change.state is ChangeState.PROPOSED:
        if around.now_ms >= change.deadline_ms:
            owners = {state.worker for lane in change.missing if (state := catalogue.lanes.get(lane)) is not None}
            by = f" ({', '.join(sorted(owners))})" if owners else ""
            yield _abort(change, f"no promise came for {lane_names(list(change.missing))}{by}")
        return
    found = readiness(catalogue, change, around.membership, around.partitions)
    if around.now_ms >= change.deadline_ms:
        yield _abort(change, "; ".join(found.waits) or "nobody proposed it")
    elif not found.waits:
        body = ProposeChange(change.id, found.lanes)
        yield _command(f"propose-{change.id}", "all workers are ready", body)


def _abort(change: Change, why: str) -> Command:
    seconds = (change.deadline_ms - change.requested_at_ms) / 1000
    return _command(f"abort-{change.id}", f"{why} within {seconds:g} s", AbortChange(change.id))


def _drive_rollout(catalogue: Catalogue, around: Surroundings, route: Route, rollout: Rollout) -> Iterator[Command]:
    if rollout.state is RolloutState.REVERTING:
        if around.now_ms >= retry_at_ms(rollout):
            yield _step(catalogue, route, rollout, BACK)
        return
    verdict = around.verdicts.get(rollout.id) if rollout.guards else Pass()
    if rollout.state is RolloutState.PAUSED and rollout.step != BACK and isinstance(verdict, Fail):
        yield _steer(catalogue, rollout, "rollback", "; ".join(verdict.why), json.dumps(verdict.evidence))
    if rollout.state is not RolloutState.RUNNING:
        return
    if rollout.step == BACK or (rollout.is_promoted and rollout.step < rollout.last):
        to = rollout.last if rollout.is_promoted else 0
        yield _step_or_pause(catalogue, around, route, rollout, to)
    elif isinstance(verdict, Fail):
        yield _steer(catalogue, rollout, "rollback", "; ".join(verdict.why), json.dumps(verdict.evidence))
    elif isinstance(verdict, Pass) and around.now_ms >= baked_at_ms(rollout):
        if rollout.step < rollout.last:
            yield _step_or_pause(catalogue, around, route, rollout, rollout.step + 1)
        else:
            yield _steer(catalogue, rollout, "complete", "the last step has baked and no guard objects")


def _step(catalogue: Catalogue, route: Route, rollout: Rollout, to: int) -> Command:
    if to == BACK:
        reason = f"rollout {rollout.id} goes back: {_why_back(rollout)}"
    else:
        weight = rollout.steps[to].weight
        share = f"{weight / 100:g} %" if weight else "dark"
        reason = f"step {to + 1} of {len(rollout.steps)} of rollout {rollout.id}: {rollout.candidate} {share}"
    body = ChangeRoute(route.key, rollout.plan_of(to), EXACT, rollout.deadline_ms, rollout.id, to)
    state = f"{route.revision}-{_revision(catalogue, SteerRollout(rollout.id, ''))}"
    return _command(f"step-{rollout.id}-{to}-{state}", reason, body, route.revision)


def _step_or_pause(catalogue: Catalogue, around: Surroundings, route: Route, rollout: Rollout, to: int) -> Command:
    command = _step(catalogue, route, rollout, to)
    _, outcome = tried(catalogue, command, around.now_ms)
    if outcome.is_accepted:
        return command
    return _steer(catalogue, rollout, "pause", f"step {to + 1} may not be taken: {outcome.reason}")


def _steer(catalogue: Catalogue, rollout: Rollout, action: str, reason: str, evidence: str = "") -> Command:
    body = SteerRollout(rollout.id, action, evidence)
    revision = _revision(catalogue, body)
    return _command(f"{action}-{rollout.id}-{revision}", reason, body, revision)


def _why_back(rollout: Rollout) -> str:
    return (
        next((told.reason for told in reversed(rollout.story) if told.action in _BACKWARDS), "") or rollout.goal.value
    )


def _follow_aliases(catalogue: Catalogue, around: Surroundings, route: Route, plan: Plan) -> Iterator[Command]:
    moved = {target: found for target in plan.targets() if (found := _moved(catalogue, target)) is not None}
    if not moved:
        return
    resolved = _resolved(plan, moved)
    reason = "; ".join(
        f"alias {target.alias} of {target.model} moved to version {target.version}"
        for target in dict.fromkeys(moved.values())
    )
    # An attempt that was aborted is not repeated before the route or the model changes.
    state: list[object] = [route.key, route.current and route.current.offset, resolved.digest]
    state += sorted(catalogue.models[target.model].revision for target in moved)
    nobody_lives = around.membership.is_current and not around.membership.members
    body = ChangeRoute(route.key, resolved, IMMEDIATE if nobody_lives else EXACT)
    yield _command(f"follow-{_digest(state)}", reason, body, route.revision)


def _moved(catalogue: Catalogue, target: Target) -> Target | None:
    """The target with the version that its alias names now; `None` if that is the same."""
    model = catalogue.models.get(target.model) if target.alias else None
    version = model.aliases.get(target.alias, target.version) if model is not None else target.version
    return replace(target, version=version) if version != target.version else None


def _resolved(plan: Plan, moved: Mapping[Target, Target]) -> Plan:
    return replace(
        plan,
        arms=tuple(replace(arm, target=moved.get(arm.target, arm.target)) for arm in plan.arms),
        dark=tuple(dict.fromkeys(moved.get(target, target) for target in plan.dark)),
        fallback=moved.get(plan.fallback, plan.fallback) if plan.fallback is not None else None,
    )


def _rescue_job(catalogue: Catalogue, around: Surroundings, job: Job) -> Iterator[Command]:
    worker = catalogue.workers.get(job.worker)
    is_restarted = worker is not None and worker.epoch != job.epoch
    is_silent = around.now_ms - job.updated_at_ms >= SILENCE_MS
    is_gone = around.membership.is_current and job.worker not in around.membership.live and is_silent
    if not is_restarted and not is_gone:
        return
    lost = 1
    while _id(f"requeue-{job.id}-{lost}") in catalogue.commands:
        lost += 1
    if lost < WORKERS_LOST:
        reason = f"worker {job.worker} {'started anew' if is_restarted else 'is gone'}"
        yield _command(f"requeue-{job.id}-{lost}", reason, ReportJob(job.id, JobState.QUEUED.value, job.worker))
        return
    reason = f"{WORKERS_LOST} workers were lost while they had it, {job.worker} the last"
    report = json.dumps({"error": reason})
    yield _command(f"give-up-{job.id}", reason, ReportJob(job.id, JobState.FAILED.value, job.worker, report=report))


def _unrouted(catalogue: Catalogue, now_ms: int) -> Iterator[tuple[ModelVersion, int]]:
    """Active versions that nothing routed to for longer than their model's policy allows, and since when."""
    for model in catalogue.models.values():
        kept_ms = model.policy.retire_after_s * 1000
        if not kept_ms or model.is_deleted:
            continue
        for version in model.versions.values():
            notes = catalogue.notes_of(version)
            newest_ms = max(version.published_at_ms, notes.updated_at_ms)
            if notes.stage is not Stage.ACTIVE or now_ms - newest_ms < kept_ms:
                continue  # somebody who says something about a version wants it
            since_ms = last_routed_ms(catalogue, version)
            if now_ms - since_ms >= kept_ms:
                yield version, since_ms


def _retire(catalogue: Catalogue, version: ModelVersion, since_ms: int) -> Command:
    body = SetStage(version.model, version.version, Stage.RETIRED.value, since_ms)
    seconds = catalogue.models[version.model].policy.retire_after_s
    revision = _revision(catalogue, body)
    state = f"{version.control_offset}-{revision}-{since_ms}"
    return _command(f"retire-{state}", f"no route has had it for {seconds} s", body, revision)


def _command(state: str, reason: str, body: CommandBody, expected_revision: int | None = None) -> Command:
    return Command(_id(state), ACTOR, reason, body, expected_revision)


def _id(state: str) -> str:
    return f"{ACTOR}-{state}"


def _revision(catalogue: Catalogue, body: CommandBody) -> int:
    revision = revision_of(catalogue, body)
    assert revision is not None
    return revision


def _digest(state: list[object]) -> str:
    return hashlib.sha256(repr(state).encode()).hexdigest()[:24]
