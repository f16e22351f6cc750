"""`python -m serving --config worker.yaml`: one worker, or with `--processes N` several."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from serving.core.errors import SettingsError
from serving.logs import configure_logs
from serving.processes import die_with_parent, run_processes
from serving.settings import read_settings


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 after a clean stop, 2 for wrong settings, else the worker failed."""
    options = _parser().parse_args(arguments)
    configure_logs()
    try:
        settings = read_settings(options.config)
        if options.check:
            print(f"{options.config or 'environment'}: fine, {len(settings.streams)} stream(s)")
            return 0
        if options.processes > 1:
            passed_on = [] if options.config is None else ["--config", str(options.config)]
            return run_processes(options.processes, passed_on, settings.worker_id, settings.metrics.port)
        die_with_parent()
        from serving.app import run_worker  # Kafka, Faust and numpy load only where a worker runs

        return run_worker(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving", description="A Sluice worker: scores streams with models."
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings in YAML; variables SERVING_... override it"
    )
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="workers to run, one process each (default 1)"
    )
    parser.add_argument("--check", action="store_true", help="check the settings and exit")
    return parser


if __name__ == "__main__":
    sys.exit(main())
