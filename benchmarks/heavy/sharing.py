"""What records of a light model wait: without a heavy one, with one on a worker of its own, and with one on the same worker.

The light records come all the time, at one rate; the windows come in some spans of time, in turn to the one worker and to the
other. So all is measured in one run, on the same processes, within seconds of each other. The edges of a span are left out. What
a heavy model on a worker of its own adds is the machine's doing, which has no more cores; what it adds beyond that on the same
worker is the worker's.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.collector import collecting
from benchmarks.delays import delays_of, first_arrivals
from benchmarks.heavy.site import WindowSender, site
from benchmarks.machine import Watch
from benchmarks.records import PARTITIONS
from benchmarks.sender import sending
from benchmarks.topics import Topics

LIGHT_RATE = 500
_CASES = (("one", 20.0), ("one", 60.0), ("ten", 6.0))
"""Model, and windows a second: what takes about a seventh and a half of a core."""
_EDGE_SECONDS = 1.0
_WARM_SECONDS = 4.0
_PAUSE_SECONDS = 1.0
"""For what is still under way after a span with windows."""


def measure(topics: Topics, spans: int, seconds: float) -> dict[str, object]:
    """Delays of the light records in `spans` spans of each kind, of `seconds` each."""
    return {f"{model} at {rate:g}/s": _case(topics, model, rate, spans, seconds) for model, rate in _CASES}


def _case(topics: Topics, model: str, rate: float, spans: int, seconds: float) -> dict[str, object]:
    found: dict[str, list[tuple[int, int]]] = {"without": [], "apart": [], "with": []}
    with site(topics, model) as at, site(topics, model) as other:
        shared, apart = WindowSender(at), WindowSender(other)
        total = _WARM_SECONDS + len(found) * spans * (seconds + _PAUSE_SECONDS) + 1
        first = topics.count(at.light)
        with (
            collecting(
                topics.bootstrap, at.light_results, topics.ends(at.light_results), "tree", "protobuf", at.light,
                at.folder / "arrivals.npz",
            ) as collector,
            sending(topics.bootstrap, at.light, LIGHT_RATE, total, first) as sender,
        ):  # fmt: skip
            time.sleep(_WARM_SECONDS)
            watch = Watch()
            for _ in range(spans):
                found["without"].append(_span(seconds))
                for kind, windows in (("apart", apart), ("with", shared)):
                    with windows.sending(rate):
                        found[kind].append(_span(seconds))
                    time.sleep(_PAUSE_SECONDS)
            weather = watch.weather()
            sent = sender.finish(total + 60)
            at.wait_for(at.light_results, first + sent)
            arrivals = collector.finish()
        at.wait_for(at.heavy_results, PARTITIONS + shared.sent)
        other.wait_for(other.heavy_results, PARTITIONS + apart.sent)
    column = first_arrivals(arrivals.results, arrivals.arrived_us, arrivals.results.version)

    def delays(chosen: list[tuple[int, int]]) -> dict[str, float]:
        is_in = np.zeros(len(column.sent_us), np.bool_)
        for begin, end in chosen:
            is_in |= (column.sent_us >= begin) & (column.sent_us < end)
        of_kind = delays_of(column.milliseconds[is_in])
        return {
            "records": int(is_in.sum()),
            "p50": of_kind.p50,
            "p99": of_kind.p99,
            "p999": of_kind.p999,
            "worst": of_kind.worst,
        }

    return {
        **{kind: delays(chosen) for kind, chosen in found.items()},
        "windows": {"apart": apart.sent, "with": shared.sent},
        "light_rate": LIGHT_RATE,
        "load_average": weather.load_average,
    }


def _span(seconds: float) -> tuple[int, int]:
    """Wait; which microseconds since 1970 count."""
    begin = time.time_ns() // 1_000
    time.sleep(seconds)
    return begin + int(_EDGE_SECONDS * 1e6), time.time_ns() // 1_000
