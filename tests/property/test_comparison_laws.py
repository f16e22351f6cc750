"""Comparisons merge: however records are split, the whole is the same."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.core.columns import TextColumn
from serving.core.comparison import Comparison, Missing, Side, compare

values = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, 1e300, -1e300, math.nan, math.inf, -math.inf])
words = st.sampled_from(["a", "b", "c", ""])
missings = st.sampled_from([Missing("score", "hot"), Missing("decode", "cut"), Missing("", "?")])


@st.composite
def sides(draw: st.DrawFn, count: int) -> Side:
    width = draw(st.integers(0, 3))
    cells = draw(st.lists(values, min_size=count * (width + 1), max_size=count * (width + 1)))
    table = np.array(cells, float).reshape(count, width + 1)
    names = draw(st.lists(words, min_size=1, max_size=4))
    each = {"min_size": count, "max_size": count}
    return Side(
        np.ascontiguousarray(table[:, 0]),
        np.array(draw(st.lists(st.booleans(), **each)), bool),
        TextColumn(np.array(draw(st.lists(st.integers(-1, len(names) - 1), **each)), np.int64), names),
        np.ascontiguousarray(table[:, 1:]),
        np.array(draw(st.lists(st.integers(0, width), **each)), np.int64),
        {row: draw(missings) for row in range(count) if draw(st.integers(0, 4)) == 0},
    )


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Side, Side]:
    count = draw(st.integers(0, 12))
    return draw(sides(count)), draw(sides(count))


def without_sum(comparison: Comparison) -> Comparison:
    return replace(comparison, deltas=replace(comparison.deltas, total=0.0))


def parts_of(pair: tuple[Side, Side], cuts: list[int]) -> list[Comparison]:
    count = len(pair[0])
    edges = [0, *sorted(min(cut, count) for cut in cuts), count]
    return [
        compare(
            0,
            np.arange(first, end),
            *(side.take(np.arange(first, end, dtype=np.intp)) for side in pair),
            tolerance=0.5,
            seconds_per_record=1e-6,
        )
        for first, end in pairwise(edges)
    ]


@given(pairs(), st.lists(st.integers(0, 12), max_size=3), st.randoms(use_true_random=False))
def test_parts_merged_in_any_order_are_the_whole(pair: tuple[Side, Side], cuts: list[int], rnd: Any) -> None:
    [whole] = parts_of(pair, [])
    parts = parts_of(pair, cuts)
    rnd.shuffle(parts)

    merged = Comparison()
    for part in parts:
        merged = merged.merged(part)

    assert without_sum(merged) == without_sum(whole)


@given(pairs())
def test_the_counts_add_up(pair: tuple[Side, Side]) -> None:
    [result] = parts_of(pair, [])

    assert result.records == result.paired + sum(result.unpaired.values()) == len(pair[0])
    assert result.identical + result.disagreements <= result.paired
    assert result.deltas.count + result.deltas.not_finite <= result.paired
    assert result.classes.changed <= result.disagreements
    assert sum(result.candidate_failures.counts.values()) == len(pair[1].missing)


@given(st.integers(0, 12).flatmap(sides))
def test_every_side_is_identical_to_itself(side: Side) -> None:
    [result] = parts_of((side, side), [])

    assert result.identical == result.paired == len(side) - len(side.missing)
    assert result.disagreements == result.classes.changed == 0


@given(pairs())
def test_the_other_way_round_the_deltas_change_their_sign(pair: tuple[Side, Side]) -> None:
    [there] = parts_of(pair, [])
    [back] = parts_of((pair[1], pair[0]), [])

    assert (there.disagreements, there.identical) == (back.disagreements, back.identical)
    assert (there.deltas.lowest, there.deltas.highest) == (-back.deltas.highest, -back.deltas.lowest)
    assert there.deltas.sizes == back.deltas.sizes
