"""How the demo acts its story out, against an API that answers as it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sluice.client import ModelRefusedError
from sluice.client.answers import Cut, Operation, Outcome, Published, Route, ServerEvent
from sluice.client.plans import Arm, Plan, Target
from sluice.client.routing import Changed, Entry, Rollout, RolloutStep, Told
from sluice.client.server_events import Followed
from sluice.demo.control_events import ControlEvents
from sluice.demo.errors import DemoError
from sluice.demo.publishing import STEPS, Publisher
from sluice.demo.story import CHAPTERS, CanaryStep

AT = datetime(2026, 1, 1, tzinfo=UTC)
PLAIN = CHAPTERS[0]
CANARY = next(chapter for chapter in CHAPTERS if chapter.is_canary)


def event(kind: str, second: float = 0.0, **data: Any) -> ServerEvent:
    at = AT.replace(microsecond=int(second * 1e6)).isoformat()
    return ServerEvent(kind=kind, data={"at": at, **data})


class Api:
    """The calls that the demo makes, answered from what a test says."""

    def __init__(self, operation: Operation | None = None, rollouts: tuple[Rollout, ...] = ()) -> None:
        self.operation = operation
        self.rollouts = list(rollouts)
        self.heard: list[ServerEvent] = []
        self.published: dict[str, Any] = {}
        self.started: dict[str, Any] = {}
        self.entries: tuple[Entry, ...] = ()

    def publish(self, path: Any, **said: Any) -> Published:
        self.published = said
        return Published(operation="op-7", model=said["name"], version="2", data_type=said["for_"], control_offset=7)

    def wait(self, operation: str, seconds: float) -> Operation:
        assert self.operation is not None
        if self.operation.state == "failed":
            raise ModelRefusedError(self.operation)
        return self.operation

    def start_rollout(self, key: str, candidate: Target, **said: Any) -> Rollout:
        self.started = {"key": key, "candidate": candidate, **said}
        return rollout(0)

    def rollout(self, key: str, id: str) -> Rollout:
        return self.rollouts.pop(0)

    def route(self, key: str, **_: Any) -> Route:
        return Route(key=key, entries=self.entries)

    def events(self, *, after: str | None = None) -> Iterator[Followed[ServerEvent]]:
        assert after == "6"
        return iter(Followed(each, None) for each in self.heard)


def rollout(step: int, state: str = "running", story: tuple[Told, ...] = ()) -> Rollout:
    candidate = Target(model="sparkling-quality", version="2")
    steps = tuple(RolloutStep(weight=each.weight) for each in STEPS)
    return Rollout(id="9", key="sparkling", candidate=candidate, state=state, step=step, steps=steps, story=story)


def entry(change: int, versions: tuple[str, ...], rollout_id: str | None = "9") -> Entry:
    arms = tuple(Arm(f"arm-{version}", "sparkling-quality", version) for version in versions)
    cuts = (Changed(topic="records", partition=0, cut=change), Changed(topic="others", partition=0, cut=1))
    return Entry(
        control_offset=change,
        entry_offset=change + 1,
        at=AT,
        plan=Plan(arms=arms),
        exact=True,
        cuts=cuts,
        rollout=rollout_id,
    )


def operation(state: str = "succeeded", mode: str = "exact", workers: tuple[Outcome, ...] = ()) -> Operation:
    return Operation(
        id="op-7", state=state, model="wine-quality", version="2", data_type="wine", control_offset=7, created_at=AT,
        mode=mode, ready=("a", "b"), cuts=(Cut(topic="records", partition=0, cut=81), Cut(topic="others", partition=0, cut=1)),
        workers=workers,
    )  # fmt: skip


def publisher(api: Api, rate: float | None = None) -> Publisher:
    return Publisher(api, "records", rate)  # type: ignore[arg-type]  # it answers the calls that are made


def test_a_chapter_goes_over_exactly_and_its_times_are_those_of_the_log():
    api = Api(operation())
    api.heard = [
        event("change-ready", 0.1, worker="a", change=7),
        event("change-ready", 0.5, worker="b", change=7),
        event("change-committed", 0.74, change=7),
        event("live", 0.8, worker="a", descriptor_offset=7, load_ms=30.0),
        event("live", 0.9, worker="b", descriptor_offset=7, load_ms=90.0),
    ]

    swap = publisher(api).act(PLAIN)

    (cut_over,) = swap.cut_overs
    assert (swap.version, swap.is_refused, swap.load_ms) == (2, False, 90.0)
    assert (cut_over.change, cut_over.place, cut_over.serves) == (7, "records 0@81", {("wine-quality", 2)})
    assert cut_over.cut_over_ms == pytest.approx(240.0)
    assert api.published["mode"] == "exact"


def test_a_time_that_was_not_measured_is_none():
    events = ControlEvents(Api())  # type: ignore[arg-type]  # nothing is followed
    events.note(event("live", worker="a", descriptor_offset=7, load_ms=30.0))
    events.note(event("change-ready", worker="a", change=7))

    assert events.load_ms(7, ("a",), 0.0) == 30.0
    assert events.load_ms(7, ("a", "b"), 0.0) is None
    assert events.load_ms(8, (), 0.0) is None
    assert events.cut_over_ms(7, 0.0) is None


def test_a_change_that_was_immediate_has_no_cut():
    api = Api(operation(mode="immediate"))
    api.heard = [event("live", worker=name, descriptor_offset=7, load_ms=1.0) for name in ("a", "b")]

    assert publisher(api).act(PLAIN).cut_overs == ()


def test_a_refused_chapter_is_told_with_the_workers_reason():
    workers = (Outcome(worker="a", state="refused", reason="it is broken"),)

    swap = publisher(Api(operation("failed", workers=workers))).act(PLAIN)

    assert (swap.is_refused, swap.reason, swap.cut_overs) == (True, "it is broken", ())


def test_a_canary_is_registered_first_and_each_of_its_steps_is_told_once():
    api = Api(rollouts=(rollout(0), rollout(1), rollout(3), rollout(4), rollout(4, "succeeded")))
    entries = (
        entry(40, ("2",)),
        entry(30, ("1", "2")),
        entry(20, ("1", "2")),
        entry(10, ("1",)),
        entry(3, ("1",), None),
    )
    api.entries = entries
    api.heard = [event("live", worker="a", descriptor_offset=7, load_ms=12.0)]
    api.heard += [event(kind, 0.1, change=n) for n in (10, 20, 30, 40) for kind in ("change-ready", "change-committed")]
    told: list[CanaryStep] = []
    acting = publisher(api, 2_000.0)
    acting.on_step = told.append

    swap = acting.act(CANARY)

    assert api.published["mode"] == "none"
    assert api.started["candidate"] == Target(model="sparkling-quality", version="2")
    assert [guard.minimum_records for guard in api.started["guards"]] == [50]
    assert [(step.number, step.share) for step in told] == [
        (1, "dark"),
        (2, "at 10 %"),
        (3, "at 50 %"),
        (4, "at 100 %"),
    ]
    assert [len(step.cut_over.serves) for step in told] == [1, 2, 2, 1]
    assert [each.cuts for each in swap.cut_overs] == [{0: 10}, {0: 20}, {0: 30}, {0: 40}]
    assert (swap.is_refused, swap.load_ms) == (False, 12.0)


def test_a_canary_that_a_guard_took_back_did_not_go_as_told():
    story = (Told(at=AT, action="rollback", reason="it fails"),)

    swap = publisher(Api(rollouts=(rollout(0, "rolled_back", story),))).act(CANARY)

    assert not swap.went_as_told
    assert swap.reason == "rolled back: it fails"


@pytest.mark.parametrize(("rate", "minimum"), [(None, 50), (1e6, 50), (2_000.0, 50), (1_000.0, 25), (1.0, 1)])
def test_the_guard_of_a_slow_stream_asks_for_fewer_records(rate: float | None, minimum: int):
    api = Api(rollouts=(rollout(0, "aborted"),))

    publisher(api, rate).act(CANARY)

    assert api.started["guards"][0].minimum_records == minimum


def test_a_canary_that_never_ends_ends_the_demo_with_what_it_waits_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sluice.demo.publishing.WAIT_SECONDS", 0.0)

    with pytest.raises(DemoError, match="not over after 0 s"):
        publisher(Api()).act(CANARY)
