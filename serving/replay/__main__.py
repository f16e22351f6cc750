"""`python -m serving.replay --config worker.yaml --job job.json`: one job, and then the end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from confluent_kafka import KafkaException

from model_store.core.jobs import InvalidJobError, job_from_json
from serving.core.errors import SettingsError
from serving.logs import configure_logs
from serving.processes import die_with_parent
from serving.replay.errors import JobStopped, ReplayError
from serving.replay.report import print_line
from serving.replay.run import run_job
from serving.replay.stopping import Stopping
from serving.settings import read_settings

_NICENESS = 10


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 if the job is done and its report printed, else 1."""
    options = _parser().parse_args(arguments)
    configure_logs()
    die_with_parent()
    stop = Stopping()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.ask)
    os.nice(_NICENESS)
    try:
        job = job_from_json(options.job.read_bytes())
        report = run_job(read_settings(options.config), job, emit=print_line, stop=stop)
    except JobStopped:
        print_line({"event": "stopped"})
        return 1
    except (ReplayError, InvalidJobError, SettingsError, OSError) as error:
        print_line({"event": "failed", "problem": type(error).__name__, "reason": str(error)})
        return 1
    except KafkaException as error:
        print_line({"event": "failed", "problem": "KafkaException", "reason": str(error.args[0])})
        return 1
    print_line(report)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.replay", description="Scores retained records again: a back-test or a correction."
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the worker's settings in YAML; variables SERVING_... override it"
    )
    parser.add_argument("--job", type=Path, metavar="FILE", required=True, help="the job, as JSON")
    parser.add_argument(
        "--die-with-parent", action="store_true", help="end when the process that started this one does"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
