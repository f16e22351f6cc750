"""Workers that are killed, stopped, frozen, added and removed under load: nothing is lost, and repeats are bounded.

The runs are independent (topics, group and workers of their own), so a few go side by side on one broker; each test waits
for its run. Repeats at least once are bounded by time, not by number, since a worker that catches up does in a tenth of a
second what takes seconds as it comes: a result may be repeated only if it was written within `REPEAT_SECONDS` before its
writer was disturbed. That is the commit interval of 0.1 s and what an acknowledgement and a commit take on a busy machine.

While a group waits for a member that died, the coordinator answers no commit of those that live (docs/faults.md): one that is
killed then repeats what it wrote since, which is bounded by the session of the first.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import scenarios
from fault_harness import COMMIT_SECONDS, SESSION_SECONDS, Account, Stage, new_task

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

RATE = 400.0
SIDE_BY_SIDE = 4
REPEAT_SECONDS = COMMIT_SECONDS + 1.0
WAITING_GROUP = "kill while the group waits"

SCENARIOS: dict[str, Callable[[Stage], Account]] = {
    "kill": lambda stage: scenarios.kill_repeatedly(stage, RATE, kills=3, gap_seconds=(1.5, 3.5), is_settled=True),
    WAITING_GROUP: lambda stage: scenarios.kill_repeatedly(
        stage, RATE, kills=3, gap_seconds=(1.0, 7.0), is_settled=False
    ),
    "zombie": lambda stage: scenarios.stop_and_continue(stage, RATE),
    "static": lambda stage: scenarios.restart_static_member(stage, RATE),
    "join": lambda stage: scenarios.join(stage, RATE),
    "leave": lambda stage: scenarios.leave(stage, RATE),
    "kill beside a slow partition": lambda stage: scenarios.kill_repeatedly(
        stage, RATE, kills=2, gap_seconds=(1.5, 3.5), is_settled=True, overlap=2, delay=0.4, slow_partition=1
    ),
    "leave with overlap": lambda stage: scenarios.leave(stage, RATE, overlap=3, delay=0.02),
}

Runs = dict[tuple[str, str], Future[Account]]


@pytest.fixture(scope="module")
def runs(kafka: Any, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Runs]:
    folder: Path = tmp_path_factory.mktemp("faults")
    wanted = {
        tuple(item.callspec.params[name] for name in ("scenario", "delivery"))
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    }
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {
            (scenario, delivery): pool.submit(_run, scenario, kafka.bootstrap, delivery, folder)
            for scenario in SCENARIOS
            for delivery in ("at_least_once", "exactly_once")
            if (scenario, delivery) in wanted
        }
        pool.shutdown(cancel_futures=True)


def _run(scenario: str, bootstrap: str, delivery: str, folder: Path) -> Account:
    return SCENARIOS[scenario](Stage(new_task(bootstrap, delivery, folder)))


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_lost_and_what_is_repeated_is_bounded(scenario: str, delivery: str, runs: Runs) -> None:
    account = runs[scenario, delivery].result()

    assert account.sent > RATE
    assert account.lost == 0, account
    if delivery == "exactly_once":
        assert account.duplicated == 0, account
    else:
        waited = SESSION_SECONDS if scenario == WAITING_GROUP else 0
        assert account.repeated_seconds <= REPEAT_SECONDS + waited, account
    assert set(account.exits) <= {0}, account
