"""Records gather for as long as the reader has to wait for cores, and not where it has not."""

from pathlib import Path

import pytest

from serving.feed.pace import Pace


class Waits:
    """What the system tells of a thread: nanoseconds on a core, nanoseconds of waiting for one, slices."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.milliseconds = 0.0
        self.wait(0)

    def wait(self, milliseconds: float) -> None:
        self.milliseconds += milliseconds
        self.file.write_text(f"77348476 {round(self.milliseconds * 1e6)} 19\n")


@pytest.fixture
def waits(tmp_path: Path) -> Waits:
    return Waits(tmp_path / "schedstat")


def test_it_rests_for_twice_what_it_waited_since_the_last_read(waits: Waits) -> None:
    waits.wait(100)
    pace = Pace(str(waits.file))
    waits.wait(1.5)

    assert pace.rest_seconds(20) == pytest.approx(0.003)
    assert pace.rest_seconds(20) == 0.0
    pace.close()


def test_it_rests_at_most_eight_milliseconds(waits: Waits) -> None:
    pace = Pace(str(waits.file))
    waits.wait(900)

    assert pace.rest_seconds(8) == 0.008
    pace.close()


@pytest.mark.parametrize("records", [0, 7, 500, 8_000])
def test_it_does_not_rest_after_a_few_records_nor_in_a_backlog_and_such_waits_count_no_more(
    waits: Waits, records: int
) -> None:
    pace = Pace(str(waits.file))
    waits.wait(3)

    assert pace.rest_seconds(records) == 0.0
    assert pace.rest_seconds(20) == 0.0
    pace.close()


def test_where_nobody_tells_waits_it_never_rests(tmp_path: Path) -> None:
    pace = Pace(str(tmp_path / "nothing"))

    assert pace.rest_seconds(20) == 0.0
    pace.close()


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="this system does not tell waits")
def test_the_system_is_understood() -> None:
    pace = Pace()

    assert 0.0 <= pace.rest_seconds(20) <= 0.008
    pace.close()
    pace.close()
