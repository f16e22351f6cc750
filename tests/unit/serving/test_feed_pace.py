"""Records gather for as long as the reader has to wait for cores, and not where it has not."""

from pathlib import Path

import pytest

from serving.feed.pace import Pace
from serving.waits import Waits


class Thread:
    """A thread as the system tells of it: nanoseconds on a core, nanoseconds of waiting for one, slices."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.milliseconds = 0.0
        self.wait(0)

    def wait(self, milliseconds: float) -> None:
        self.milliseconds += milliseconds
        self.file.write_text(f"77348476 {round(self.milliseconds * 1e6)} 19\n")

    def waits(self) -> Waits:
        return Waits(str(self.file))


@pytest.fixture
def thread(tmp_path: Path) -> Thread:
    return Thread(tmp_path / "schedstat")


def test_a_thread_has_waited_what_was_added_since_somebody_looked(thread: Thread) -> None:
    thread.wait(100)
    waits = thread.waits()
    thread.wait(1.5)

    assert waits.seconds() == pytest.approx(0.0015)
    assert waits.seconds() == 0.0
    waits.close()


def test_it_rests_for_twice_what_it_waited_since_the_last_read(thread: Thread) -> None:
    thread.wait(100)
    pace = Pace(thread.waits())
    thread.wait(1.5)

    assert pace.rest_seconds(20) == pytest.approx(0.003)
    assert pace.rest_seconds(20) == 0.0
    pace.close()


def test_it_rests_at_most_eight_milliseconds(thread: Thread) -> None:
    pace = Pace(thread.waits())
    thread.wait(900)

    assert pace.rest_seconds(8) == 0.008
    pace.close()


@pytest.mark.parametrize("records", [0, 7, 500, 8_000])
def test_it_does_not_rest_after_a_few_records_nor_in_a_backlog_and_such_waits_count_no_more(
    thread: Thread, records: int
) -> None:
    pace = Pace(thread.waits())
    thread.wait(3)

    assert pace.rest_seconds(records) == 0.0
    assert pace.rest_seconds(20) == 0.0
    pace.close()


def test_where_nobody_tells_waits_it_never_rests(tmp_path: Path) -> None:
    pace = Pace(Waits(str(tmp_path / "nothing")))

    assert pace.rest_seconds(20) == 0.0
    pace.close()


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="this system does not tell waits")
def test_the_system_is_understood() -> None:
    pace = Pace()

    assert 0.0 <= pace.rest_seconds(20) <= 0.008
    pace.close()
    pace.close()
