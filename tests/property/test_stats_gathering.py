"""Small batches that were put aside are counted as if each had been counted at once."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.core.sketch import NO_PREDICTIONS
from model_store.core.stats import Series
from serving.adapters.gathering import SMALL
from serving.adapters.statistics import Collector
from serving.core.columns import TextColumn
from serving.core.scored import Scored
from serving.core.signals import observe_predictions

START_MS = 1_800_000_000_000
LABELS = ("red", "white", "sparkling")


class Clock:
    def __init__(self) -> None:
        self.now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


@st.composite
def batches(draw):
    """A model, records, errors, seconds, how long after the batch before, ages and what the model said."""
    count = draw(st.integers(1, SMALL))
    scored = draw(st.sampled_from([count, count, count // 2, 0]))
    kind = draw(st.sampled_from(["label", "number", "scores"]))
    seed = draw(st.integers(0, 99))
    random = np.random.default_rng(seed)
    numbers = random.normal(size=scored)
    values = {
        "label": Scored(None, TextColumn(random.integers(-1, len(LABELS), scored), LABELS), None),
        "number": Scored(numbers, None, None),
        "scores": Scored(None, None, np.column_stack([numbers, -numbers])),
    }[kind]
    ages = random.integers(0, 10_000, count)
    return (
        Series(draw(st.sampled_from(["tree", "linear"])), 1, "wine"),
        scored,
        count - scored,
        draw(st.floats(1e-6, 0.1)),
        draw(st.sampled_from([0, 1, 900, 30_000])),
        np.where(random.random(count) < 0.2, -1, ages),
        values if scored else None,
    )


@settings(max_examples=200, deadline=None)
@given(some=st.lists(st.tuples(batches(), st.booleans()), max_size=30), repeats=st.sampled_from([1, 1, 9]))
def test_batches_that_were_put_aside_are_counted_as_if_at_once(some, repeats) -> None:
    clock = Clock()
    at_once, aside = Collector(clock), Collector(clock)
    at_once.keep_slots()
    aside.keep_slots()

    for (series, scored, errors, seconds, passed_ms, ages, values), looks in some * repeats:
        clock.now_ms += passed_ms
        timestamps = np.where(ages < 0, -1, clock.now_ms - ages)
        looked = NO_PREDICTIONS if values is None else observe_predictions(values)
        at_once.observe(series, scored, errors, seconds, timestamps, looked)
        aside.observe_values(series, scored, errors, seconds, timestamps, values)
        assert aside.changes == at_once.changes
        if looks:
            assert aside.total().series == at_once.total().series

    sheets = [{slot: sheet.series for slot, (sheet, _) in each.unwritten().items()} for each in (aside, at_once)]
    assert sheets[0] == sheets[1]
    assert aside.total().series == at_once.total().series
