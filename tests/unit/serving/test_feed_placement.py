from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException
from structlog.testing import capture_logs

from serving.feed.errors import ConsumerFailedError
from serving.feed.placement import Place, Placement
from serving.feed.starts import StartAt, write_origin

KEY = ("records", 0)


class Group:
    """A consumer with the committed offsets and errors that it is given; the log holds offsets 0 to 99."""

    def __init__(self, offsets: Mapping[int, int] | None = None, errors: Mapping[int, int] | None = None) -> None:
        self.offsets = dict(offsets or {})
        self.errors = dict(errors or {})
        self.committed_later: list[tuple[int, int, str]] = []

    def committed(self, entries: list[Any], timeout: float) -> list[Any]:
        return [Answer(entry.partition, self.offsets, self.errors) for entry in entries]

    def get_watermark_offsets(self, entry: Any, timeout: float) -> tuple[int, int]:
        return 0, 100

    def list_topics(self, topic: str, timeout: float) -> Any:
        return self

    @property
    def topics(self) -> Mapping[str, Any]:
        return {"records": self}

    @property
    def partitions(self) -> Mapping[int, None]:
        return dict.fromkeys(range(2))

    error = None

    def commit(self, offsets: list[Any], asynchronous: bool) -> list[Any]:
        self.committed_later += [(entry.partition, entry.offset, entry.metadata) for entry in offsets]
        return offsets


class Answer:
    """What `committed()` returns for one partition: with an error, the offset is as if there were none."""

    def __init__(self, partition: int, offsets: Mapping[int, int], errors: Mapping[int, int]) -> None:
        self.topic, self.partition = "records", partition
        self.error = KafkaError(errors[partition]) if partition in errors else None
        self.offset = OFFSET_INVALID if self.error is not None else offsets.get(partition, OFFSET_INVALID)
        self.metadata = write_origin(2) if self.offset >= 0 else None


def find(group: Group, start_at: StartAt = StartAt.EARLIEST) -> dict[tuple[str, int], Place]:
    return Placement(group, {"records": start_at}).find([KEY], 5.0)


@pytest.mark.parametrize(
    "code", [KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR]
)
def test_an_error_is_never_taken_for_nothing_committed(code: int) -> None:
    group = Group({0: 42}, errors={0: code})

    assert find(group) == {}
    assert group.committed_later == []


def test_an_error_of_another_partition_keeps_a_first_start_from_being_chosen() -> None:
    assert find(Group(errors={1: KafkaError.COORDINATOR_LOAD_IN_PROGRESS})) == {}


def test_a_lasting_error_ends_the_worker() -> None:
    with pytest.raises(ConsumerFailedError, match="cannot be read"):
        find(Group(errors={0: KafkaError.TOPIC_AUTHORIZATION_FAILED}))


def test_a_committed_offset_is_the_place_and_is_not_committed_again() -> None:
    group = Group({0: 42})

    assert find(group) == {KEY: Place(42, origin=2)}
    assert group.committed_later == []


def test_a_first_start_is_committed_with_its_origin() -> None:
    group = Group()

    assert find(group, StartAt.LATEST) == {KEY: Place(100, origin=2)}
    assert group.committed_later == [(0, 100, "origin=2")]


def test_a_refused_commit_of_a_start_leaves_it_unknown() -> None:
    class Refusing(Group):
        def commit(self, offsets: list[Any], asynchronous: bool) -> list[Any]:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    assert find(Refusing()) == {}


def test_a_log_that_ends_before_the_committed_offset_is_not_believed_at_once() -> None:
    assert find(Group({0: 500})) == {}


def test_asking_goes_on_until_the_answer_is_known() -> None:
    group = Group({0: 42}, errors={0: KafkaError.COORDINATOR_LOAD_IN_PROGRESS})
    found: dict[tuple[str, int], Place] = {}
    asked: list[bool] = []

    def is_wanted(key: tuple[str, int]) -> bool:
        asked.append(True)
        if len(asked) == 3:
            group.errors.clear()
        return True

    Placement(group, {"records": StartAt.EARLIEST}).find_until({KEY}, is_wanted, found.update)

    assert found == {KEY: Place(42, origin=2)}


def withheld(seconds: float, rounds: int) -> list[Any]:
    """Warnings while the offset of a partition is unstable for so many rounds."""
    group = Group({0: 42, 1: 7}, errors={0: KafkaError.UNSTABLE_OFFSET_COMMIT})
    asked = 0

    def is_wanted(key: tuple[str, int]) -> bool:
        nonlocal asked
        asked += key == KEY
        return asked <= rounds

    placement = Placement(group, {"records": StartAt.EARLIEST}, withheld_seconds=seconds)
    with capture_logs() as logs:
        placement.find_until({KEY, ("records", 1)}, is_wanted, lambda found: None)
    return [entry for entry in logs if entry["log_level"] == "warning"]


def test_an_operator_is_told_of_a_start_that_stays_unknown_and_where_to_read_on() -> None:
    first, *others = withheld(0.0, rounds=3)

    assert first["event"] == "start.withheld"
    assert [entry["partitions"] for entry in others] == [["records/0"]] * 2  # the other one is found in the first round
    section = first["see"].split('"')[1]
    assert f"**{section}.**" in Path("docs/operations.md").read_text()


def test_nobody_is_told_of_a_start_that_is_unknown_for_a_moment() -> None:
    assert withheld(30.0, rounds=3) == []
