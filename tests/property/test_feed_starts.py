"""Where a partition starts: always at an offset that the broker has, and at the committed one whenever that can be."""

from hypothesis import assume, given
from hypothesis import strategies as st

from serving.feed.starts import Reason, StartAt, choose_start, read_origin, write_origin

offsets = st.integers(0, 10_000)
starts = st.sampled_from(StartAt)
origins = st.none() | st.integers(1, 50)
partitions = st.integers(0, 49)


@given(starts, partitions, st.none() | offsets, offsets, offsets, origins)
def test_the_start_is_an_offset_that_the_broker_has(
    start_at: StartAt, partition: int, committed: int | None, one: int, other: int, origin: int | None
) -> None:
    low, high = sorted([one, other])

    start = choose_start(start_at, partition=partition, committed=committed, low=low, high=high, origin=origin)

    assert low <= start.offset <= high


@given(starts, partitions, offsets, offsets, offsets, origins)
def test_a_committed_offset_within_the_log_is_the_start(
    start_at: StartAt, partition: int, committed: int, one: int, other: int, origin: int | None
) -> None:
    low, high = sorted([one, other])
    assume(low <= committed <= high)

    start = choose_start(start_at, partition=partition, committed=committed, low=low, high=high, origin=origin)

    assert start.offset == committed
    assert start.reason is Reason.COMMITTED


@given(starts, partitions, offsets, offsets, st.integers(1, 50))
def test_a_partition_that_was_added_later_is_read_from_its_beginning(
    start_at: StartAt, partition: int, one: int, other: int, origin: int
) -> None:
    assume(partition >= origin)
    low, high = sorted([one, other])

    start = choose_start(start_at, partition=partition, committed=None, low=low, high=high, origin=origin)

    assert (start.offset, start.reason) == (low, Reason.ADDED_LATER)


@given(partitions, offsets, offsets)
def test_a_group_that_never_read_the_topic_starts_where_the_settings_say(partition: int, one: int, other: int) -> None:
    low, high = sorted([one, other])
    where = {"partition": partition, "committed": None, "low": low, "high": high, "origin": None}

    assert choose_start(StartAt.EARLIEST, **where).offset == low
    assert choose_start(StartAt.LATEST, **where).offset == high


@given(starts, offsets, offsets, offsets)
def test_records_that_were_deleted_are_skipped_and_no_more(
    start_at: StartAt, committed: int, deleted: int, left: int
) -> None:
    low = committed + 1 + deleted
    high = low + left

    start = choose_start(start_at, partition=0, committed=committed, low=low, high=high, origin=1)

    assert (start.offset, start.reason) == (low, Reason.RECORDS_DELETED)


@given(st.integers(0, 999_999_999))
def test_the_origin_survives_the_metadata_of_a_commit(origin: int) -> None:
    assert read_origin(write_origin(origin)) == origin


@given(st.none() | st.text())
def test_metadata_of_others_has_no_origin_and_does_no_harm(metadata: str | None) -> None:
    found = read_origin(metadata)

    assert found is None or metadata == write_origin(found) or (metadata or "").startswith("origin=0")
