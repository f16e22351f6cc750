"""The whole worker: windows on Kafka, a backlog of them, results on Kafka; CPU milliseconds of its processes a window."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from modelserving.v1.records_pb2 import ScoreResult

from benchmarks.heavy.models import WINDOWS, expected
from benchmarks.heavy.site import Site, WindowSender, site
from benchmarks.machine import Watch
from benchmarks.reader import next_chunk, reading
from benchmarks.records import PARTITIONS, parse_key
from benchmarks.topics import Topics

_CASES = (("one", "protobuf"), ("ten", "protobuf"), ("one", "json"))


def measure(topics: Topics, windows: int) -> dict[str, object]:
    """Figures by model and wire; `windows` of them with one model, a quarter with ten."""
    figures: dict[str, object] = {}
    for model, wire in _CASES:
        with site(topics, model, wire) as at:
            count = windows if model == "one" else max(8, windows // 4)
            figures[f"{model}:{wire}"] = _measured(at, model, count)
    return figures


def _measured(at: Site, model: str, count: int) -> dict[str, object]:
    WindowSender(at).send(PARTITIONS)
    at.wait_for(at.heavy_results, 2 * PARTITIONS)
    watch, cpu, clock = Watch(), at.tree.cpu_seconds(), time.perf_counter()
    WindowSender(at).send(count)
    at.wait_for(at.heavy_results, 2 * PARTITIONS + count)
    spent, passed = at.tree.cpu_seconds() - cpu, time.perf_counter() - clock
    weather = watch.weather()
    differences = list(_differences(at, model, 2 * PARTITIONS + count))
    return {
        "windows": count,
        "cpu_ms": round(spent / count * 1e3, 2),
        "windows_a_second": round(count / passed, 2),
        "resident_mb": round(at.tree.resident_megabytes()),
        "results": len(differences),
        "difference": max(differences),
        "load_average": weather.load_average,
    }


def _differences(at: Site, model: str, count: int) -> Iterator[float]:
    """How far each result is from what Keras said of its window."""
    wanted = expected(model)
    found = 0
    with reading(at.topics.bootstrap, at.heavy_results) as consumer:
        while found < count and (chunk := next_chunk(consumer, 10.0)):
            for message in chunk:
                number, _ = parse_key(message.key() or b"")
                scores = np.array(ScoreResult.FromString(message.value() or b"").scores)
                yield float(np.abs(scores - wanted[number % WINDOWS]).max())
                found += 1
