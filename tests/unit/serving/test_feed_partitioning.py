"""Where keys go, which record of a partition speaks for the others, and whom the bulk way is not for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from serving.core.byte_column import ByteColumn
from serving.feed.batch import Output
from serving.feed.bulk import BulkProducer, UnknownClientError
from serving.feed.partitioning import last_apart, partitions_of
from serving.feed.writer import Writer

NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}

partitions = st.lists(st.integers(0, 20), max_size=200).map(lambda values: np.array(values, np.int32))


def crc32_bit_by_bit(data: bytes) -> int:
    """ISO 3309's CRC, as its polynomial says it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20), st.integers(1, 5_000))
def test_a_key_belongs_to_the_partition_of_its_crc(keys: list[bytes], count: int) -> None:
    assert partitions_of(keys, count).tolist() == [crc32_bit_by_bit(key) % count for key in keys]
    assert partitions_of(ByteColumn.of(keys), count).tolist() == partitions_of(keys, count).tolist()
    backwards = ByteColumn.of(keys[::-1])
    assert (
        partitions_of(backwards.take(np.arange(len(keys))[::-1]), count).tolist() == partitions_of(keys, count).tolist()
    )


def test_a_key_may_not_be_missing() -> None:
    with pytest.raises(TypeError):
        partitions_of([b"a", None], 3)  # type: ignore[list-item]


@given(partitions)
def test_every_row_is_queued_once_and_each_partition_in_order(chosen: Any) -> None:
    rows, marks = last_apart(chosen)

    assert sorted([*rows, *marks]) == list(range(len(chosen)))
    for partition in set(chosen.tolist()):
        own = [row for row in [*rows, *marks] if chosen[row] == partition]
        assert own == sorted(own)


@given(partitions)
def test_the_last_row_of_each_partition_stands_apart(chosen: Any) -> None:
    _, marks = last_apart(chosen)

    assert dict(zip(chosen[marks].tolist(), marks.tolist(), strict=True)) == {
        partition: row for row, partition in enumerate(chosen.tolist())
    }


@given(partitions)
def test_rows_of_a_partition_stand_side_by_side(chosen: Any) -> None:
    rows, _ = last_apart(chosen)

    assert chosen[rows].tolist() == sorted(chosen[rows].tolist())


def test_partitions_above_two_bytes_are_told_apart() -> None:
    chosen = np.array([70_000, 4_464, 70_000, 4_464], np.int32)  # equal modulo 65,536

    rows, marks = last_apart(chosen)

    assert (rows.tolist(), marks.tolist()) == ([1, 0], [3, 2])


class Derived(Producer):  # type: ignore[misc]  # the client has no type information
    """A producer of another make."""


@pytest.mark.parametrize("producer", [Derived(NOWHERE), object(), None])
def test_only_the_clients_own_producer_is_reached_into(producer: object) -> None:
    with pytest.raises(UnknownClientError):
        BulkProducer(producer)


@pytest.mark.parametrize("keys", [[b"k"] * 200, None])
def test_a_topic_whose_partitions_are_not_known_has_a_callback_for_each_record(keys: Sequence[bytes] | None) -> None:
    writer = Writer({**NOWHERE, "transactional.id": "t"}, {})
    writer.learn(["topic"], seconds=0.1)
    writer.renew()
    gapless = Writer(
        {**NOWHERE, "enable.idempotence": True, "enable.gapless.guarantee": True, "message.timeout.ms": 0}, {}
    )

    assert gapless.send(Output("topic", keys, [b"v"] * 200), lambda error, record: None) == 200

    gapless.producer.purge()
    gapless.close()
    writer.close()
