import numpy as np

from model_store.core.stats import Series
from serving.adapters import statistics
from serving.adapters.gathering import Gathering, Seen
from serving.adapters.statistics import Collector
from serving.core.scored import Scored
from serving.core.signals import SAMPLE_ROWS

TREE = Series("tree", 3, "wine")


def seen(count: int) -> Seen:
    return Seen(TREE, count, 0, 0.001, 0, np.full(count, -1), Scored(np.zeros(count), None, None))


def test_there_is_room_for_as_many_records_as_are_looked_at_one_by_one() -> None:
    gathering = Gathering()
    gathering.add(seen(SAMPLE_ROWS - 60))

    assert gathering.has_room_for(60)
    assert not gathering.has_room_for(61)


def test_what_was_taken_is_gone_and_leaves_room() -> None:
    gathering = Gathering()
    gathering.add(seen(SAMPLE_ROWS))

    ((series, batch),) = gathering.take()

    assert (series, batch.count, sum(batch.predictions.numbers.values())) == (TREE, SAMPLE_ROWS, SAMPLE_ROWS)
    assert list(gathering.take()) == []
    assert gathering.has_room_for(1)


def test_a_small_batch_is_not_looked_at_by_itself(monkeypatch) -> None:
    looked = []
    real = statistics.Gathering.take
    monkeypatch.setattr(statistics.Gathering, "take", lambda self: looked.append(True) or real(self))
    collector = Collector(lambda: 1_800_000_000_000)  # a slot that ends would have all of it counted

    for _ in range(128):
        collector.observe_values(TREE, 1, 0, 0.001, np.array([-1]), Scored(np.zeros(1), None, None))

    assert len(looked) == 1
    assert collector.total().series[TREE].count == 128


def test_an_empty_batch_is_nothing() -> None:
    collector = Collector()

    collector.observe_values(TREE, 0, 0, 0.001, np.empty(0, np.int64), None)

    assert collector.total().series == {}
