"""The faults: each function disturbs two workers under load and returns the account."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import closing

from fault_harness import SESSION_SECONDS, Account, Load, Stage

SETTLE_SECONDS = 2.0
"""Load before the first disturbance."""

ZOMBIE_SECONDS = SESSION_SECONDS + 3.0
"""The group takes the partitions away from a worker that is stopped for so long."""


def _two_workers(stage: Stage, rate: float, **settings: object) -> Load:
    """Two workers that share the partitions, and load."""
    first = stage.start("one", **settings, **_static(settings, "one"))
    second = stage.start("two", **settings, **_static(settings, "two"))
    load = stage.load(rate)
    for worker in (first, second):
        worker.wait_for("lane.opened")
    time.sleep(SETTLE_SECONDS)
    return load


def _static(settings: dict[str, object], name: str) -> dict[str, object]:
    return {"static": f"static-{name}"} if settings.get("is_static") else {}


def kill_repeatedly(
    stage: Stage,
    rate: float,
    *,
    kills: int,
    gap_seconds: tuple[float, float],
    is_settled: bool,
    seed: int = 1,
    **settings: object,
) -> Account:
    """Kill one worker after the other and start another in its place.

    Args:
        stage: Where.
        rate: Records a second.
        kills: How many.
        gap_seconds: Least and longest time from one to the next.
        is_settled: Before that time the new worker has its partitions; else the next may be killed while the group still
            waits for the last one.
        seed: Of what chance decides.
        settings: Of each worker.
    """
    chance = random.Random(seed)
    with closing(stage):
        load = _two_workers(stage, rate, **settings)
        names = ["one", "two"]
        for number in range(kills):
            victim = names[number % 2]
            stage.disturbed(victim, time.time())
            stage.workers[victim].kill()
            time.sleep(chance.uniform(0.1, 0.8))
            names[number % 2] = f"{victim.split('-')[0]}-{number}"
            successor = stage.start(names[number % 2], **settings)
            if is_settled:
                successor.wait_for("lane.opened")
            time.sleep(chance.uniform(*gap_seconds))
        return stage.account(load, seconds=120)


def leave(stage: Stage, rate: float, **settings: object) -> Account:
    """Stop one of two workers in order."""
    with closing(stage):
        load = _two_workers(stage, rate, **settings)
        stage.notes["exit of the one that left"] = stage.workers["two"].stop()
        time.sleep(3)
        return stage.account(load)


def join(stage: Stage, rate: float) -> Account:
    """Start a second worker beside a busy one."""
    with closing(stage):
        first = stage.start("one")
        load = stage.load(rate)
        first.wait_for("lane.opened", count=4)
        time.sleep(SETTLE_SECONDS)
        stage.start("two").wait_for("lane.opened")
        time.sleep(3)
        return stage.account(load)


def restart_static_member(stage: Stage, rate: float) -> Account:
    """Kill a worker with a stable id and start it again."""
    with closing(stage):
        load = _two_workers(stage, rate, is_static=True)
        stage.disturbed("two", time.time())
        stage.workers["two"].kill()
        stage.start("two-again", static="static-two").wait_for("lane.opened")
        time.sleep(3)
        return stage.account(load)


def stop_and_continue(stage: Stage, rate: float, *, stops: int = 1) -> Account:
    """Freeze a worker for longer than its session and let it go on."""
    with closing(stage):
        load = _two_workers(stage, rate)
        for number in range(stops):
            victim = stage.workers[("one", "two")[number % 2]]
            began = time.time()
            victim.process.send_signal(signal.SIGSTOP)
            time.sleep(ZOMBIE_SECONDS)
            victim.process.send_signal(signal.SIGCONT)
            stage.disturbed(victim.name, began, time.time() + 2)
            time.sleep(4)
        return stage.account(load)


def lose_broker(
    stage: Stage, rate: float, *, stop: Callable[[], None], start: Callable[[], None], away_seconds: float = 5.0
) -> Account:
    """Take the broker down and bring it back."""
    with closing(stage):
        load = _two_workers(stage, rate)
        time.sleep(3)
        began = time.time()
        stop()
        time.sleep(away_seconds)
        start()
        stage.disturbed(None, began, time.time() + 15)
        time.sleep(8)
        return stage.account(load, seconds=150)
