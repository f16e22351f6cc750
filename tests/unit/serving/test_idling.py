import os
import subprocess
import sys

import pytest

from serving.idling import idle

POLICIES = """
import os, threading
from serving.idling import idle

def policies():
    return {os.sched_getscheduler(int(task)) for task in os.listdir("/proc/self/task")}

done = threading.Event()
threads = [threading.Thread(target=done.wait) for _ in range(8)]
[thread.start() for thread in threads]
print(idle(), policies() == {os.SCHED_IDLE})
threading.Thread(target=done.wait).start()
print(policies() == {os.SCHED_IDLE})
done.set()
"""


def test_all_threads_of_a_process_have_it_and_those_that_they_start() -> None:
    told = subprocess.run([sys.executable, "-c", POLICIES], capture_output=True, text=True, check=True)

    assert told.stdout.split() == ["True", "True", "True"]


def test_where_the_system_does_not_allow_it_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)

    assert not idle()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_where_the_system_has_no_such_policy_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert not idle()
