import math
import zlib

import numpy as np
import pytest

from model_store.core.drift import drift
from model_store.core.sketch import (
    LABELS_KEPT,
    NO_PREDICTIONS,
    OTHER_CELLS,
    PredictionCounts,
    counts_of_labels,
    counts_of_numbers,
)

RNG_SEED = 7


def psi(expected: PredictionCounts, actual: PredictionCounts) -> float:
    found = drift(expected, actual)
    assert found is not None
    return found.psi


def test_the_index_is_that_of_the_formula() -> None:
    expected = counts_of_labels([("red", 30_000), ("white", 70_000)])
    actual = counts_of_labels([("red", 50_000), ("white", 50_000)])

    by_hand = (0.5 - 0.3) * math.log(0.5 / 0.3) + (0.5 - 0.7) * math.log(0.5 / 0.7)

    assert psi(expected, actual) == pytest.approx(by_hand, rel=1e-4)


def test_drift_of_numbers_grows_with_their_shift() -> None:
    rng = np.random.default_rng(RNG_SEED)
    before = counts_of_numbers(rng.normal(0, 1, 5_000))

    indexes = [psi(before, counts_of_numbers(rng.normal(shift, 1, 5_000))) for shift in (0.0, 0.2, 0.5, 1.0, 2.0, 4.0)]

    assert indexes == sorted(indexes)
    assert indexes[0] < 0.02
    assert indexes[3] > 0.25


def test_a_label_that_appears_is_drift_though_it_was_never_seen_before() -> None:
    found = drift(counts_of_labels([("a", 1_000)]), counts_of_labels([("a", 500), ("b", 500)]))

    assert found is not None
    assert math.isfinite(found.psi)
    assert found.psi > 1
    assert (found.bins[0].name, found.bins[0].expected, found.bins[0].actual) == ("label b", 0, 500)


def test_predictions_that_go_missing_are_drift() -> None:
    values = np.linspace(1, 2, 1_000)
    holes = np.where(np.arange(1_000) % 2, values, np.nan)

    assert psi(counts_of_numbers(values), counts_of_numbers(holes)) > 0.25
    assert psi(counts_of_numbers(values), counts_of_numbers(np.full(1_000, np.nan))) > 0.25


def test_drift_among_labels_that_are_not_told_apart_is_seen() -> None:
    names = sorted(
        (f"class {number}" for number in range(LABELS_KEPT + 20)), key=lambda name: zlib.crc32(name.encode())
    )
    rest = names[LABELS_KEPT:]
    elsewhere = next(name for name in rest if _cell(name) != _cell(rest[0]))

    def mostly(name: str) -> PredictionCounts:
        return counts_of_labels([*((kept, 10) for kept in names[:LABELS_KEPT]), (name, 1_000)])

    assert mostly(rest[0]).labels == mostly(elsewhere).labels
    assert psi(mostly(rest[0]), mostly(elsewhere)) > 0.25


def test_an_empty_sample_cannot_be_compared() -> None:
    assert drift(NO_PREDICTIONS, counts_of_labels([("a", 1)])) is None
    assert drift(counts_of_labels([("a", 1)]), NO_PREDICTIONS) is None


@pytest.mark.parametrize(("expected", "actual"), [(500, 500), (500, 20_000)])
def test_samples_of_one_distribution_pass_the_bound_of_chance_about_once_in_a_thousand(
    expected: int, actual: int
) -> None:
    rng = np.random.default_rng(RNG_SEED)
    beyond = 0
    for _ in range(1_000):
        found = drift(counts_of_numbers(rng.lognormal(0, 1, expected)), counts_of_numbers(rng.lognormal(0, 1, actual)))
        assert found is not None
        beyond += found.psi > found.chance

    assert beyond <= 5


def test_a_weighted_sample_is_as_uncertain_as_the_rows_that_it_was_made_of() -> None:
    values = np.linspace(1, 100, 500)
    reference = counts_of_numbers(np.linspace(1, 100, 5_000))

    plain, weighted = drift(reference, counts_of_numbers(values)), drift(reference, counts_of_numbers(values, 8))

    assert plain is not None
    assert weighted is not None
    assert weighted.chance == pytest.approx(plain.chance)
    assert weighted.psi == pytest.approx(plain.psi)


def _cell(name: str) -> int:
    return zlib.crc32(name.encode()) % OTHER_CELLS
