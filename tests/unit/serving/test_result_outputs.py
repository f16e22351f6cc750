from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.core.byte_column import ByteColumn
from serving.encoding import Encoded
from serving.outputs import result_output


@dataclass
class Batch:
    """What the outputs need of a batch."""

    keys: Sequence[bytes | None]
    topic: str = "records"
    values: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)


def row_lists(count: int) -> st.SearchStrategy[list[int] | None]:
    """Positions of results: all, some, and some twice, as two dark versions give them."""
    return st.none() | st.lists(st.integers(0, count - 1), min_size=1).map(sorted)


@given(st.integers(1, 8).flatmap(lambda count: st.tuples(st.just(count), row_lists(count))), st.booleans())
def test_every_result_has_the_key_of_its_record(drawn: tuple[int, list[int] | None], has_keyless: bool) -> None:
    count, rows = drawn
    keys: list[bytes | None] = [b"key-%d" % row for row in range(count)]
    if has_keyless:
        keys[0] = None
    scored = list(range(count)) if rows is None else rows
    encoded = Encoded(None if rows is None else np.array(rows, np.intp), [b"of %d" % row for row in scored], None)

    for given_keys in (keys, keys if has_keyless else ByteColumn.of([b"key-%d" % row for row in range(count)])):
        output, refused = result_output("results", Batch(given_keys), encoded, lambda _: [])

        assert output is not None
        assert refused == []
        assert output.keys is not None
        assert list(output.keys) == [keys[row] for row in scored]
        assert list(output.values) == [b"of %d" % row for row in scored]


def test_nothing_scored_is_no_output() -> None:
    assert result_output("results", Batch([b"k"]), None, lambda _: pytest.fail("nothing is too large")) == (None, [])


@pytest.mark.parametrize("rows", [None, [1, 2, 4, 5]])
def test_an_output_says_which_records_it_is_about_also_where_some_results_are_too_large(rows: list[int] | None) -> None:
    scored = [0, 1, 2, 3] if rows is None else rows
    encoded = Encoded(None if rows is None else np.array(rows, np.intp), [b"%d" % row for row in scored], None)

    output, refused = result_output("results", Batch([b"k"] * (4 if rows is None else 6)), encoded, lambda _: [0, 2])

    assert output is not None
    assert output.rows is not None
    assert [int(value or b"") for value in output.values] == output.rows.tolist() == [scored[1], scored[3]]
    assert [each.row for each in refused] == [scored[0], scored[2]]
