"""Run one scenario many times and print a table row: `python soak.py broker-kill exactly_once --runs 10 --rate 2000`.

Starts a broker of its own. `all` runs every scenario, one after the other, for both deliveries.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import scenarios
from fault_harness import Account, Stage, new_task

from sluice.stack import jars
from sluice.stack.kafka import Broker, RunningBroker, new_cluster_id
from sluice.stack.ports import free_port

Scenario = Callable[[Stage, float, RunningBroker], Account]

SCENARIOS: dict[str, Scenario] = {
    "kill": lambda stage, rate, _: scenarios.kill_repeatedly(
        stage, rate, kills=10, gap_seconds=(1.5, 3.5), is_settled=True
    ),
    "kill-fast": lambda stage, rate, _: scenarios.kill_repeatedly(
        stage, rate, kills=10, gap_seconds=(0.8, 4.0), is_settled=False
    ),
    "leave": lambda stage, rate, _: scenarios.leave(stage, rate),
    "leave-overlap": lambda stage, rate, _: scenarios.leave(stage, rate, overlap=3, delay=0.02),
    "join": lambda stage, rate, _: scenarios.join(stage, rate),
    "static": lambda stage, rate, _: scenarios.restart_static_member(stage, rate),
    "zombie": lambda stage, rate, _: scenarios.stop_and_continue(stage, rate, stops=2),
    "broker-stop": lambda stage, rate, broker: scenarios.lose_broker(stage, rate, stop=broker.stop, start=broker.start),
    "broker-kill": lambda stage, rate, broker: scenarios.lose_broker(stage, rate, stop=broker.kill, start=broker.start),
    "broker-kill-long": lambda stage, rate, broker: scenarios.lose_broker(
        stage, rate, stop=broker.kill, start=broker.start, away_seconds=15
    ),
}


def main() -> int:
    """The exit status: 1 when a record was lost, or one was repeated that must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=[*SCENARIOS, "all"])
    parser.add_argument("delivery", choices=["at_least_once", "exactly_once", "both"])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2_000)
    parser.add_argument("--folder", type=Path, default=None, help="logs of the workers; a temporary one by default")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="feed-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    jars.fetch(jars.jar_folder(), jars.locked_jars())
    port = free_port()
    broker = RunningBroker(
        Broker(folder / "kafka", port, free_port(avoid=[port]), new_cluster_id(), quick_compile=True)
    )
    broker.start()
    is_good = True
    try:
        for name in SCENARIOS if given.scenario == "all" else [given.scenario]:
            for delivery in ["at_least_once", "exactly_once"] if given.delivery == "both" else [given.delivery]:
                for number in range(given.runs):
                    stage = Stage(new_task(broker.bootstrap, delivery, folder))
                    account = SCENARIOS[name](stage, given.rate, broker)
                    is_good &= account.lost == 0 and (delivery == "at_least_once" or account.duplicated == 0)
                    print(
                        f"{time.strftime('%H:%M:%S')} {name} {delivery} run {number + 1}: {account} {stage.task.folder}",
                        flush=True,
                    )
    finally:
        broker.stop()
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
