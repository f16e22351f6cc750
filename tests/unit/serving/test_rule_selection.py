"""Rules over the columns of a batch: the cases that a reader asks for."""

from __future__ import annotations

import numpy as np
import pytest

from model_store.core.rules import compile_rule
from serving.core.columns import TextColumn
from serving.core.selection import Matches, NoSuchFields, matches

NAN = float("nan")


def said(expression: str, rows: int = 3) -> Matches:
    numbers = {"n": np.array([1.0, 2.0, NAN])[:rows], "emb[1]": np.array([0.0, 5.0, 5.0])[:rows]}
    texts = {"t": TextColumn(np.array([0, 1, -1], np.int64)[:rows], ["red", "blue"])}
    found = matches(compile_rule(expression), numbers, texts, rows)
    assert isinstance(found, Matches)
    return found


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("n > 1", [False, True, False]),
        ("n != 1", [False, True, True]),
        ("n != n", [False, False, True]),
        ("2.0 * n - 1.0 >= 3.0", [False, True, False]),
        ("-n < -1.5", [False, True, False]),
        ("emb[1] > n", [False, True, False]),
        ("t == 'red'", [True, False, False]),
        ("'red' != t", [False, True, True]),
        ("t == null", [False, False, True]),
        ("t in ['blue', 'green']", [False, True, False]),
        ("n > 1 || t == 'red'", [True, True, False]),
        ("!(n > 1)", [True, False, True]),
        ("t != null && t.startsWith('b')", [False, True, False]),
        ("true", [True, True, True]),
    ],
)
def test_a_rule_selects_the_records_that_it_says_yes_to(expression: str, rows: list[bool]) -> None:
    found = said(expression)

    assert found.rows.tolist() == rows
    assert not found.failures


def test_a_record_of_which_a_rule_says_nothing_is_not_selected_and_comes_with_the_reason() -> None:
    found = said("t.startsWith('b') || n == 1")

    assert found.rows.tolist() == [True, True, False]
    assert list(found.failures) == [2]
    assert "null_type" in found.failures[2]


def test_a_field_that_the_stream_does_not_have_is_named() -> None:
    found = matches(compile_rule("age > 1 && x.y == 'z' && n > 0"), {"n": np.ones(2)}, {}, 2)

    assert found == NoSuchFields(("age", "x.y"))
    assert str(found) == "the rule reads `age`, `x.y`, which the stream's settings do not name as a field"


@pytest.mark.parametrize("expression", ["n > 1", "t == 'red'", "t.startsWith('x') && n > 0", "true"])
def test_an_empty_batch_has_no_matches(expression: str) -> None:
    assert said(expression, rows=0).rows.tolist() == []
