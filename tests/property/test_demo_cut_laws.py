"""The laws of cuts and entities: what obeys every cut is never complained of, and whatever disobeys one always is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from sluice.demo.cuts import CutOver, Spans
from sluice.demo.entities import Entities
from sluice.demo.ledger import Answers, Ledger

PARTITIONS = (0, 1)
SIZE = 12
CHANGES = (3, 8, 9, 21)
OLD, NEW = ("m", 1), ("m", 2)


def served_by(change: int) -> frozenset[tuple[str, int]]:
    """The third change shares its records between two versions, as a canary does."""
    return {3: frozenset({OLD}), 8: frozenset({OLD}), 9: frozenset({OLD, NEW}), 21: frozenset({NEW})}[change]


@st.composite
def histories(draw):
    """The cuts of each change, and results (partition, offset, change, version) that obey them, in any order."""
    cuts = {change: {} for change in CHANGES}
    results = []
    for partition in PARTITIONS:
        offsets = [0, *sorted(draw(st.integers(0, SIZE)) for _ in CHANGES[1:])]
        for number, (change, cut) in enumerate(zip(CHANGES, offsets, strict=True)):
            cuts[change][partition] = cut
            for offset in range(cut, [*offsets[1:], SIZE][number]):
                results.append((partition, offset, change, draw(st.sampled_from(sorted(served_by(change))))))
    cut_overs = [CutOver("wine", change, "records", cuts[change], served_by(change)) for change in CHANGES]
    return cut_overs, draw(st.permutations(results))


def counted(results, batch_size: int = 5) -> Spans:
    spans = Spans()
    for start in range(0, len(results), batch_size):
        batch = results[start : start + batch_size]
        for change, served in {(change, served) for _, _, change, served in batch}:
            mine = [(p, o) for p, o, c, s in batch if (c, s) == (change, served)]
            places = np.array(mine, np.int64).reshape(-1, 2)
            spans.count("wine", change, served, places[:, 0], places[:, 1])
    return spans


@given(histories(), st.integers(1, 7))
def test_results_that_obey_every_cut_are_never_complained_of(history, batch_size):
    cut_overs, results = history

    assert counted(results, batch_size).violations(cut_overs) == []
    assert counted(results, batch_size).violations() == []


@given(histories(), st.data())
def test_a_result_beyond_a_cut_is_always_complained_of_at_its_partition(history, data):
    cut_overs, results = history
    assume(results)
    partition, offset, change, served = data.draw(st.sampled_from(results))
    other = data.draw(st.sampled_from([each for each in CHANGES if each != change]))
    changed = [(p, o, other, s) if (p, o) == (partition, offset) else (p, o, c, s) for p, o, c, s in results]

    found = counted(changed).violations(cut_overs)

    assert found
    assert all(f"records/{partition}:" in text for text in found)
    assert any(f"change {other} scored offset {offset}" in text for text in found)
    assert served in served_by(change)


@given(histories(), st.data())
def test_a_version_that_a_change_does_not_serve_is_always_complained_of(history, data):
    cut_overs, results = history
    sole = [row for row in results if len(served_by(row[2])) == 1]
    assume(sole)
    row = data.draw(st.sampled_from(sole))
    wrong = NEW if row[3] == OLD else OLD
    changed = [(*each[:3], wrong) if each == row else each for each in results]

    (text,) = counted(changed).violations(cut_overs)

    assert f"records/{row[0]}: change {row[2]} scored offset {row[1]}" in text
    assert "does not serve" in text


def test_without_known_cuts_changes_still_may_not_interleave():
    rows = [(0, 0, 3, OLD), (0, 1, 8, OLD), (0, 2, 3, OLD)]

    assert counted(rows).violations() == ["wine in records/0: change 8 scored offset 1, but change 3 before it 2"]


entity_rows = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c", None]), st.sampled_from([OLD, NEW]), st.booleans()), max_size=30
)


@given(entity_rows, st.randoms(), st.integers(1, 7))
def test_an_entity_wavers_exactly_if_it_comes_back_to_a_version_that_it_left(rows, random, batch_size):
    by_entity: dict[bytes, list[tuple[str, int]]] = {}
    for key, served, _ in rows:
        if key is not None:
            by_entity.setdefault(key, []).append(served)
    turns = {key: sum(a != b for a, b in pairwise(seen)) for key, seen in by_entity.items()}
    numbered = list(enumerate(rows))
    random.shuffle(numbered)
    entities = Entities()
    for start in range(0, len(numbered), batch_size):
        batch = numbered[start : start + batch_size]
        for served, is_canary in {(served, is_canary) for _, (_, served, is_canary) in batch}:
            mine = [(key, offset) for offset, (key, s, c) in batch if (s, c) == (served, is_canary)]
            offsets = np.array([offset for _, offset in mine], np.int64)
            entities.count(served, is_canary, [key for key, _ in mine], offsets)

    assert entities.wavering() == sorted(key.decode() for key, count in turns.items() if count > 1)
    assert entities.on_canary == len({key for key, _, is_canary in rows if is_canary and key is not None})


def test_the_ledger_follows_the_entities_of_the_canarys_data_type_only():
    ledger = Ledger({0: 10}, "sparkling")
    sources = [("sparkling", "m", 2, 9, "canary"), ("wine", "w", 1, 4, "canary"), ("sparkling", "m", 1, 9, "")]
    offsets = np.array([10, 11, 12])
    ledger.count_results(Answers(np.zeros(3, np.int64), offsets), sources, [b"a", b"b", b"c"], offsets, offsets, 20)

    assert ledger.entities.on_canary == 1
    assert ledger.spans.violations([CutOver("wine", 4, "wine.records", {0: 12}, frozenset({("w", 1)}))]) == [
        "wine in records/0: change 4 scored offset 11, but change 4 cut at 12"
    ]


def test_answers_to_records_of_before_the_run_break_no_cut():
    ledger = Ledger({0: 10}, "sparkling")
    offsets = np.array([3])
    source = ("sparkling", "m", 1, 2, "canary")
    ledger.count_results(Answers(np.zeros(1, np.int64), offsets), [source], [b"a"], offsets, offsets, 20)

    assert ledger.entities.on_canary == 0
    assert ledger.spans.violations([CutOver("sparkling", 2, "records", {0: 5}, frozenset({("m", 1)}))]) == []
