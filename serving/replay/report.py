"""Comparisons and progress as JSON."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from serving.core.comparison import Comparison, Deltas, Failures
from serving.replay.ranges import Cut, Slice

Emit = Callable[[Mapping[str, object]], None]
"""Takes one line of output."""

_EVERY_SECONDS = 1.0


def print_line(line: Mapping[str, object]) -> None:
    """Write one line to standard output, at once."""
    sys.stdout.write(json.dumps(line, allow_nan=False) + "\n")
    sys.stdout.flush()


class Progress:
    """Says how far a job is, once a second at most."""

    def __init__(self, emit: Emit, total: int, now: Callable[[], float] = time.monotonic) -> None:
        """`total` is how many offsets there are to read."""
        self._emit, self._total, self._now = emit, total, now
        self._last = -math.inf

    def __call__(self, partition: int, offset: int, done: int, **counts: int) -> None:
        """`done` offsets are done, the last of them at `offset` of `partition`."""
        if self._now() - self._last < _EVERY_SECONDS:
            return
        self._last = self._now()
        place = {"partition": partition, "offset": offset}
        self._emit({"event": "progress", "done": done, "total": self._total, **place, **counts})


def described_cut(cut: Cut) -> dict[str, object]:
    """What of the ranges was read, and what could not be."""
    return {"ranges": [_range(item) for item in cut.slices], "not_there": [_range(item) for item in cut.gone]}


def _range(item: Slice) -> dict[str, int]:
    return {"partition": item.partition, "from": item.first, "to": item.end}


def described(comparison: Comparison) -> dict[str, object]:
    """A comparison as JSON. Numbers that are not finite are `null`."""
    interval = comparison.disagreement_interval()
    paired = comparison.paired
    return {
        "records": comparison.records,
        "paired": paired,
        "identical": comparison.identical,
        "unpaired": dict(comparison.unpaired),
        "disagreement": {
            "records": comparison.disagreements,
            "rate": comparison.disagreements / paired if paired else None,
            "low": interval[0] if interval else None,
            "high": interval[1] if interval else None,
        },
        "deltas": _deltas(comparison.deltas),
        "classes": {
            "records": comparison.classes.records,
            "changed": comparison.classes.changed,
            "pairs": [
                {"baseline": old, "candidate": new, "records": count}
                for (old, new), count in sorted(comparison.classes.pairs.items(), key=lambda item: (-item[1], item[0]))
            ],
            "unlisted_same": comparison.classes.unlisted_same,
            "unlisted_changed": comparison.classes.unlisted_changed,
        },
        "errors": {
            "baseline": described_failures(comparison.baseline_failures),
            "candidate": described_failures(comparison.candidate_failures),
        },
        "latency_seconds": dict(zip(("p50", "p99"), comparison.latency.quantiles_seconds((0.5, 0.99)), strict=True)),
    }


def described_failures(failures: Failures) -> dict[str, object]:
    """Records without a result by stage; `unknown` where nothing is known of them."""
    return {
        stage or "unknown": {
            "records": count,
            "examples": [
                {"partition": item.partition, "offset": item.offset, "reason": item.reason}
                for item in failures.examples.get(stage, ())
            ],
        }
        for stage, count in failures.counts.items()
    }


def _deltas(deltas: Deltas) -> dict[str, Any]:
    p50, p95, p99 = deltas.sizes.quantiles_seconds((0.5, 0.95, 0.99))
    return {
        "records": deltas.count,
        "mean": _finite(deltas.total / deltas.count) if deltas.count else None,
        "min": _finite(deltas.lowest),
        "max": _finite(deltas.highest),
        "abs_p50": p50,
        "abs_p95": p95,
        "abs_p99": p99,
        "not_finite": deltas.not_finite,
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
