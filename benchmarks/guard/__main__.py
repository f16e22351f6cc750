"""Compare what the hot path costs with what it cost when the baseline was committed.

    python -m benchmarks.guard [--accept]

Ends with status 1 if a figure is over its limit, and says which and what to do. Takes some 16 seconds of CPU, needs neither
Kafka nor Java, and leaves out what needs TensorFlow where that is not installed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from functools import partial

from benchmarks.guard.counting import blocks, bytecodes
from benchmarks.guard.figures import BASELINE, HEAD, Figure, Verdict, read_baseline, write_baseline
from benchmarks.guard.hot_path import HotPath
from benchmarks.guard.models import graph_scorer, tree_scorer
from benchmarks.guard.timing import ratio
from serving.core.errors import EngineUnavailableError
from serving.scorers.base import Scorer

SIZES = (1, 100, 2_000)
_WARM_UP = 20
_TRIES = 3


def main(arguments: list[str]) -> int:
    """Measure, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--accept", action="store_true", help="make what is measured now the baseline")
    accept = parser.parse_args(arguments).accept
    baseline = {} if accept else read_baseline()
    verdicts: list[Verdict] = []
    print(HEAD)
    for name, scorers in _paths().items():
        for figure in _measured(name, HotPath(scorers), baseline):
            verdicts.append(Verdict(figure, baseline.get(figure.key)))
            print(verdicts[-1], flush=True)
    if accept:
        write_baseline([verdict.figure for verdict in verdicts])
        print(f"Written to {BASELINE}; commit it with the reason.")
        return 0
    return _told(verdicts)


def _paths() -> Mapping[str, Mapping[str, Scorer]]:
    tree = tree_scorer()
    try:
        graph = graph_scorer()
    except EngineUnavailableError as error:
        print(f"left out what needs TensorFlow: {error}")
        return {"tree": {"wine": tree}}
    return {
        "tree": {"wine": tree},
        "graph": {"wine": graph},
        "four data types": {"red": tree, "white": graph, "rose": tree, "green": graph},
    }


def _measured(name: str, path: HotPath, baseline: Mapping[str, float]) -> list[Figure]:
    figures = []
    for size in SIZES:
        path.check(size)
        run = partial(path.run, path.batch(size))
        for _ in range(_WARM_UP):
            run()
        called = f"{name}, {size:,}"
        figures += [Figure(called, "bytecodes", bytecodes(run)), Figure(called, "blocks", blocks(run))]
    timed = Figure(called, "yardsticks", ratio(run))
    for _ in range(_TRIES - 1):
        # A machine may be busy for seconds; code that is slower is slower each time.
        if not Verdict(timed, baseline.get(timed.key)).is_slower:
            break
        timed = Figure(called, "yardsticks", min(timed.value, ratio(run)))
    return [*figures, timed]


def _told(verdicts: list[Verdict]) -> int:
    unknown = [verdict.figure.key for verdict in verdicts if verdict.baseline is None]
    if unknown:
        print(f"Not compared, for want of a baseline of this Python: {len(unknown)} figures.")
    slower = [verdict for verdict in verdicts if verdict.is_slower]
    for verdict in slower:
        figure, before = verdict.figure, verdict.baseline or 1.0
        print(
            f"The hot path got slower: {figure.name}: {figure.value:,.2f} {figure.kind} a batch, {before:,.2f} before"
            f" ({figure.value / before - 1:+.0%}).",
            file=sys.stderr,
        )
    if slower:
        print(
            "More bytecodes or blocks mean work or objects a record that were not there before; more yardsticks alone mean slower"
            " calls into C.\nIf it is worth its price: python -m benchmarks.guard --accept, and commit baseline.json with"
            " the reason.",
            file=sys.stderr,
        )
    return 1 if slower else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set of strings, and with it a count of bytecodes, hangs on it.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "benchmarks.guard", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main(sys.argv[1:]))
