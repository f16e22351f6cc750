import os
import subprocess
import sys

import pytest

from serving.idling import half, idle

POLICIES = """
import os, threading
from serving.idling import half, idle

cores = half(os.sched_getaffinity(0))

def give_way():
    threads = [int(task) for task in os.listdir("/proc/self/task")]
    return all((os.sched_getscheduler(each), os.sched_getaffinity(each)) == (os.SCHED_IDLE, cores) for each in threads)

done = threading.Event()
threads = [threading.Thread(target=done.wait) for _ in range(8)]
[thread.start() for thread in threads]
print(idle(), give_way())
threading.Thread(target=done.wait).start()
print(give_way())
done.set()
"""


@pytest.mark.parametrize(
    ("cores", "left"), [({0}, {0}), ({0, 1}, {1}), ({2, 5, 7}, {5, 7}), (set(range(16)), set(range(8, 16)))]
)
def test_half_of_the_cores_are_left_to_others_but_never_all(cores: set[int], left: set[int]) -> None:
    assert half(cores) == left


def test_all_threads_of_a_process_have_it_and_half_of_the_cores_and_so_have_those_that_they_start() -> None:
    told = subprocess.run([sys.executable, "-c", POLICIES], capture_output=True, text=True, check=True)

    assert told.stdout.split() == ["True", "True", "True"]


def test_where_the_system_does_not_allow_it_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)

    assert not idle()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_where_the_system_does_not_allow_to_leave_cores_all_are_kept() -> None:
    refusing = "import os\ndef refuse(*_): raise PermissionError\nos.sched_setaffinity = refuse\n"
    asking = "from serving.idling import idle\nprint(idle(), os.sched_getscheduler(0) == os.SCHED_IDLE)"

    told = subprocess.run([sys.executable, "-c", refusing + asking], capture_output=True, text=True, check=True)

    assert told.stdout.split() == ["True", "True"]


def test_where_the_system_has_no_such_policy_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert not idle()
