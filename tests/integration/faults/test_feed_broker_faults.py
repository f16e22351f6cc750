"""The broker is killed under load and comes back; both deliveries share the one broker and the one outage."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import scenarios
from fault_harness import COMMIT_SECONDS, Account, Stage, new_task

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

DELIVERIES = ("at_least_once", "exactly_once")
REPEAT_SECONDS = COMMIT_SECONDS + 1.0


class Together:
    """Takes the broker down when every run has come to that point, and brings it back once for all."""

    def __init__(self, kafka: Any, count: int) -> None:
        self.stop = threading.Barrier(count, action=kafka.kill, timeout=90).wait
        self.start = threading.Barrier(count, action=kafka.start, timeout=90).wait


def lose_broker_together(kafka: Any, folder: Path, rate: float) -> dict[str, Account]:
    together = Together(kafka, len(DELIVERIES))

    def run(delivery: str) -> Account:
        stage = Stage(new_task(kafka.bootstrap, delivery, folder))
        return scenarios.lose_broker(stage, rate, stop=together.stop, start=together.start)

    with ThreadPoolExecutor(len(DELIVERIES)) as pool:
        return dict(zip(DELIVERIES, pool.map(run, DELIVERIES), strict=True))


def check(accounts: dict[str, Account]) -> None:
    for account in accounts.values():
        assert account.lost == 0, accounts
        assert account.exits == [0, 0], accounts
    assert accounts["exactly_once"].duplicated == 0, accounts
    assert accounts["at_least_once"].repeated_seconds <= REPEAT_SECONDS, accounts


def test_a_killed_broker_costs_no_record(kafka_restartable: Any, tmp_path: Path) -> None:
    check(lose_broker_together(kafka_restartable, tmp_path, rate=500))


@pytest.mark.skipif("SLUICE_SOAK" not in os.environ, reason="takes ten minutes; set SLUICE_SOAK=1 to run it")
@pytest.mark.timeout(1_800)
def test_a_broker_that_is_killed_ten_times_costs_no_record(kafka_restartable: Any, tmp_path: Path) -> None:
    for number in range(10):
        check(lose_broker_together(kafka_restartable, tmp_path / str(number), rate=2_000))
        time.sleep(1)
