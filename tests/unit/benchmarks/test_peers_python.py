"""The arithmetic that some Python peers score with, against answers that scikit-learn gave when the models were made."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.models import BOTTLES, model
from benchmarks.peer import ModelKind
from benchmarks.peers.python.arithmetic import read_arithmetic
from sluice.demo.wine import make_wines

KINDS: tuple[ModelKind, ...] = ("linear", "tree", "forest")
ROWS = make_wines().matrix[:BOTTLES]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gets_the_known_answers(kind: ModelKind) -> None:
    meant = model(kind)

    found = read_arithmetic(meant.path.read_bytes()).of_rows(ROWS)

    np.testing.assert_allclose(found.reshape(BOTTLES, -1), meant.expected, rtol=0, atol=meant.tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_gets_what_it_gets_in_a_batch(kind: ModelKind) -> None:
    arithmetic = read_arithmetic(model(kind).path.read_bytes())

    singly = [arithmetic.of_row(row) for row in ROWS.tolist()]

    np.testing.assert_allclose(singly, arithmetic.of_rows(ROWS), rtol=0, atol=1e-12)


def test_only_the_forest_has_several_outputs() -> None:
    several = [read_arithmetic(model(kind).path.read_bytes()).has_several_outputs for kind in KINDS]

    assert several == [False, False, True]


def test_another_document_is_refused() -> None:
    clusters = model("linear").path.with_name("wine_kmeans.pmml").read_bytes()

    with pytest.raises(ValueError, match="neither a regression table, nor a tree"):
        read_arithmetic(clusters)
