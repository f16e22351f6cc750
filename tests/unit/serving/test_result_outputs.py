from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.outputs import Encoded, result_output


@dataclass
class Batch:
    """What the outputs need of a batch."""

    keys: list[bytes | None]
    topic: str = "records"
    values: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)


@st.composite
def parts(draw: st.DrawFn) -> tuple[int, list[list[int] | None]]:
    """A number of records, and the rows that some models scored; dark versions score the same ones."""
    count = draw(st.integers(1, 8))
    rows = st.none() | st.lists(st.integers(0, count - 1), min_size=1, unique=True).map(sorted)
    return count, draw(st.lists(rows, min_size=1, max_size=4))


@given(parts(), st.booleans())
def test_every_result_has_the_key_of_its_record_whichever_models_scored_it(
    drawn: tuple[int, list[list[int] | None]], has_keyless: bool
) -> None:
    count, rows = drawn
    keys: list[bytes | None] = [b"key-%d" % row for row in range(count)]
    if has_keyless:
        keys[0] = None
    encoded = [
        Encoded(
            None if each is None else np.array(each, np.intp),
            [b"%d by model %d" % (row, model) for row in (range(count) if each is None else each)],
            None,
        )
        for model, each in enumerate(rows)
    ]

    output, refused = result_output("results", Batch(keys), encoded, lambda _: [])

    assert output is not None
    assert refused == []
    expected = sorted(
        (row, model) for model, each in enumerate(rows) for row in (range(count) if each is None else each)
    )
    assert [int(bytes(value).split()[0]) for value in output.values] == [row for row, _ in expected]
    assert sorted(output.values) == sorted(b"%d by model %d" % pair for pair in expected)
    assert output.keys is not None
    assert list(output.keys) == [keys[row] for row, _ in expected]


def test_nothing_scored_is_no_output() -> None:
    assert result_output("results", Batch([b"k"]), [], lambda _: pytest.fail("nothing is too large")) == (None, [])


@pytest.mark.parametrize("rows", [None, [1, 2, 4, 5]])
def test_an_output_says_which_records_it_is_about_also_where_some_results_are_too_large(rows: list[int] | None) -> None:
    scored = [0, 1, 2, 3] if rows is None else rows
    encoded = Encoded(None if rows is None else np.array(rows, np.intp), [b"%d" % row for row in scored], None)

    output, refused = result_output("results", Batch([b"k"] * (4 if rows is None else 6)), [encoded], lambda _: [0, 2])

    assert output is not None
    assert output.rows is not None
    assert [int(value or b"") for value in output.values] == output.rows.tolist() == [scored[1], scored[3]]
    assert [each.row for each in refused] == [scored[0], scored[2]]
