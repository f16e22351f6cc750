"""What records of a light model wait while a heavy one is at work on the same worker, beside what they wait without it.

The light records come all the time, at one rate; the windows come in every other span of time. So both are measured in one
run, on the same process, within seconds of each other. The edges of a span are left out.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.collector import collecting
from benchmarks.delays import delays_of, first_arrivals
from benchmarks.heavy.site import WindowSender, site
from benchmarks.machine import Watch
from benchmarks.sender import sending
from benchmarks.topics import Topics

LIGHT_RATE = 500
_CASES = (("one", 20.0), ("one", 60.0), ("ten", 6.0))
"""Model, and windows a second: what takes about a seventh and a half of a core."""
_EDGE_SECONDS = 1.0
_WARM_SECONDS = 4.0


def measure(topics: Topics, spans: int, seconds: float) -> dict[str, object]:
    """Delays of the light records in `spans` spans without the heavy model and as many with it, of `seconds` each."""
    return {f"{model} at {rate:g}/s": _case(topics, model, rate, spans, seconds) for model, rate in _CASES}


def _case(topics: Topics, model: str, rate: float, spans: int, seconds: float) -> dict[str, object]:
    quiet, busy = [], []
    with site(topics, model) as at:
        windows = WindowSender(at)
        total = _WARM_SECONDS + 2 * spans * seconds + 1
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
                quiet.append(_span(seconds))
                with windows.sending(rate):
                    busy.append(_span(seconds))
            weather = watch.weather()
            sent = sender.finish(total + 60)
            at.wait_for(at.light_results, first + sent)
            arrivals = collector.finish()
        at.wait_for(at.heavy_results, windows.sent)
    column = first_arrivals(arrivals.results, arrivals.arrived_us, arrivals.results.version)

    def delays(chosen: list[tuple[int, int]]) -> dict[str, float]:
        is_in = np.zeros(len(column.sent_us), np.bool_)
        for begin, end in chosen:
            is_in |= (column.sent_us >= begin) & (column.sent_us < end)
        found = delays_of(column.milliseconds[is_in])
        return {
            "records": int(is_in.sum()),
            "p50": found.p50,
            "p99": found.p99,
            "p999": found.p999,
            "worst": found.worst,
        }

    return {
        "without": delays(quiet),
        "with": delays(busy),
        "windows": windows.sent,
        "light_rate": LIGHT_RATE,
        "load_average": weather.load_average,
    }


def _span(seconds: float) -> tuple[int, int]:
    """Wait; which microseconds since 1970 count."""
    begin = time.time_ns() // 1_000
    time.sleep(seconds)
    return begin + int(_EDGE_SECONDS * 1e6), time.time_ns() // 1_000
