"""The pure parts of writing: preconditions, states that were, where a rollback goes, plans, events."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.core.log_events import KINDS, events_of
from control_api.core.past import Past, TooLongAgoError
from control_api.core.plans import moved_percent, plan_given, plan_shape
from control_api.core.rolling_back import plan_with, previous_plan
from control_api.errors import ApiError
from control_api.preconditions import expected_revision
from control_api.schemas.plans import GivenPlan
from control_api.schemas.shape import epoch_ms, rfc3339
from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold, fold_all
from model_store.core.commands import (
    ABSENT,
    EXACT,
    IMMEDIATE,
    ChangeRoute,
    Command,
    CommandBody,
    ProposeChange,
    RegisterVersion,
    SetAlias,
)
from model_store.core.control_records import (
    Announced,
    ChangeReady,
    ControlRecord,
    CutsPromised,
    Invalid,
    PartitionOffset,
    PartitionsClaimed,
    RouteApplied,
    Snapshot,
    Unknown,
    WorkerStarted,
)
from model_store.core.descriptor import Descriptor
from model_store.core.lanes import Lane
from model_store.core.plans import Arm, Plan, Target, plain_plan


def announced(name: str = "tree") -> Announced:
    return Announced(Descriptor(name, "wine", "PMML", location="/m"))


def ask(body: CommandBody) -> Command:
    return Command("", "ada", "", body)


def folded(*records: ControlRecord) -> Catalogue:
    return fold_all(EMPTY, [LogEntry(offset, 1000 * offset, record) for offset, record in enumerate(records)])


def turned(*versions: int) -> Catalogue:
    """A route of `tree` that was given these versions one after the other."""
    made = [announced() for _ in range(4)]
    turns = [ask(ChangeRoute("wine", plain_plan("tree", version, "wine"), IMMEDIATE)) for version in versions]
    registered = [ask(RegisterVersion(each.descriptor)) for each in made]
    return folded(*registered, *turns)


def previous(catalogue: Catalogue) -> int | None:
    plan = previous_plan(catalogue, catalogue.routes["wine"])
    return plan.primary.target.version if plan is not None else None


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "expected"),
    [
        ('"7"', None, 7),
        ('"7-0123abcdef"', None, 7),
        ("7", None, 7),
        ('"3", "7-ab"', None, 7),
        ('"3", "4"', None, 3),
        ("*", None, None),
        (None, "*", ABSENT),
    ],
)
def test_a_header_says_the_revision_that_is_expected(
    if_match: str | None, if_none_match: str | None, expected: int | None
) -> None:
    assert expected_revision(if_match, if_none_match, 7, is_required=True) == expected


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "found", "status"),
    [(None, None, 7, 428), ("*", None, ABSENT, 412), ("W/x", None, 7, 400), (None, '"7"', 7, 400), ("7", "*", 7, 400)],
)
def test_a_header_that_is_missing_or_none_is_refused(
    if_match: str | None, if_none_match: str | None, found: int, status: int
) -> None:
    with pytest.raises(ApiError) as raised:
        expected_revision(if_match, if_none_match, found, is_required=True)

    assert raised.value.problem.status == status


@given(st.text(max_size=30))
def test_no_header_makes_a_precondition_crash(text: str) -> None:
    with contextlib.suppress(ApiError):
        found = expected_revision(text, None, 7, is_required=True)
        assert found is None or found >= 0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(-1, 60), st.integers(2, 10))
def test_the_past_is_the_last_state_that_was_not_later(times: list[int], asked: int, kept: int) -> None:
    past, state, noted = Past(kept), EMPTY, list[tuple[int, Catalogue]]()
    for offset, at_ms in enumerate(times):
        after = fold(state, LogEntry(offset, at_ms, announced()))
        past.note(state, after, at_ms)
        noted.append((max(at_ms, noted[-1][0]) if noted else at_ms, after))
        state = after

    expected = next((then.offset for at_ms, then in reversed(noted) if at_ms <= asked), -1)
    if len(times) <= kept or asked >= noted[len(noted) - kept][0]:
        assert past.at(asked).offset == expected
    else:
        with contextlib.suppress(TooLongAgoError):
            assert past.at(asked).offset == expected


def test_what_was_before_the_first_state_that_was_read_is_not_made_up() -> None:
    past, snapshot = Past(), folded(announced())

    past.note(snapshot, fold(snapshot, LogEntry(1, 5, announced("net"))), 5)

    assert past.at(5).offset == 1
    with pytest.raises(TooLongAgoError):
        past.at(4)


def test_what_workers_say_is_no_new_state_of_the_past() -> None:
    past, before = Past(), folded(announced())
    past.note(EMPTY, before, 0)

    past.note(before, fold(before, LogEntry(1, 5, WorkerStarted("w1", "e1"))), 5)

    assert past.at(10).offset == 0


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([1], None),
        ([1, 2], 1),
        ([1, 2, 3], 2),
        ([1, 2, 1], None),
        ([1, 2, 3, 2], 1),
        ([1, 2, 3, 2, 1], None),
        ([1, 2, 3, 1], 3),
        ([1, 1, 2], 1),
    ],
)
def test_previous_is_what_is_below_on_the_stack(versions: list[int], expected: int | None) -> None:
    assert previous(turned(*versions)) == expected


def test_where_nothing_serves_previous_is_what_served_last() -> None:
    catalogue = turned(1, 2)
    away = LogEntry(catalogue.offset + 1, 0, ask(ChangeRoute("wine", None, IMMEDIATE)))

    assert previous(fold(catalogue, away)) == 2


def test_a_rollback_to_a_version_takes_its_own_plan_or_leaves_it_alone_with_everything() -> None:
    catalogue = turned(1, 2)
    shared = Plan((Arm("main", Target("tree", 2), 9_000), Arm("canary", Target("tree", 3), 1_000)), "s")
    catalogue = fold(catalogue, LogEntry(catalogue.offset + 1, 0, ask(ChangeRoute("wine", shared, IMMEDIATE))))
    route = catalogue.routes["wine"]

    assert plan_with(catalogue, route, Target("tree", 2)) == route.plan
    alone = plan_with(catalogue, route, Target("tree", 4))
    assert [(arm.name, arm.target.version, arm.weight) for arm in alone.arms] == [("main", 4, 10_000)]


def test_a_rollback_keeps_an_alias_only_while_it_names_the_same_version() -> None:
    catalogue = turned()
    steps = [
        SetAlias("tree", "champion", 1),
        ChangeRoute("wine", Plan((Arm("primary", Target("tree", 1, "champion")),)), IMMEDIATE),
        ChangeRoute("wine", plain_plan("tree", 3), IMMEDIATE),
        SetAlias("tree", "champion", 2),
    ]
    states = [catalogue]
    for step in steps:
        states.append(fold(states[-1], LogEntry(states[-1].offset + 1, 0, ask(step))))

    plans = [previous_plan(state, state.routes["wine"]) for state in states[-2:]]

    assert [plan.primary.target.alias for plan in plans if plan is not None] == ["champion", ""]


def test_a_plan_that_is_answered_can_be_sent_back() -> None:
    catalogue = turned()
    given = GivenPlan.model_validate(
        {
            "arms": [
                {"model": "tree", "version": "1", "weight": 66.67},
                {"model": "tree", "version": "2", "weight": 33.33},
            ],
            "pins": {"e": "arm-2"},
            "rules": [{"when": "a > 1.0", "arm": "primary"}],
            "dark": [{"model": "tree", "version": "3"}],
            "speculation": {"decider": "vote"},
        }
    )
    plan = plan_given(catalogue, given)
    shape = plan_shape(plan).model_dump(exclude={"digest"})

    for each in [*shape["arms"], *shape["dark"]]:
        del each["alias"]
    assert plan_given(catalogue, GivenPlan.model_validate(shape)) == plan


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_share_that_moves_is_the_difference_of_the_weights(before: int, after: int) -> None:
    def plan(weight: int, laid_before: Plan | None) -> Plan:
        arms = (Arm("a", Target("tree", 1), 10_000 - weight), Arm("b", Target("tree", 2), weight))
        return Plan(arms, "s").laid_out(laid_before)

    first = plan(before, None)

    assert moved_percent(first, plan(after, first)) == abs(after - before) / 100


@given(st.integers(0, 253_402_300_799_999))
def test_an_instant_gives_its_milliseconds_back(at_ms: int) -> None:
    assert epoch_ms(rfc3339(at_ms)) == at_ms


def test_every_record_is_told_and_an_exact_change_is_told_to_its_end() -> None:
    descriptor = announced().descriptor
    at = (PartitionOffset("t", 0, 5),)
    records: list[ControlRecord] = [
        WorkerStarted("w1", "e1", group="g"),
        PartitionsClaimed("w1", "e1", "c", "g", at),
        ask(RegisterVersion(descriptor, mode=EXACT)),
        ChangeReady("w1", "e1", 2),
        ask(ProposeChange(2, (Lane("g", "t", 0),))),
        CutsPromised("w1", 2, "c", "g", at),
        RouteApplied("w1", 2, "wine", "c", "g", at),
        ask(SetAlias("tree", "champion", 9)),
        announced(),
        Invalid("no"),
        Unknown("later"),
        Snapshot("1", b""),
    ]
    states = [EMPTY]
    told: list[str] = []
    for offset, record in enumerate(records):
        entry = LogEntry(offset, 0, record)
        states.append(fold(states[-1], entry))
    for offset, (before, after) in enumerate(pairwise(states)):
        told += [kind for kind, _ in events_of(LogEntry(offset, 0, records[offset]), before, after)]

    assert told == [
        "worker-started", "partitions-claimed", "version-registered", "change-ready", "change-proposed",
        "cuts-promised", "change-committed", "route-applied", "refused", "published", "invalid",
        "unknown", "snapshot",
    ]  # fmt: skip
    assert set(told) <= set(KINDS)
