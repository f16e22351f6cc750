"""Acting the story out: publish a chapter, at once or as a canary, and say exactly where and when it took over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from sluice.client import Client, ModelRefusedError
from sluice.client.answers import Operation, Published
from sluice.client.plans import Plan, Target
from sluice.client.routing import Changed, Entry, Guard, Rollout, RolloutStep
from sluice.client.waiting import operation_of
from sluice.demo.control_events import ControlEvents
from sluice.demo.cuts import CutOver, Served
from sluice.demo.errors import DemoError
from sluice.demo.story import MODEL_OF, CanaryStep, Chapter, Swap

# Longest time for one model to be live on every worker; the first PMML model starts a Java machine.
WAIT_SECONDS = 90.0
_LOOK_SECONDS = 0.15
STEPS = (
    RolloutStep(weight=0, bake_seconds=1.0),
    RolloutStep(weight=10, bake_seconds=1.5),
    RolloutStep(weight=50, bake_seconds=1.0),
    RolloutStep(weight=100, bake_seconds=0.0),
)


@dataclass(slots=True)
class Publisher:
    """Publishes chapters; one thread.

    Attributes:
        data_topic: Topic that the cuts are in.
        rate: Records a second that are sent; `None` is as many as come back.
        on_step: Called with each step of a canary that was taken.
        on_wait: Called with what a canary waits for.
    """

    client: Client
    data_topic: str
    rate: float | None = None
    on_step: Callable[[CanaryStep], None] = lambda step: None
    on_wait: Callable[[str], None] = lambda text: None
    _events: ControlEvents = field(init=False)

    def __post_init__(self) -> None:
        self._events = ControlEvents(self.client)

    def act(self, chapter: Chapter) -> Swap:
        """Publish a chapter and wait until it serves, or was refused.

        Raises:
            ClientError: The API is not there, or the change took too long.
            DemoError: The rollout took too long.
        """
        return self._roll_out(chapter) if chapter.is_canary else self._publish(chapter)

    def _send(self, chapter: Chapter, mode: str) -> Published:
        published = self.client.publish(
            chapter.path,
            for_=chapter.data_type,
            name=MODEL_OF[chapter.data_type],
            mode=mode,
            description=f"Demo: {chapter.what}",
            publisher="sluice demo",
        )
        self._events.begin(published.control_offset)
        return published

    def _publish(self, chapter: Chapter) -> Swap:
        published_ms = _clock_ms()
        published = self._send(chapter, "exact")
        try:
            operation = self.client.wait(operation_of(published), WAIT_SECONDS)
        except ModelRefusedError as error:
            reasons = [outcome.reason for outcome in error.operation.workers if outcome.state == "refused"]
            reason = (reasons or [error.operation.message])[0]
            return Swap(chapter, published_ms, int(error.operation.version or 0), True, reason)
        return Swap(
            chapter,
            published_ms,
            int(operation.version or 0),
            False,
            load_ms=self._events.load_ms(operation.control_offset, operation.ready),
            cut_overs=self._cut_overs_of(operation),
        )

    def _cut_overs_of(self, operation: Operation) -> tuple[CutOver, ...]:
        if operation.mode != "exact":
            return ()
        cuts = {at.partition: at.cut for at in operation.cuts if at.topic == self.data_topic and at.cut is not None}
        serves = frozenset({(operation.model, int(operation.version or 0))})
        return (self._cut_over(operation.data_type, operation.control_offset, cuts, serves),)

    def _roll_out(self, chapter: Chapter) -> Swap:
        published = self._send(chapter, "none")
        started_ms = _clock_ms()
        version = published.version or "0"
        rollout = self.client.start_rollout(
            chapter.data_type,
            Target(model=published.model, version=version),
            steps=STEPS,
            guards=[Guard(signal="error_rate", limit=0.02, minimum_records=self._minimum_records(), breaches=2)],
            reason=f"Demo: {chapter.what}",
        )
        swap = Swap(chapter, started_ms, int(version), False)
        taken: list[CanaryStep] = []
        deadline = time.monotonic() + WAIT_SECONDS
        while rollout.is_open or (rollout.state == "succeeded" and len(taken) < len(STEPS)):
            if time.monotonic() >= deadline:
                raise DemoError(
                    f"the rollout of {rollout.candidate} is not over after {WAIT_SECONDS:g} s: {rollout.next}"
                )
            time.sleep(_LOOK_SECONDS)
            rollout = self.client.rollout(chapter.data_type, rollout.id)
            self.on_wait(rollout.next)
            if rollout.step > len(taken):
                taken += self._new_steps(swap, rollout, len(taken))
        self.on_wait("")
        swap = replace(swap, cut_overs=tuple(step.cut_over for step in taken))
        if rollout.state != "succeeded":
            why = rollout.story[-1].reason if rollout.story else rollout.state
            return replace(swap, is_refused=True, reason=f"{rollout.state.replace('_', ' ')}: {why}")
        return replace(swap, load_ms=self._events.load_ms(published.control_offset))

    def _new_steps(self, swap: Swap, rollout: Rollout, known: int) -> list[CanaryStep]:
        """The steps that were taken beyond the first `known`, as the route's timeline has them."""
        entries = self.client.route(rollout.key, max_entries=2 * len(STEPS)).entries
        mine = [entry for entry in reversed(entries) if entry.rollout == rollout.id and entry.exact]
        found = []
        for number, entry in list(enumerate(mine[: len(STEPS)], start=1))[known:]:
            weight = rollout.steps[number - 1].weight
            step = CanaryStep(swap.chapter, swap.version, number, len(STEPS), weight, self._entered(rollout.key, entry))
            self.on_step(step)
            found.append(step)
        return found

    def _entered(self, key: str, entry: Entry) -> CutOver:
        return self._cut_over(key, entry.control_offset, _places(entry.cuts, self.data_topic), _serves(entry.plan))

    def _cut_over(self, data_type: str, change: int, cuts: dict[int, int], serves: frozenset[Served]) -> CutOver:
        return CutOver(data_type, change, self.data_topic, cuts, serves, self._events.cut_over_ms(change))

    def _minimum_records(self) -> int:
        """What a canary of a tenth of a fifth of the records gets in about a second, and at most 50."""
        return 50 if self.rate is None else max(1, min(50, int(self.rate * 0.025)))


def _places(cuts: Iterable[Changed], topic: str) -> dict[int, int]:
    return {at.partition: at.cut for at in cuts if at.topic == topic}


def _serves(plan: Plan | None) -> frozenset[Served]:
    return frozenset((arm.model, int(arm.version or 0)) for arm in plan.arms) if plan is not None else frozenset()


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
