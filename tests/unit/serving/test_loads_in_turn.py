"""Many versions at once: each has the whole of its time, however long it waited for its turn."""

import asyncio
import threading

import numpy as np
from serving_story import STREAM, Adder, Story

from serving.core.binding import Binding
from serving.live import LiveModels
from serving.loader import Loaded
from serving.loads import LOADS_AT_ONCE, Loads

LIMIT_SECONDS = 0.2


class Shelf:
    """The first loads hang until they are let go; the others are quick. Counts how many are at it together."""

    def __init__(self, hanging: int) -> None:
        self.hanging, self.go = hanging, threading.Event()
        self.begun = self.now = self.most = 0
        self.lock = threading.Lock()

    def load(self, _descriptor, _control_offset):
        with self.lock:
            self.begun += 1
            self.now += 1
            self.most = max(self.most, self.now)
            hangs = self.begun <= self.hanging
        if hangs:
            self.go.wait(60)
        with self.lock:
            self.now -= 1
        return Loaded(Adder(1), {STREAM: Binding(np.array([0], np.intp), ())}, {}, b"\1" * 32, 10, 0.1)


def load_all(shelf: Shelf, versions: int) -> Loads:
    async def run() -> Loads:
        story = Story(versions)
        loads = Loads(LiveModels(lambda model: model.scorer.close()), shelf, LIMIT_SECONDS, lambda _: None)
        for version in story.catalogue.versions.values():
            loads.start(version)
        while tasks := loads.under_way(set(story.catalogue.versions)):
            await asyncio.wait(tasks)
        shelf.go.set()
        loaded = set(loads.live.by_version)
        await loads.stop()
        assert loaded | set(loads.refused) == set(story.catalogue.versions)
        return loads

    return asyncio.run(run())


def test_waiting_for_a_turn_is_not_part_of_a_loads_time() -> None:
    loads = load_all(Shelf(hanging=LOADS_AT_ONCE), versions=LOADS_AT_ONCE + 5)

    assert len(loads.refused) == LOADS_AT_ONCE
    assert {refusal.problem for refusal in loads.refused.values()} == {"limit"}


def test_so_many_loads_run_together_and_no_more() -> None:
    shelf = Shelf(hanging=0)

    load_all(shelf, versions=20)

    assert shelf.most <= LOADS_AT_ONCE
