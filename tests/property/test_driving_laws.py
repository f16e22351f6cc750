from collections import Counter
from collections.abc import Callable

from driving_world import World
from hypothesis import given, settings
from hypothesis import strategies as st

from control_api.core.driving import ACTOR, Surroundings, next_commands, retirements
from control_api.core.guards import Fail, Pass, Verdict, Wait
from model_store.core.catalogue import Catalogue
from model_store.core.changes import ChangeState
from model_store.core.commands import (
    AbortChange,
    Approve,
    ChangeRoute,
    ClaimJob,
    Command,
    RequestJob,
    SetAlias,
    SetPolicy,
    StartRollout,
    SteerRollout,
    Step,
)
from model_store.core.guards import Guard
from model_store.core.plans import Target
from model_store.core.rollouts import RolloutState

VERDICTS: tuple[Verdict, ...] = (Pass(), Wait(("too few",)), Fail(("it fails",), {"verdict": "fail"}))
STEPS = ((0, 10_000), (0, 100, 10_000), (5000, 10_000), (10_000,))

numbers = st.integers(0, 7)
acts = st.tuples(
    st.sampled_from(
        [
            "start", "stop", "claim", "ready", "refuse", "promise", "serve", "register", "alias", "alias", "follow",
            "roll out", "roll out", "steer", "abort", "policy", "approve", "job", "take job", "wait", "wait", "settle",
            "know", "all are ready", "all are ready", "all promise", "all promise", "all promise",
        ]
    ),
    numbers,
    numbers,
)  # fmt: skip


def act(world: World, what: str, one: int, two: int) -> None:
    """Something that a person or a worker may do."""
    worker = f"w{one % 3}"
    epoch = _epoch(world, worker)
    changes = sorted(world.catalogue.open_changes)
    change = changes[two % len(changes)] if changes else 0
    rollouts = sorted(world.catalogue.rollouts)
    deeds: dict[str, Callable[[], object]] = {
        "start": lambda: world.start(worker, *((one % 3,) if one % 3 < 2 else ()), epoch=f"e{two}"),
        "stop": lambda: world.held.pop(worker, None),
        "claim": lambda: world.claim(worker, epoch) if worker in world.held else None,
        "ready": lambda: world.ready(worker, change, epoch),
        "refuse": lambda: world.ready(worker, change, epoch, "damaged"),
        "promise": lambda: world.promise(worker, change, 10 * two),
        "all are ready": lambda: [
            world.ready(name, each, _epoch(world, name)) for each in changes for name in world.held
        ],
        "all promise": lambda: [world.promise(name, each, 10 * two) for each in changes for name in world.held],
        "serve": lambda: world.serve(1 + one % 3, mode="exact" if two % 3 else "immediate"),
        "register": lambda: world.version(),
        "alias": lambda: world.say(SetAlias("tree", "champion", 1 + one % 3)),
        "follow": lambda: world.serve(world.catalogue.models["tree"].aliases.get("champion", 1), alias="champion"),
        "roll out": lambda: _roll_out(world, 1 + one % 3, STEPS[two % len(STEPS)], one % 2 == 0),
        "steer": lambda: world.say(
            SteerRollout(
                rollouts[-1] if rollouts else 0, ("pause", "resume", "promote", "abort", "rollback", "resume")[one % 6]
            )
        ),
        "abort": lambda: world.say(AbortChange(change)) if one == 0 else None,
        "policy": lambda: world.say(SetPolicy("tree", one % 2, two % 5 == 0, 20 * (two % 2))),
        "approve": lambda: world.say(Approve("tree", 1 + one % 3, two % 4 != 0)),
        "job": lambda: world.say(RequestJob("backtest", "{}")),
        "take job": lambda: world.say(ClaimJob(max(world.catalogue.jobs, default=0), worker, epoch)),
        "wait": lambda: world.wait((0.5, 1, 5, 20, 60, 120, 1, 5)[one]),
        "settle": lambda: setattr(world, "is_settled", one % 4 != 0),
        "know": lambda: setattr(world, "is_current", one % 4 != 0),
    }
    deeds[what]()


def _epoch(world: World, worker: str) -> str:
    known = world.catalogue.workers.get(worker)
    return known.epoch if known is not None else "e0"


def _roll_out(world: World, version: int, weights: tuple[int, ...], is_guarded: bool) -> None:
    guards = (Guard("error_rate", 0.1),) if is_guarded else ()
    world.say(StartRollout("wine", Target("tree", version), tuple(Step(weight, 5) for weight in weights), guards))


def begun() -> World:
    """Two workers and three versions, the first serving."""
    world = World()
    world.start("w0", 0)
    world.start("w1", 1)
    for _ in range(3):
        world.version()
    world.serve(1)
    return world


def verdicts_for(catalogue: Catalogue, number: int) -> dict[int, Verdict]:
    """Something that the guards may say of each rollout."""
    return {rollout: VERDICTS[(rollout + number) % 3] for rollout in catalogue.rollouts}


def wanted(catalogue: Catalogue, around: Surroundings) -> list[Command]:
    """All that a replica would write, retirements included."""
    return [*next_commands(catalogue, around), *retirements(catalogue, around.now_ms, 2)]


def told(catalogue: Catalogue) -> object:
    """All that a command of a replica may change."""
    return (
        catalogue.routes,
        catalogue.changes.entries,
        catalogue.rollouts.entries,
        catalogue.jobs.entries,
        catalogue.notes,
    )


@settings(max_examples=150)
@given(st.lists(acts, max_size=60))
def test_what_a_replica_wants_is_accepted_and_wanted_once(history: list[tuple[str, int, int]]) -> None:
    world, written = begun(), Counter[str]()
    for what, one, two in history:
        act(world, what, one, two)
        around = world.around(verdicts_for(world.catalogue, one))
        for command in next_commands(world.catalogue, around):
            assert world.write(command).is_accepted
            written[command.id] += 1
        for command in retirements(world.catalogue, world.now_ms, 2):
            assert world.write(command).is_accepted
            written[command.id] += 1

    assert all(times == 1 for times in written.values())
    assert all(len(command_id) <= 64 for command_id in written)


@settings(max_examples=150)
@given(st.lists(acts, max_size=60), numbers)
def test_the_same_decisions_of_two_replicas_have_one_effect(history: list[tuple[str, int, int]], number: int) -> None:
    world = begun()
    for what, one, two in history:
        act(world, what, one, two)
        commands = wanted(world.catalogue, world.around(verdicts_for(world.catalogue, number)))
        for command in commands:
            world.write(command)
        once = told(world.catalogue)
        for command in reversed(commands):
            world.write(command)

        assert told(world.catalogue) == once


@settings(max_examples=150)
@given(st.lists(st.tuples(acts, st.integers(0, 5), st.integers(0, 5)), max_size=60))
def test_replicas_that_lag_and_disagree_do_nothing_twice(
    history: list[tuple[tuple[str, int, int], int, int]],
) -> None:
    world, accepted = begun(), Counter[str]()
    seen = [(world.catalogue, world.around())]
    for (what, one, two), *lags in history:
        act(world, what, one, two)
        seen.append((world.catalogue, world.around()))
        for replica, lag in enumerate(lags):
            catalogue, around = seen[max(0, len(seen) - 1 - lag)]
            verdicts = verdicts_for(catalogue, one + replica)
            around = Surroundings(around.now_ms, around.membership, around.partitions, verdicts)
            for command in wanted(catalogue, around):
                before = world.catalogue
                is_new = command.id not in before.commands
                if world.write(command).is_accepted and is_new:
                    accepted[command.id] += 1
                else:
                    assert told(world.catalogue) == told(before)
        seen.append((world.catalogue, world.around()))

    assert all(times == 1 for times in accepted.values())
    _check_changes(world.catalogue)
    _check_rollouts(world.catalogue)


def _check_changes(catalogue: Catalogue) -> None:
    """A step of a rollout is committed once between two times that it is begun from the start."""
    committed = Counter[tuple[int, int]]()
    for change_id in catalogue.changes:
        change = catalogue.changes.get(change_id)
        if change is not None and change.rollout is not None and change.state is ChangeState.COMMITTED:
            committed[change.rollout, change.step] += 1
    assert all(times == 1 for times in committed.values())


def _check_rollouts(catalogue: Catalogue) -> None:
    """Steps rise by one each, or to the last one where somebody promoted it; what is over is decided once."""
    for rollout_id in catalogue.rollouts:
        rollout = catalogue.rollouts.get(rollout_id)
        assert rollout is not None
        ends = [told for told in rollout.story if told.actor == ACTOR and told.action in ("complete", "rollback")]
        assert len(ends) <= 1
        if rollout.state is RolloutState.SUCCEEDED:
            assert rollout.step == rollout.last
            steps = [told.reason for told in rollout.story if told.action == "step"]
            assert rollout.is_promoted or steps == [
                f"step {number} of {len(rollout.steps)}" for number in range(1, len(rollout.steps) + 1)
            ]


def test_the_world_of_these_laws_is_not_a_dull_one() -> None:
    """All kinds of commands that a replica writes occur."""
    kinds: set[str] = set()

    @settings(max_examples=300, database=None, derandomize=True)
    @given(st.lists(acts, min_size=20, max_size=60))
    def look(history: list[tuple[str, int, int]]) -> None:
        world = begun()
        for what, one, two in history:
            act(world, what, one, two)
            for command in wanted(world.catalogue, world.around(verdicts_for(world.catalogue, one))):
                body = command.body
                kinds.add(body.action if isinstance(body, SteerRollout) else type(body).__name__)
                if isinstance(body, ChangeRoute) and body.rollout is not None:
                    kinds.add("way back" if body.step == -1 else "step")
                world.write(command)

    look()

    assert kinds >= {
        "ProposeChange",
        "AbortChange",
        "ChangeRoute",
        "step",
        "way back",
        "rollback",
        "ReportJob",
        "SetStage",
    }
