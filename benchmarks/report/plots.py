"""Which plots the page has, and what is on each: name of the file -> SVG."""

from __future__ import annotations

from benchmarks.delays import Delays
from benchmarks.latency import BASELINE, Latency, in_rounds, middle
from benchmarks.report.sources import Source, Sources
from benchmarks.report.svg import Bar, Line, bars, linear_axis, lines, log_axis, tail_axis
from benchmarks.soak import Soak
from benchmarks.summary import REFERENCE, costs

OURS = "worker"
_NINES = 3


def plots(sources: Sources) -> dict[str, str]:
    """Those that there are figures for."""
    drawn: dict[str, str] = {}
    for source in sources.get("throughput", ()):
        drawn |= _costs(source)
    for source in sources.get("latency", ()):
        drawn |= _delays(source)
    for source in sources.get("soak", ()):
        drawn |= {f"soak-{each.peer}-{each.delivery}": _memory(each) for each in source.figures()}
    return {name.replace("_", "-"): text for name, text in drawn.items()}


def _costs(source: Source) -> dict[str, str]:
    found = [cost for cost in costs(source.figures()) if cost.is_right]
    drawn = {}
    for model in source.models:
        # The relay scores nothing: it stands beside every model as the floor.
        shown = sorted((c for c in found if c.system[1] in (model, "")), key=lambda cost: cost.cpu_us)
        rows = [Bar(_short(c.system), c.cpu_us, c.low, c.high, c.system[0].startswith(OURS)) for c in shown]
        top = max(row.high for row in rows)
        is_wide = top > 30 * min(row.low for row in rows)
        title = "CPU microseconds a record" + (" (logarithmic)" if is_wide else "")
        axis = (
            log_axis(0.5 * min(row.low for row in rows), 1.1 * top, title)
            if is_wide
            else linear_axis(1.05 * top, title)
        )
        base = [c.cpu_us for c in shown if c.system == (REFERENCE, model, "at_least_once")]
        drawn[f"cost-{model}"] = bars(
            f"What a record costs, {model}: median, whisker min to max", rows, axis, base[0] if base else None
        )
    return drawn


def _delays(source: Source) -> dict[str, str]:
    figures: list[Latency] = source.figures()
    drawn = {}
    for rate in dict.fromkeys(figure.rate for figure in figures):
        shown = sorted(map(middle, in_rounds(f for f in figures if f.rate == rate)), key=lambda f: f.delays.p99)
        series = [Line(_short(f.system), _points(f.delays, f.sent)) for f in shown]
        high = max(10.0, *(figure.delays.p999 for figure in shown))
        drawn[f"latency-{rate}"] = lines(
            f"Delay of a record at {rate:,} a second, one swap in the middle",
            series,
            log_axis(0.5, high, "milliseconds from sending to the reader (logarithmic)"),
            tail_axis(_NINES, "share of records that were faster"),
        )
    return drawn


def _points(delays: Delays, records: int) -> list[tuple[float, float]]:
    steps = len(delays.curve) - 1
    points = [(value, at / steps) for at, value in enumerate(delays.curve) if at / steps <= 0.99]
    tail = [(value, 1 - (at + 1) / records) for at, value in enumerate(delays.longest)]
    return points + sorted(point for point in tail if point[1] > 0.99)


def _memory(soak: Soak) -> str:
    top = 1.1 * max(each[3] for each in soak.memory)
    return lines(
        f"Memory of {soak.peer} over {soak.sent:,} records and {soak.swaps} swaps",
        [Line("resident, whole tree", [(at / 60, memory) for at, _, _, memory in soak.memory]), *_parts(soak)],
        linear_axis(max(each[0] for each in soak.memory) / 60, "minutes"),
        linear_axis(top, "MB"),
    )


def _parts(soak: Soak) -> list[Line]:
    """The memory of each program, of a system that runs several."""
    minutes = [at / 60 for at, *_ in soak.memory]
    return [Line(name, list(zip(minutes, held, strict=True))) for name, held in soak.by_program.items()]


def _short(system: tuple[str, str, str]) -> str:
    peer, model, delivery = system
    is_plain = peer == BASELINE or (not model and peer.endswith("relay"))
    name = peer if model or is_plain else f"{peer} (relay)"
    return name if delivery == "at_least_once" else f"{name}, exactly once"
