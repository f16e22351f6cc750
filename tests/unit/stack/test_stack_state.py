"""What is remembered of a stack, and what is concluded from it."""

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.stack.errors import ForeignError
from sluice.stack.processes import ProcessIdentity
from sluice.stack.state import (
    Phase,
    ServiceState,
    ServiceStatus,
    Situation,
    StackState,
    decode,
    encode,
    is_locked,
    judge,
    read_situation,
    supervisor_lock,
    write_state,
)

texts = st.text(string.printable, max_size=20)
identities = st.builds(ProcessIdentity, st.integers(1, 2**22), st.floats(0, 4e9))
services = st.builds(
    ServiceStatus,
    name=texts,
    state=st.sampled_from(ServiceState),
    address=texts,
    log=texts,
    since=st.floats(0, 4e9),
    identity=st.none() | identities,
    restarts=st.integers(0, 1000),
    note=texts,
)
states = st.builds(
    StackState,
    stack_id=texts,
    cluster_id=texts,
    ports=st.dictionaries(texts, st.integers(1, 65535), max_size=4),
    phase=st.sampled_from(Phase),
    supervisor=st.none() | identities,
    services=st.lists(services, max_size=4, unique_by=lambda one: one.name).map(tuple),
    bootstrap=texts,
    error=texts,
)


def alive() -> ProcessIdentity:
    return ProcessIdentity.of(os.getpid())


def ready(name: str, identity: ProcessIdentity | None) -> ServiceStatus:
    return ServiceStatus(name, ServiceState.READY, "", "", since=0.0, identity=identity)


@given(states)
def test_a_state_survives_being_written_and_read(state: StackState) -> None:
    assert decode(encode(state), "here") == state


@given(states, services)
def test_a_changed_service_takes_the_place_of_the_one_with_its_name(state: StackState, service: ServiceStatus) -> None:
    changed = state.with_service(service)

    names = [one.name for one in changed.services]
    assert changed.services[names.index(service.name)] == service
    assert names == list(dict.fromkeys([*(one.name for one in state.services), service.name]))


@pytest.mark.parametrize("text", ["", "{}", "[]", "7", '{"format": "sluice-stack-0"}', '{"format": "sluice-stack-1"}'])
def test_a_file_that_is_not_ours_is_named(text: str) -> None:
    with pytest.raises(ForeignError, match=r"there/state\.json"):
        decode(text, "there/state.json")


@pytest.mark.parametrize(
    ("supervised", "living", "expected"),
    [
        (True, 4, Situation.UP),
        (True, 0, Situation.UP),
        (False, 0, Situation.DOWN),
        (False, 1, Situation.HALF_UP),
    ],
)
def test_the_lock_decides_and_processes_without_it_are_left_overs(
    supervised: bool, living: int, expected: Situation
) -> None:
    assert judge(supervised=supervised, living=living) is expected


def test_an_absent_and_an_empty_folder_are_new(tmp_path: Path) -> None:
    assert read_situation(tmp_path).situation is Situation.NEW
    assert read_situation(tmp_path / "absent").situation is Situation.NEW


def test_a_folder_with_other_files_is_foreign_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")

    with pytest.raises(ForeignError, match=str(tmp_path)):
        read_situation(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_instead_of_a_folder_is_foreign(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()

    with pytest.raises(ForeignError, match="file"):
        read_situation(path)


def test_a_state_that_says_up_is_not_believed_without_the_lock(tmp_path: Path) -> None:
    write_state(tmp_path, StackState("s", "c", phase=Phase.UP, services=(ready("kafka", None),)))

    assert read_situation(tmp_path).situation is Situation.DOWN


def test_a_living_process_without_a_supervisor_is_half_up(tmp_path: Path) -> None:
    write_state(tmp_path, StackState("s", "c", phase=Phase.UP, services=(ready("kafka", alive()),)))

    assert read_situation(tmp_path).situation is Situation.HALF_UP


def test_a_pid_that_another_process_has_now_is_not_ours(tmp_path: Path) -> None:
    earlier = ProcessIdentity(os.getpid(), alive().started - 1000)
    write_state(tmp_path, StackState("s", "c", services=(ready("kafka", earlier),)))

    assert read_situation(tmp_path).situation is Situation.DOWN


def test_the_lock_is_held_by_one_and_seen_by_others(tmp_path: Path) -> None:
    with supervisor_lock(tmp_path) as first, supervisor_lock(tmp_path) as second:
        assert first
        assert not second
        assert is_locked(tmp_path)

    assert not is_locked(tmp_path)
