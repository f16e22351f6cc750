"""Which ports a stack takes, and how it recognises one that someone else has."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.stack.errors import ForeignError
from sluice.stack.plan import Wanted, choose_ports, port_names
from sluice.stack.ports import accepts_connections, belongs_to, free_port, holder_of, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process, a stranger to every stack, listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_free_port_can_be_listened_on_and_avoids_what_it_must() -> None:
    first = free_port()
    second = free_port(avoid=[first])

    assert first != second
    assert is_free(first)


def test_a_taken_port_is_seen_and_its_holder_named(taken: int) -> None:
    assert not is_free(taken)
    assert accepts_connections(taken)
    assert f"pid {os.getpid()}" in holder_of(taken)
    assert belongs_to(taken, os.getpid())


def test_a_port_does_not_belong_to_a_process_that_does_not_listen_on_it() -> None:
    assert not belongs_to(free_port(), os.getpid())
    assert not belongs_to(free_port(), 2**22 + 1)


def test_remembered_ports_are_taken_again() -> None:
    names = ["kafka", "api"]
    first, _ = choose_ports(names, {}, None)

    again, notes = choose_ports(names, first, None)

    assert again == first
    assert notes == []


def test_a_remembered_port_that_a_stranger_has_is_named_and_given_up(taken: int) -> None:
    chosen, notes = choose_ports(["kafka"], {"kafka": taken}, None)

    assert chosen["kafka"] != taken
    assert notes == [f"Port {taken} of kafka is taken by {holder_of(taken)}: kafka moves to {chosen['kafka']}."]


def test_a_port_that_was_asked_for_and_is_taken_is_an_error_that_names_its_holder(taken: int) -> None:
    with pytest.raises(ForeignError, match=f"{taken}.*pid {os.getpid()}"):
        choose_ports(["api"], {}, taken)


def test_no_two_services_get_one_port_even_if_that_was_remembered() -> None:
    port = free_port()

    chosen, _ = choose_ports(["kafka", "api", "worker-1"], {"kafka": port, "api": port}, None)

    assert len(set(chosen.values())) == 3


def test_a_kafka_of_someone_else_needs_no_ports_of_ours() -> None:
    assert port_names(Wanted(Path("/d"), workers=2)) == ["kafka", "kafka-controller", "api", "worker-1", "worker-2"]
    assert port_names(Wanted(Path("/d"), kafka="h:1")) == ["api", "worker-1"]
