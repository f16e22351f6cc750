"""Messages that were read together are told apart by their partitions, however these come."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.feed.bulk_consumer import by_partition
from serving.feed.native import MESSAGE

KEYS = st.tuples(st.sampled_from([1, 7]), st.integers(0, 3))
RUNS = st.lists(st.tuples(KEYS, st.sampled_from([1, 2, 40, 300])), min_size=1, max_size=12)


@given(RUNS)
def test_each_partition_is_one_run_with_its_messages_as_they_came(runs: list[tuple[tuple[int, int], int]]) -> None:
    keys = [key for key, size in runs for _ in range(size)]
    messages = np.zeros(len(keys), MESSAGE)
    messages["rkt"], messages["partition"] = [key[0] for key in keys], [key[1] for key in keys]

    order, cuts = by_partition(messages)

    rows = list(range(len(keys))) if order is None else order.tolist()
    found = [rows[start:stop] for start, stop in pairwise([0, *cuts, len(keys)])]
    expected = {key: [row for row, each in enumerate(keys) if each == key] for key in keys}
    assert sorted(found) == sorted(expected.values())


def test_what_lies_in_runs_already_is_not_moved() -> None:
    messages = np.zeros(100, MESSAGE)
    messages["partition"] = [3] * 40 + [0] * 60

    assert by_partition(messages) == (None, [40])
