"""Which record is which, and which systems are meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.discovery import entries
from benchmarks.models import BOTTLES, KINDS, model, swap_partner
from benchmarks.peer import Peer
from benchmarks.records import PARTITIONS, chunks, key, parse_key


@given(first=st.integers(0, 3).map(lambda n: n * PARTITIONS), count=st.integers(0, 20_000))
def test_the_number_of_a_record_follows_from_its_coordinates(first, count):
    ends = [first // PARTITIONS] * PARTITIONS
    found = []
    for partition, numbers in chunks(first, first + count):
        for number in numbers:
            assert number == ends[partition] * PARTITIONS + partition
            ends[partition] += 1
            found.append(number)

    assert sorted(found) == list(range(first, first + count))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**63))
def test_a_key_says_which_record_it_is_and_when_it_was_sent(number, sent_us):
    assert parse_key(key(number, sent_us)) == (number, sent_us)


@pytest.mark.parametrize("other", [b"", b"x" * 24, b"0" * 23])
def test_another_key_is_refused(other):
    with pytest.raises(ValueError, match=r"expected 24|invalid literal"):
        parse_key(other)


def peer(name: str, models: tuple[str, ...] = ("tree",), deliveries: tuple[str, ...] = ("at_least_once",)) -> Peer:
    return Peer(name, "", models, lambda _: None, lambda _: (), deliveries)  # type: ignore[arg-type]


def names(peers: list[Peer], only: list[str], models: tuple[str, ...] = ("bytes", "tree")) -> list[str]:
    return [entry.name for entry in entries(peers, models, only, ("at_least_once", "exactly_once"))]


def test_a_whole_name_means_that_system_alone():
    peers = [peer("worker"), peer("worker-fast")]

    assert names(peers, ["worker"]) == ["worker:tree"]
    assert names(peers, ["work"]) == ["worker:tree", "worker-fast:tree"]


def test_every_model_and_delivery_of_a_system_is_a_line():
    both = peer("loop", ("", "tree"), ("at_least_once", "exactly_once"))

    assert names([both], []) == ["loop:bytes", "loop:bytes:exactly_once", "loop:tree", "loop:tree:exactly_once"]


def test_models_that_were_not_asked_for_are_left_out():
    assert names([peer("loop", ("", "tree", "linear"))], [], ("linear",)) == ["loop:linear"]


def test_a_swap_is_to_another_model_that_the_system_runs():
    assert swap_partner("tree", ("tree", "linear")) == "linear"
    assert swap_partner("linear", ("tree", "linear")) == "tree"
    assert swap_partner("graph", ("graph",)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_has_known_answers_and_a_descriptor(kind):
    assert len(model(kind).expected) == BOTTLES
    assert model(kind).descriptor()
