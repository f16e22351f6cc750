"""What to try after the demo: lines to copy, each of which works as printed."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from sluice.demo.story import MODEL_OF
from sluice.demo.wine import ARTIFACTS, STILL
from sluice.stack.lifecycle import DEFAULT_FOLDER


def command_name(program: str | None = None) -> str:
    """How this shell calls this `sluice`: by its name if that finds it, else by its path.

    Args:
        program: Path of the program; `None` is the one that runs.
    """
    path = Path(program or sys.argv[0])
    found = shutil.which(path.name)
    if found is not None and Path(found).resolve() == path.resolve():
        return path.name
    absolute = path.absolute()
    shown = absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute
    return shlex.quote(str(shown))


def next_steps(api_url: str, data: Path, is_up: bool, command: str) -> list[str]:
    """The lines, the first ones to bring the stack up again if it is down.

    Args:
        api_url: Base URL of the API.
        data: Data folder of the stack.
        is_up: The stack was left running.
        command: How `sluice` is called.
    """
    at = "" if data == DEFAULT_FOLDER else f" --data {shlex.quote(str(data))}"
    model, forest, linear = MODEL_OF[STILL], _artifact("wine_forest.pmml"), _artifact("wine_linear.pmml")
    versions = f"{api_url}/api/v1/registered-models/{model}/versions"
    lines = [] if is_up else [f"{command} up{at} --detach"]
    return [
        *lines,
        f"{command} routes list{at}",
        f"{command} routes show {STILL}{at}",
        f"{command} models show {model}{at}",
        f"{command} decisions wine.records 0 1000 --data-type {STILL}{at}",
        f"{command} publish {forest} --for {STILL} --name {model} --wait{at}",
        f"{command} rollout start {STILL} --model {model} --version 2 --steps dark:2s,10%:5s,100%:0s --no-guards{at}",
        f"{command} route rollback {STILL}{at}",
        f"{command} stats{at}",
        f"{command} tail --last 5 --count 5{at}",
        f"{command} dead-letters{at}",
        f"curl -s {api_url}/api/v1/deployments/{STILL}",
        f"curl -s -F file=@{linear} -F data_type={STILL} {versions}",
        f"curl -s {api_url}/api/v1/stats/keys/{STILL}",
        f"curl -s '{api_url}/api/v1/streams/wine/results?limit=3'",
        f"{command} down{at}",
    ]


def _artifact(name: str) -> str:
    path = ARTIFACTS / name
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
