import struct

from hypothesis import given
from hypothesis import strategies as st

from control_api.core.member_assignment import assigned_partitions

topics = st.dictionaries(st.text(min_size=1, max_size=20), st.lists(st.integers(0, 2**31 - 1), max_size=5), max_size=4)


def written(held: dict[str, list[int]], version: int = 0, more: bytes = b"") -> bytes:
    """An assignment as a group's leader writes it."""
    data = struct.pack(">hi", version, len(held))
    for topic, partitions in held.items():
        name = topic.encode()
        data += struct.pack(">h", len(name)) + name + struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
    return data + more


@given(topics, st.integers(0, 3), st.binary(max_size=8))
def test_an_assignment_is_read_as_it_was_written(held: dict[str, list[int]], version: int, more: bytes) -> None:
    expected = sorted((topic, number) for topic, partitions in held.items() for number in partitions)

    assert list(assigned_partitions(written(held, version, more))) == expected


@given(topics, st.data())
def test_a_damaged_assignment_is_read_as_something_or_nothing(held: dict[str, list[int]], data: st.DataObject) -> None:
    whole = bytearray(written(held))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])

    for topic, number in assigned_partitions(damaged):
        assert isinstance(topic, str)
        assert isinstance(number, int)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    assigned_partitions(data)
