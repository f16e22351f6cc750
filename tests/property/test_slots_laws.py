"""Laws of slots: weights are met exactly, nothing moves that need not, and entities spread evenly over the slots."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_store.core.slots import (
    NO_SLOT,
    SLOTS,
    SlotRun,
    arm_at,
    arm_indexes,
    layout,
    slot_of,
    slots_of,
    weights_of,
)

ARMS = ("primary", "b", "c", "d", "e")


@st.composite
def weights(draw: st.DrawFn) -> dict[str, int]:
    names = draw(st.lists(st.sampled_from(ARMS), min_size=1, unique=True))
    cuts = sorted(draw(st.lists(st.integers(0, SLOTS), min_size=len(names) - 1, max_size=len(names) - 1)))
    return dict(zip(names, np.diff([0, *cuts, SLOTS]).tolist(), strict=True))


histories = st.lists(weights(), min_size=1, max_size=6)
entities = st.lists(st.none() | st.binary(max_size=6) | st.sampled_from([b"a", b"b"]), max_size=40)


def laid_out(history: list[dict[str, int]]) -> tuple[SlotRun, ...]:
    runs: tuple[SlotRun, ...] = ()
    for wanted in history:
        runs = layout(runs, wanted)
    return runs


def owners(runs: tuple[SlotRun, ...]) -> NDArray[np.str_]:
    ends = [*(run.first for run in runs[1:]), SLOTS]
    return np.repeat([run.arm for run in runs], [end - run.first for run, end in zip(runs, ends, strict=True)])


@given(histories)
def test_every_arm_has_exactly_its_weight_whatever_came_before(history: list[dict[str, int]]) -> None:
    runs = laid_out(history)

    assert weights_of(runs) == {arm: weight for arm, weight in history[-1].items() if weight}


@given(histories, weights())
def test_as_many_slots_move_as_the_arms_grow_and_no_more(history: list[dict[str, int]], wanted: dict[str, int]) -> None:
    before = laid_out(history)
    after = layout(before, wanted)

    had = weights_of(before)
    growth = sum(max(0, weight - had.get(arm, 0)) for arm, weight in wanted.items())
    assert (owners(before) != owners(after)).sum() == growth


@given(histories, weights())
def test_slots_move_only_from_arms_that_shrink_to_arms_that_grow(
    history: list[dict[str, int]], wanted: dict[str, int]
) -> None:
    before = laid_out(history)
    after = layout(before, wanted)

    had = weights_of(before)
    old, new = owners(before), owners(after)
    for source, target in set(zip(old[old != new].tolist(), new[old != new].tolist(), strict=True)):
        assert wanted.get(source, 0) < had[source]
        assert wanted[target] > had.get(target, 0)


@given(histories)
def test_the_same_weights_again_change_nothing(history: list[dict[str, int]]) -> None:
    runs = laid_out(history)

    assert layout(runs, history[-1]) == runs


@given(histories)
def test_runs_are_canonical(history: list[dict[str, int]]) -> None:
    runs = laid_out(history)

    assert runs[0].first == 0
    assert all(one.first < two.first and one.arm != two.arm for one, two in pairwise(runs))


@given(weights())
def test_a_first_layout_puts_the_arms_one_after_the_other(wanted: dict[str, int]) -> None:
    runs = layout((), wanted)

    assert [run.arm for run in runs] == [arm for arm, weight in wanted.items() if weight]


@given(
    st.integers(0, SLOTS // 2),
    st.integers(0, SLOTS // 2),
    st.lists(st.binary(min_size=1), max_size=50),
)
def test_raising_an_arm_at_the_cost_of_the_primary_moves_entities_only_from_the_primary_to_it(
    start: int, raised: int, batch: list[bytes]
) -> None:
    other = 1_000
    names = ["primary", "b", "c"]
    low = layout((), {"primary": SLOTS - start - other, "b": start, "c": other})
    more = min(raised, SLOTS - start - other)
    high = layout(low, {"primary": SLOTS - start - other - more, "b": start + more, "c": other})

    slots = slots_of("salt", batch)
    before, after = arm_indexes(low, names)[slots], arm_indexes(high, names)[slots]
    moved = before != after
    assert set(before[moved]) <= {0}
    assert set(after[moved]) <= {1}


@given(st.integers(0, SLOTS), st.integers(0, SLOTS))
def test_an_arm_that_is_raised_and_lowered_again_has_the_slots_that_it_had(low: int, high: int) -> None:
    low, high = sorted((low, high))
    first = layout((), {"primary": SLOTS - low, "b": low})

    there = layout(first, {"primary": SLOTS - high, "b": high})

    assert len(there) <= 2
    assert layout(there, {"primary": SLOTS - low, "b": low}) == first


@given(st.text(max_size=5), entities)
def test_a_batch_gets_the_slots_that_its_entities_get_one_by_one(salt: str, batch: list[bytes | None]) -> None:
    expected = [slot_of(salt, entity or b"") for entity in batch]

    slots = slots_of(salt, batch)

    assert slots.dtype == np.int64
    assert slots.tolist() == expected


@given(histories, st.binary(max_size=6))
def test_the_table_agrees_with_the_single_look_up(history: list[dict[str, int]], entity: bytes) -> None:
    runs, names = laid_out(history), list(history[-1])
    table, slot = arm_indexes(runs, names), slot_of("salt", entity)

    assert names[table[slot]] == (names[0] if slot == NO_SLOT else arm_at(runs, slot))


def test_a_record_without_an_entity_goes_to_the_primary_even_if_the_primary_has_no_weight() -> None:
    runs = layout((), {"primary": 0, "b": SLOTS})

    slots = slots_of("salt", [None, b"", b"x"])

    assert slots[:2].tolist() == [NO_SLOT, NO_SLOT]
    assert arm_indexes(runs, ["primary", "b"])[slots].tolist() == [0, 0, 1]


def test_a_slot_is_the_same_in_every_process_for_ever() -> None:
    assert [slot_of("wine/7", entity) for entity in (b"a", b"customer-42", bytes(300))] == [9789, 4256, 786]


@settings(max_examples=15)
@given(st.text(max_size=8), st.sampled_from(["{}", "customer-{:08d}", "{:x}", "order/{}/line/1" + "x" * 300]))
def test_entities_spread_evenly_over_the_slots(salt: str, pattern: str) -> None:
    bins = 100
    batch = [pattern.format(number).encode() for number in range(20_000)]

    counts = np.bincount(slots_of(salt, batch) * bins // SLOTS, minlength=bins)

    expected = len(batch) / bins
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 199  # 99 degrees of freedom: one sample in a hundred million exceeds it


@settings(max_examples=15)
@given(st.lists(st.text(max_size=8), min_size=2, max_size=2, unique=True))
def test_salts_shuffle_entities_independently_of_each_other(salts: list[str]) -> None:
    batch = [f"customer-{number}".encode() for number in range(20_000)]
    one, two = (slots_of(salt, batch) * 10 // SLOTS for salt in salts)

    counts = np.bincount(one * 10 + two, minlength=100)

    expected = len(batch) / 100
    assert ((counts - expected) ** 2 / expected).sum() < 199


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({}, "add up to 10000, got 0"),
        ({"a": 9_999}, "add up to 10000, got 9999"),
        ({"a": 10_001, "b": -1}, "'b' has a negative weight, -1"),
    ],
)
def test_weights_that_are_no_split_are_refused(wanted: dict[str, int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        layout((), wanted)


@pytest.mark.parametrize("firsts", [(1,), (0, 0), (0, 5, 3), (0, SLOTS)])
def test_runs_that_are_no_layout_are_refused(firsts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="start at 0 and ascend"):
        layout(tuple(SlotRun(first, f"arm{first}") for first in firsts), {"a": SLOTS})


def test_a_table_for_arms_that_the_route_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="does not have: 'gone'"):
        arm_indexes((SlotRun(0, "a"), SlotRun(5, "gone")), ["a"])


@pytest.mark.parametrize("slot", [-1, SLOTS])
def test_a_look_up_outside_the_slots_is_refused(slot: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 9999"):
        arm_at((SlotRun(0, "a"),), slot)
