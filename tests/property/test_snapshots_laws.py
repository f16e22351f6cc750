"""A reader that starts from a snapshot holds what a reader of the whole log holds, for ever after."""

import zlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from immutables import Map
from strategies import logs, logs_with_more

from model_store.core.catalogue import EMPTY, LogEntry, fold, fold_all
from model_store.core.control_records import Announced, Snapshot
from model_store.core.descriptor import Descriptor, GoldenRow, Preprocessing
from model_store.core.routes import ROUTE_HISTORY
from model_store.core.snapshots import SCHEMA, decode_snapshot, encode_snapshot
from model_store.core.wire import decode_record, encode_worker_record


@given(logs())
def test_a_state_is_read_back_as_it_was_written(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    assert decode_snapshot(encode_snapshot(catalogue), catalogue.offset + 1) == catalogue


@given(logs_with_more(), st.integers(0, 3))
def test_a_reader_that_starts_from_a_snapshot_comes_to_the_same_state(
    logged: tuple[list[LogEntry], list[LogEntry]], late: int
) -> None:
    """Records that others wrote before the snapshot arrived are before it on the log and not in it."""
    log, more = logged
    catalogue = fold_all(EMPTY, log)
    more = [replace(entry, offset=entry.offset + (place >= late)) for place, entry in enumerate(more)]

    started = decode_snapshot(encode_snapshot(catalogue), 10_000)

    assert started is not None
    assert fold_all(started, more) == fold_all(catalogue, more)
    assert fold_all(started, log + more) == fold_all(EMPTY, log + more)


@given(logs())
def test_versions_are_the_same_objects_wherever_they_are(log: list[LogEntry]) -> None:
    catalogue = decode_snapshot(encode_snapshot(fold_all(EMPTY, log)), 10_000)

    assert catalogue is not None
    for model in catalogue.models.values():
        assert all(version is catalogue.versions[version.control_offset] for version in model.versions.values())
    for route in catalogue.routes.values():
        assert all(version is catalogue.versions[version.control_offset] for version in route.history)


@given(logs(), st.data())
def test_a_damaged_snapshot_is_none_or_never_noticed_but_never_raises(log: list[LogEntry], data: st.DataObject) -> None:
    snapshot = encode_snapshot(fold_all(EMPTY, log))
    packed = bytearray(snapshot.state)
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    unpacked = bytearray(zlib.decompress(snapshot.state))
    unpacked[data.draw(st.integers(0, len(unpacked) - 1))] ^= data.draw(st.integers(1, 255))

    assert decode_snapshot(replace(snapshot, state=bytes(packed)), 10_000) is None
    decode_snapshot(replace(snapshot, state=zlib.compress(bytes(unpacked))), 10_000)


@given(logs(), st.integers(0, 20))
def test_a_truncated_snapshot_is_none(log: list[LogEntry], missing: int) -> None:
    snapshot = encode_snapshot(fold_all(EMPTY, log))

    assert decode_snapshot(replace(snapshot, state=snapshot.state[: -1 - missing]), 10_000) is None


@given(st.binary(max_size=50))
def test_no_bytes_are_a_snapshot(state: bytes) -> None:
    assert decode_snapshot(Snapshot(SCHEMA, state), 5) is None


def test_a_snapshot_of_another_schema_is_none() -> None:
    assert decode_snapshot(replace(encode_snapshot(EMPTY), schema="other"), 5) is None


def test_a_snapshot_from_after_itself_is_none() -> None:
    catalogue = fold(EMPTY, LogEntry(7, 0, Announced(Descriptor("m", "d", "PMML", location="/m"))))

    assert decode_snapshot(encode_snapshot(catalogue), 7) is None
    assert decode_snapshot(encode_snapshot(catalogue), 8) == catalogue


def test_all_that_a_descriptor_holds_survives() -> None:
    row = GoldenRow(Map({"a": 1.5}), Map({"b": "x"}), Map({"y": 2.0}), Map({"z": "l"}), 0.1, b"\7")
    descriptor = Descriptor(
        "m", "d", "PMML", "about", None, 3, b"\1" * 32, golden_rows=(row,), preprocessing=Preprocessing(1, "i", "o"),
        unknown=b"\xff\0",
    )  # fmt: skip
    catalogue = fold(EMPTY, LogEntry(0, 0, Announced(descriptor)))

    found = decode_snapshot(encode_snapshot(catalogue), 1)

    assert found == catalogue
    assert found is not None
    assert isinstance(found.versions[0].descriptor.golden_rows[0].inputs, Map)


def test_the_stack_of_a_long_lived_route_survives_with_its_bound() -> None:
    records = [Announced(Descriptor(f"m{number % 3}", "d", "PMML", location="/m")) for number in range(250)]
    catalogue = fold_all(EMPTY, [LogEntry(offset, 0, record) for offset, record in enumerate(records)])

    found = decode_snapshot(encode_snapshot(catalogue), 1_000)

    assert found == catalogue
    assert found is not None
    assert len(found.routes["d"].history) == ROUTE_HISTORY


def test_a_snapshot_travels_as_a_record_of_the_log() -> None:
    snapshot = encode_snapshot(EMPTY)
    record = encode_worker_record(snapshot)

    assert decode_record(record.headers, record.key, record.value) == snapshot
