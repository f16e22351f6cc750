"""How long a thread waited for a core is what the system says, counted from the last look (waits.py)."""

from pathlib import Path

import pytest

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


def test_a_thread_has_waited_what_was_added_since_somebody_looked(tmp_path: Path) -> None:
    thread = Thread(tmp_path / "schedstat")
    thread.wait(100)
    waits = Waits(str(thread.file))
    thread.wait(1.5)

    assert waits.seconds() == pytest.approx(0.0015)
    assert waits.seconds() == 0.0
    waits.close()


def test_where_nobody_tells_waits_there_were_none(tmp_path: Path) -> None:
    waits = Waits(str(tmp_path / "nothing"))

    assert waits.seconds() == 0.0
    waits.close()


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="this system does not tell waits")
def test_the_system_is_understood() -> None:
    waits = Waits()

    assert 0.0 <= waits.seconds() < 60.0
    waits.close()
    waits.close()
