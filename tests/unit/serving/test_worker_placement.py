import pytest

from serving.core.placement import is_placed_here, murmur2, partition_of


# From Kafka's own UtilsTest.testMurmur2: what every client must agree on.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_equals_the_java_clients(data, expected):
    assert murmur2(data) == expected & 0xFFFFFFFF


def test_a_data_type_is_placed_on_the_worker_that_holds_its_partition():
    home = partition_of("wine", 4)

    assert is_placed_here("wine", {"records": [home]}, {"records": 4})
    assert not is_placed_here("wine", {"records": [p for p in range(4) if p != home]}, {"records": 4})
    assert not is_placed_here("wine", {}, {"records": 4})
