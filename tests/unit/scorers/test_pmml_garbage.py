"""When the PMML child collects what loads left in its heap."""

from serving.scorers.pmml.jvm import Garbage

MB = 1 << 20


class Heap:
    def __init__(self, live: int) -> None:
        self.live, self.garbage, self.collections = live * MB, 0, 0
        self.found = Garbage(self.in_use, self.collect)

    def in_use(self) -> int:
        return self.live + self.garbage

    def collect(self) -> None:
        self.garbage = 0
        self.collections += 1

    def looked(self, megabytes: int) -> bool:
        """After so much more garbage."""
        self.garbage += megabytes * MB
        return self.found.look()


def test_garbage_is_collected_when_it_is_worth_it_and_then_again() -> None:
    heap = Heap(live=8)
    assert not heap.looked(0)

    assert [heap.looked(16) for _ in range(6)] == [False, True] * 3
    assert heap.collections == 3


def test_large_models_are_not_looked_through_for_a_little_garbage() -> None:
    heap = Heap(live=100)
    assert not heap.looked(0)

    assert [heap.looked(40) for _ in range(3)] == [False, False, True]


def test_what_turned_out_to_be_in_use_is_not_collected_again() -> None:
    heap = Heap(live=8)
    assert not heap.looked(0)
    heap.live += 64 * MB

    assert heap.found.look()
    assert not heap.found.look()
