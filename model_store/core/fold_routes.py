"""The fold of routes: changes by the cut-over protocol (`changes`), immediate ones, and the claims of lanes.

What makes a cut-over exact is decided here, by the log's order, alike for every reader: which promise counts, when a
change is committed, that an abort comes too late. Rules that must all hold:

* a claim counts once, and not after one of a later turn;
* a promise counts only under the latest claim of its lane, once, while the change is proposed;
* a lane that is claimed while a change is under way has to promise too, whoever forgot it;
* the change is committed where the last missing promise is accepted;
* an immediate change of the route ends an exact one that is under way, and a rollout.
"""

from __future__ import annotations

from itertools import islice

from immutables import Map

from model_store.core.changes import Change, ChangeState, Promise
from model_store.core.commands import (
    EXACT,
    IMMEDIATE,
    AbortChange,
    ChangeRoute,
    Command,
    ProposeChange,
)
from model_store.core.control_records import ChangeReady, CutsPromised, PartitionsClaimed, RouteApplied
from model_store.core.errors import CommandRefusedError, InvalidPlanError
from model_store.core.fold_versions import check_active, check_policy, find_version
from model_store.core.lanes import Lane, claimed
from model_store.core.plans import WHOLE, Arm, Plan, Target, check_plan, plain_plan
from model_store.core.replacing import replace
from model_store.core.rollouts import BACK, Rollout, RolloutState, Steered
from model_store.core.routes import ROUTE_HISTORY, Route, RouteEntry, is_pattern
from model_store.core.state import Catalogue, LogEntry
from model_store.core.versions import ModelVersion


def announce(catalogue: Catalogue, entry: LogEntry, version: ModelVersion) -> Catalogue:
    """A bare descriptor: its version is all of its data type's plan, at once."""
    key = version.data_type
    before = catalogue.routes.get(key)
    plan = _salted(plain_plan(version.model, version.version), key, before)
    change = Change(entry.offset, key, plan, False, entry.timestamp_ms, actor=version.descriptor.publisher)
    return _at_once(catalogue, entry, change, f"{version.model} v{version.version} was announced")


def change_route(catalogue: Catalogue, entry: LogEntry, command: Command, body: ChangeRoute) -> Catalogue:
    """Begin an exact change, or make an immediate one.

    Raises:
        CommandRefusedError: The plan makes no sense, names what is not there or may not serve, or something is under way.
    """
    if body.mode not in (EXACT, IMMEDIATE):
        raise CommandRefusedError("invalid", f"mode {body.mode!r} is neither exact nor immediate")
    route = catalogue.routes.get(body.key)
    plan = body.plan
    if not body.key:
        raise CommandRefusedError("invalid", "a route needs a key")
    if plan is None and (route is None or route.plan is None):
        raise CommandRefusedError("not-found", f"there is no route {body.key!r}")
    _check_rollout(catalogue, route, body)
    if plan is not None:
        _check_plan(catalogue, route, plan, body)
        plan = _salted(plan, body.key, route)
    change = Change(
        entry.offset, body.key, plan, body.mode == EXACT, entry.timestamp_ms,
        entry.timestamp_ms + max(0, body.deadline_ms), command.actor, command.reason, body.rollout, body.step,
    )  # fmt: skip
    if not change.is_exact:
        return _at_once(catalogue, entry, change, "another change was made at once")
    if route is not None and route.change is not None:
        raise CommandRefusedError("conflict", f"change op-{route.change} of route {body.key!r} is under way")
    route = replace(route or Route(body.key), change=change.id, revision=entry.offset)
    return _with_route(_with_change(catalogue, change), route)


def turn_to(catalogue: Catalogue, version: ModelVersion, mode: str, deadline_ms: int) -> ChangeRoute:
    """What a new version asks for that is to serve its data type: to be the primary of a route with one arm.

    Raises:
        CommandRefusedError: The route has several.
    """
    route = catalogue.routes.get(version.data_type)
    before = route.plan if route is not None else None
    if before is None:
        return ChangeRoute(version.data_type, plain_plan(version.model, version.version), mode, deadline_ms)
    if len(before.arms) > 1:
        raise CommandRefusedError(
            "conflict",
            f"route {version.data_type!r} shares its records between {len(before.arms)} arms: register the version without a "
            f"route, and say in a change of the route which arm it takes",
        )
    arms = (Arm(before.primary.name, Target(version.model, version.version), WHOLE),)
    return ChangeRoute(version.data_type, replace(before, arms=arms, slots=()), mode, deadline_ms)


def propose(catalogue: Catalogue, entry: LogEntry, body: ProposeChange) -> Catalogue:
    """All are ready: the owners of these lanes may promise, and must.

    Whoever proposed had read the change, and perhaps nothing after it: a lane that was claimed since then has an owner that
    it may not know of, and that would go on with the old plan if it were not asked. So it has to promise too.
    """
    change = _open(catalogue, body.change)
    if change.state is not ChangeState.PREPARED:
        raise CommandRefusedError("conflict", f"change op-{change.id} is {change.state.value} already")
    since = {lane for lane, owner in catalogue.lanes.items() if owner.offset > change.id}
    change = replace(change, state=ChangeState.PROPOSED, required=frozenset(body.lanes) | since)
    return _commit_if_complete(_with_change(catalogue, change), entry, change)


def abort(catalogue: Catalogue, entry: LogEntry, command: Command, body: AbortChange) -> Catalogue:
    """Give a change up."""
    change = _open(catalogue, body.change)
    return aborted(catalogue, entry, change, command.reason or f"{command.actor or 'somebody'} aborted it")


def claim(catalogue: Catalogue, entry: LogEntry, record: PartitionsClaimed) -> Catalogue:
    """Partitions have another owner."""
    lanes = catalogue.lanes
    fresh = set()
    for at in record.partitions:
        lane = Lane(record.group, at.topic, at.partition)
        before = lanes.get(lane)
        if before is not None and not before.gives_way_to(record.claim, record.turn):
            continue
        fresh.add(lane)
        state = claimed(before, record.worker, record.claim, entry.offset, at.offset, catalogue.last_entry, record.turn)
        lanes = lanes.set(lane, state)
    catalogue = replace(catalogue, lanes=lanes)
    for change_id in catalogue.open_changes:
        change = catalogue.changes.get(change_id)
        if change is not None and change.state is ChangeState.PROPOSED and fresh - change.required:
            catalogue = _with_change(catalogue, replace(change, required=change.required | fresh))
    return catalogue


def ready(catalogue: Catalogue, entry: LogEntry, record: ChangeReady) -> Catalogue:
    """A worker is ready for a change, or refuses it: then it is over."""
    change = catalogue.changes.get(record.change)
    if change is None or not change.state.is_open:
        return catalogue
    if record.problem:
        return aborted(catalogue, entry, change, f"worker {record.worker}: {record.reason}")
    return _with_change(catalogue, replace(change, ready=change.ready.set(record.worker, record.epoch)))


def promise(catalogue: Catalogue, entry: LogEntry, record: CutsPromised) -> Catalogue:
    """Owners promise; the last missing promise commits."""
    change = catalogue.changes.get(record.change)
    if change is None or change.state is not ChangeState.PROPOSED:
        return catalogue
    for at in record.cuts:
        lane = Lane(record.group, at.topic, at.partition)
        owner = catalogue.lanes.get(lane)
        if owner is not None and owner.claim == record.claim:
            change = change.promised(lane, Promise(at.offset, record.worker, entry.offset))
    return _commit_if_complete(_with_change(catalogue, change), entry, change)


def applied(catalogue: Catalogue, record: RouteApplied) -> Catalogue:
    """A worker says where it made an immediate change."""
    route = catalogue.routes.get(record.key)
    found = route.entry_of(record.change) if route is not None else None
    if route is None or found is None or found[1].is_exact:
        return catalogue
    number, routed = found
    cuts = routed.cuts
    for at in record.since:
        lane = Lane(record.group, at.topic, at.partition)
        owner = catalogue.lanes.get(lane)
        if owner is not None and owner.claim == record.claim and lane not in cuts:
            cuts = cuts.set(lane, at.offset)
    return _with_route(catalogue, replace(route, entries=route.entries.set(number, replace(routed, cuts=cuts))))


def aborted(catalogue: Catalogue, entry: LogEntry, change: Change, why: str) -> Catalogue:
    """A change that is over without effect; a rollout that it was a step of waits for a person."""
    catalogue = _with_change(catalogue, change.ended(ChangeState.ABORTED, entry.offset, entry.timestamp_ms, why))
    route = catalogue.routes[change.key]
    catalogue = _with_route(catalogue, replace(route, change=None, revision=entry.offset))
    rollout = catalogue.rollouts.get(change.rollout) if change.rollout is not None else None
    if rollout is None or not rollout.state.is_open:
        return catalogue
    rollout = rollout.told(Steered(entry.timestamp_ms, entry.offset, "", "step aborted", why))
    if rollout.state is RolloutState.RUNNING:
        rollout = replace(rollout, state=RolloutState.PAUSED)
    return with_rollout(catalogue, rollout)


def with_rollout(catalogue: Catalogue, rollout: Rollout) -> Catalogue:
    """The catalogue with a rollout as it is now; those under way are never dropped."""
    rollouts = catalogue.rollouts.set(rollout.id, rollout, lambda other: other.state.is_open)
    return replace(catalogue, rollouts=rollouts)


def _check_rollout(catalogue: Catalogue, route: Route | None, body: ChangeRoute) -> None:
    current = route.rollout if route is not None else None
    if body.rollout is None:
        if current is not None and body.mode == EXACT:
            raise CommandRefusedError("conflict", f"rollout {current} of route {body.key!r} is under way")
        return
    rollout = catalogue.rollouts.get(body.rollout)
    if rollout is None or rollout.id != current:
        raise CommandRefusedError("conflict", f"rollout {body.rollout} of route {body.key!r} is not under way")
    allowed = _steps(rollout)
    if body.step not in allowed:
        raise CommandRefusedError(
            "conflict", f"rollout {rollout.id} is {rollout.state.value} at step {rollout.step + 1}"
        )


def _steps(rollout: Rollout) -> tuple[int, ...]:
    if rollout.state is RolloutState.REVERTING:
        return (BACK,)
    if rollout.state is not RolloutState.RUNNING or rollout.step >= rollout.last:
        return ()
    return (rollout.last,) if rollout.is_promoted else (rollout.step + 1,)


def _check_plan(catalogue: Catalogue, route: Route | None, plan: Plan, body: ChangeRoute) -> None:
    try:
        check_plan(plan)
    except InvalidPlanError as error:
        raise CommandRefusedError("invalid", str(error)) from error
    is_way_back = body.rollout is not None and body.step == BACK
    for target in plan.targets():
        check_active(catalogue, find_version(catalogue, target.model, target.version))
    if is_way_back:
        return
    for target in plan.serving_targets():
        version = find_version(catalogue, target.model, target.version)
        try:
            check_policy(catalogue, version, _digest_for(catalogue, version, plan, body.key, route))
        except CommandRefusedError:
            if (target.model, target.version) not in _served(route):
                raise


def _digest_for(catalogue: Catalogue, version: ModelVersion, plan: Plan, key: str, route: Route | None) -> str:
    """The digest that approvals of a version count for; empty where there are none to count."""
    if not catalogue.notes_of(version).approvals:
        return ""
    return replace(plan, salt=_salt_of(plan, key, route)).digest


def _served(route: Route | None) -> set[tuple[str, int]]:
    """Versions that the route serves or has served lately: a policy holds back what is new, never the way back."""
    if route is None:
        return set()
    plans = (entry.plan for entry in islice(route.newest_first(), ROUTE_HISTORY))
    return {(target.model, target.version) for plan in plans if plan is not None for target in plan.serving_targets()}


def _salted(plan: Plan, key: str, route: Route | None) -> Plan:
    before = route.plan if route is not None else None
    return replace(plan, salt=_salt_of(plan, key, route)).laid_out(before)


def _salt_of(plan: Plan, key: str, route: Route | None) -> str:
    return plan.salt or (route.plan.salt if route is not None and route.plan is not None else key)


def _approved(catalogue: Catalogue, plan: Plan) -> Map[int, tuple[str, ...]]:
    """Version, by its control offset -> who approves it now, for this plan or as such; without those that nobody does."""
    found: dict[int, tuple[str, ...]] = {}
    if not catalogue.notes:
        return Map()
    for target in plan.targets():
        version = catalogue.version(target)
        if version is not None and catalogue.notes_of(version).approvals:
            words = catalogue.notes_of(version).words_on(plan.digest)
            found[version.control_offset] = tuple(word.actor for word in words if word.is_approved)
    return Map({offset: names for offset, names in found.items() if names})


def _open(catalogue: Catalogue, change_id: int) -> Change:
    change = catalogue.changes.get(change_id)
    if change is None:
        raise CommandRefusedError("not-found", f"there is no change op-{change_id}")
    if not change.state.is_open or not change.is_exact:
        raise CommandRefusedError("conflict", f"change op-{change_id} is over: {change.state.value}")
    return change


def _commit_if_complete(catalogue: Catalogue, entry: LogEntry, change: Change) -> Catalogue:
    if change.state is not ChangeState.PROPOSED or change.missing:
        return catalogue
    return _committed(catalogue, entry, change)


def _at_once(catalogue: Catalogue, entry: LogEntry, change: Change, why: str) -> Catalogue:
    route = catalogue.routes.get(change.key)
    under_way = catalogue.open_change(route) if route is not None else None
    if under_way is not None:
        catalogue = aborted(catalogue, entry, under_way, f"superseded: {why}")
    rollout = catalogue.open_rollout(route) if route is not None else None
    if route is not None and rollout is not None and change.rollout is None:
        rollout = replace(rollout, state=RolloutState.ABORTED, goal=RolloutState.ABORTED)
        rollout = rollout.told(Steered(entry.timestamp_ms, entry.offset, change.actor, "superseded", why))
        catalogue = with_rollout(catalogue, rollout)
        catalogue = _with_route(catalogue, replace(catalogue.routes[route.key], rollout=None))
    return _committed(catalogue, entry, change)


def _committed(catalogue: Catalogue, entry: LogEntry, change: Change) -> Catalogue:
    change = change.ended(ChangeState.COMMITTED, entry.offset, entry.timestamp_ms)
    routed = RouteEntry(
        entry.offset, change.id, entry.timestamp_ms, change.plan, change.is_exact,
        Map({lane: promised.cut for lane, promised in change.promises.items()}),
        change.actor, change.reason, change.rollout,
        _approved(catalogue, change.plan) if change.plan is not None else Map(),
    )  # fmt: skip
    route = catalogue.routes.get(change.key) or Route(change.key)
    primary = catalogue.version(change.plan.primary.target) if change.plan is not None else None
    catalogue = _with_route(_with_change(catalogue, change), route.entering(routed, primary))
    catalogue = replace(catalogue, last_entry=entry.offset)
    rollout = catalogue.rollouts.get(change.rollout) if change.rollout is not None else None
    return catalogue if rollout is None else _stepped(catalogue, entry, rollout, change.step)


def _stepped(catalogue: Catalogue, entry: LogEntry, rollout: Rollout, step: int) -> Catalogue:
    rollout = replace(rollout, step=step, since_ms=entry.timestamp_ms)
    said = "back to where it began" if step == BACK else f"step {step + 1} of {len(rollout.steps)}"
    rollout = rollout.told(Steered(entry.timestamp_ms, entry.offset, "", "step", said))
    if step == BACK:
        rollout = replace(rollout, state=rollout.goal)
        catalogue = _with_route(catalogue, replace(catalogue.routes[rollout.key], rollout=None))
    return with_rollout(catalogue, rollout)


def _with_change(catalogue: Catalogue, change: Change) -> Catalogue:
    under_way = catalogue.open_changes - {change.id}
    if change.state.is_open:
        under_way |= {change.id}
    changes = catalogue.changes.set(change.id, change, lambda other: other.state.is_open)
    return replace(catalogue, changes=changes, open_changes=under_way)


def _with_route(catalogue: Catalogue, route: Route) -> Catalogue:
    patterns = catalogue.patterns | {route.key} if is_pattern(route.key) else catalogue.patterns
    return replace(catalogue, routes=catalogue.routes.set(route.key, route), patterns=patterns)
