"""Laws of the PMML engine's pure parts."""

from __future__ import annotations

import socket
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.core.errors import ModelRefusedError, ScoringError
from serving.scorers.base import LoadLimits
from serving.scorers.pmml.culprits import score_survivors
from serving.scorers.pmml.document import parse
from serving.scorers.pmml.frames import Kind, receive, send
from serving.scorers.pmml.normalise import normalise
from serving.scorers.pmml.served import KilledTwiceError
from tests.oracle import pmml_documents as documents
from tests.oracle import pmml_oracle
from tests.oracle.pmml_records import records

LIMITS = LoadLimits()
FOREST = documents.forest(1, trees=2, depth=3)


@given(st.integers(0, len(FOREST.rstrip()) - 1))
@settings(max_examples=200, deadline=None)
def test_a_cut_document_is_refused_wherever_it_is_cut(length: int) -> None:
    with pytest.raises(ModelRefusedError):
        parse(FOREST[:length], LIMITS)


@given(st.integers(0, len(FOREST) - 1), st.binary(min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_changed_document_is_read_or_refused_but_never_crashes(position: int, noise: bytes) -> None:
    changed = FOREST[:position] + noise + FOREST[position + len(noise) :]
    try:
        document = parse(changed, LIMITS)
        normalise(document)
    except ModelRefusedError:
        return
    ElementTree.fromstring(document.serialise())


def test_an_attribute_whose_name_is_not_ascii_is_left_out() -> None:
    changed = FOREST.replace(b"<DataField ", '<DataField größe="1" '.encode(), 1)

    document = parse(changed, LIMITS)

    assert "größe".encode() in changed
    assert ElementTree.fromstring(document.serialise())[1][0].attrib.keys().isdisjoint({"größe"})


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(ModelRefusedError):
        parse(payload, LIMITS)


@given(st.integers(0, 10_000), st.sampled_from(["average", "majorityVote", "weightedMajorityVote", "weightedAverage"]))
@settings(max_examples=20, deadline=None)
def test_normalising_changes_nothing_that_the_standard_sees(seed: int, method: str) -> None:
    source = documents.forest(seed, trees=3, depth=3, method=method)
    document = parse(source, LIMITS)
    normalise(document)
    rows = records(seed, 20)

    before, after = pmml_oracle.score(source, rows), pmml_oracle.score(document.serialise(), rows)

    assert before["predicted_y"] == after["predicted_y"]
    for left, right in zip(before["probability"], after["probability"], strict=True):
        assert left == pytest.approx(right, abs=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_normalising_twice_is_normalising_once(seed: int) -> None:
    document = parse(documents.forest(seed, trees=3, depth=3, method="weightedMajorityVote"), LIMITS)
    normalise(document)
    once = document.serialise()

    again = normalise(document)

    assert str(again) == "nothing edited"
    assert document.serialise() == once


@given(st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=3))))
@settings(max_examples=100, deadline=None)
def test_exactly_the_rows_to_blame_are_left_out(case: tuple[int, set[int]]) -> None:
    rows, culprits = case
    deaths = 0

    def attempt(start: int, stop: int) -> list[int]:
        nonlocal deaths
        if culprits & set(range(start, stop)):
            deaths += 1
            raise KilledTwiceError("it died")
        return list(range(start, stop))

    search = score_survivors(rows, attempt)

    assert set(search.failures) == culprits
    scored = [row for _, _, answer in search.pieces for row in answer]
    assert scored == [row for row in range(rows) if row not in culprits]
    assert deaths <= 5 * max(1, len(culprits))


def test_a_search_that_costs_too_many_children_is_given_up() -> None:
    def attempt(start: int, stop: int) -> None:
        raise KilledTwiceError("it died")

    with pytest.raises(ScoringError, match="gave up after 17 deaths"):
        score_survivors(1_000, attempt)


@given(st.lists(st.binary(max_size=5_000), max_size=5), st.integers(0, 2**32 - 1), st.integers(0, 2**40))
@settings(max_examples=50, deadline=None)
def test_a_frame_arrives_as_it_was_sent(parts: list[bytes], model: int, rows: int) -> None:
    left, right = socket.socketpair()
    with left, right:
        send(left, Kind.SCORE, model, rows, parts, seconds=5)

        frame = receive(right, seconds=5)

    assert (frame.kind, frame.model, frame.rows, bytes(frame.body)) == (Kind.SCORE, model, rows, b"".join(parts))
