"""The tables of the measurements, each a function from the figures to Markdown; empty where there are none."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.figures import Figure, Scaling
from benchmarks.kill import Kill
from benchmarks.latency import BASELINE, Latency, in_rounds, middle
from benchmarks.report.markdown import markdown, name
from benchmarks.report.overview import cost_tables, failures, machines, peers, typed_cost_tables
from benchmarks.report.sources import Sources
from benchmarks.soak import Soak
from benchmarks.start import Start
from benchmarks.summary import scaled
from benchmarks.swaps import Swaps


def starts(sources: Sources) -> str:
    """Start-up, memory, and whether the small topic came through whole and right."""
    rows = [
        (
            name(each.system),
            each.model or "-",
            f"{each.start_seconds:.1f}",
            f"{each.resident_mb:.0f}",
            f"{each.mean_bytes:.0f}",
            f"{each.sent:,}",
            *_zeros(each.lost, each.duplicated, each.foreign, each.wrong, each.flawed),
        )
        for each in sorted(_of(sources, Start), key=lambda each: (each.model, each.start_seconds))
    ]
    head = (
        "system",
        "model",
        "first result after s",
        "MB",
        "bytes a result",
        "records",
        "lost",
        "twice",
        "foreign",
        "wrong",
        "flawed",
    )
    return markdown(head, rows) if rows else ""


def latencies(sources: Sources) -> str:
    """One table a rate; the baseline first, then by p99. Of several rounds: medians, with the extremes."""
    figures: list[Latency] = _of(sources, Latency)
    out = []
    for rate in dict.fromkeys(figure.rate for figure in figures):
        shown = sorted(
            in_rounds(f for f in figures if f.rate == rate),
            key=lambda rounds: (rounds[0].peer != BASELINE, any(f.missing for f in rounds), middle(rounds).delays.p99),
        )
        rows = [_delay_row(rounds) for rounds in shown]
        head = ("system", "p50 ms", "p99", "p99.9", "worst", "worst at swap", "worst elsewhere", "swap took", "mixed")
        head += ("CPU us a record", "missing", "wrong", "sender late ms", "load")
        out.append(f"### {rate:,} a second\n\n{markdown(head, rows)}")
    return "\n\n".join(out)


def _delay_row(rounds: Sequence[Latency]) -> tuple[str, ...]:
    swapped = [each.swap for each in rounds if each.swap is not None]
    first = rounds[0]
    spent = [each.cpu_us for each in rounds if each.cpu_us is not None]
    return (
        f"*{first.peer}: no system*" if first.peer == BASELINE else name(first.system),
        *(
            _spread([delay(each.delays) for each in rounds])
            for delay in (lambda d: d.p50, lambda d: d.p99, lambda d: d.p999, lambda d: d.worst)
        ),
        _spread([swap.worst_ms for swap in swapped]),
        _spread([each.worst_elsewhere for each in rounds]),
        f"{statistics.median(swap.took_ms for swap in swapped):.0f}" if swapped else "-",
        str(sum(swap.mixed for swap in swapped)) if swapped else "-",
        f"{statistics.median(spent):.0f}" if spent else "-",
        *_zeros(sum(each.missing for each in rounds), sum(each.wrong + each.flawed for each in rounds)),
        f"{max(each.sender_late_ms for each in rounds):.0f}",
        f"{max(each.weather.load_average for each in rounds):.1f}",
    )


def swap_table(sources: Sources) -> str:
    """Many swaps under load."""
    rows = []
    for each in sorted(_of(sources, Swaps), key=_median_extra):
        near = [swap.worst_ms for swap in each.swaps]
        rows.append(
            (
                name(each.system),
                f"{len(near)} of {len(near) + each.unseen}",
                *(_spread(values) for values in (near, each.quiet_worst_ms)),
                f"{_median_extra(each):+.1f}",
                _spread([swap.took_ms for swap in each.swaps]),
                *_zeros(
                    sum(swap.mixed for swap in each.swaps), each.missing, each.duplicated, each.wrong + each.flawed
                ),
                f"{each.weather.load_average:.1f}",
            )
        )
    head = ("system", "swaps seen", "worst near a swap, ms", "worst in a span without", "difference of medians")
    head += ("swap took ms", "mixed", "missing", "twice", "wrong", "load")
    return markdown(head, rows) if rows else ""


def kills(sources: Sources) -> str:
    """What was lost and repeated."""
    rows = [
        (
            name(each.system),
            each.kills,
            f"{each.sent:,}",
            f"**{each.lost:,}**",
            f"**{each.duplicated:,}**",
            f"{each.duplicated / each.kills / each.rate:.2f}",
            *_zeros(each.foreign, each.wrong + each.flawed),
            _spread(each.back_seconds),
        )
        for each in sorted(_of(sources, Kill), key=lambda each: (each.lost, each.duplicated / each.kills))
    ]
    head = (
        "system",
        "kills",
        "records",
        "lost",
        "twice",
        "seconds repeated a kill",
        "foreign",
        "wrong",
        "back after s",
    )
    return markdown(head, rows) if rows else ""


def scaling(sources: Sources) -> str:
    """One and two processes."""
    rows = [
        (
            name(each.system),
            f"{each.rate_one:,}",
            f"{each.rate_two:,}",
            f"{each.gain:.2f}",
            f"{each.cpu_one:.2f}",
            f"{each.cpu_two:.2f}",
            f"{each.busy_two:.2f}",
        )
        for each in scaled(_of(sources, Scaling))
    ]
    head = ("system", "records/s, 1 process", "2 processes", "gain", "CPU us a record, 1", "2", "busy cores, 2")
    return markdown(head, rows) if rows else ""


def _held(soak: Soak, span: slice) -> str:
    """Medians of a span, MB: of the tree, and of each program where there are several."""
    whole = f"{statistics.median(memory for *_, memory in soak.memory[span]):.0f}"
    parts = ", ".join(f"{name} {statistics.median(held[span]):.0f}" for name, held in soak.by_program.items())
    return f"{whole} ({parts})" if parts else whole


def soaks(sources: Sources) -> str:
    """The long run."""
    rows = []
    for each in _of(sources, Soak):
        quarter = len(each.memory) // 4
        spans = [slice(quarter, 2 * quarter), slice(len(each.memory) - quarter, None)]
        rows.append(
            (
                name(each.system),
                f"{each.sent:,}",
                f"{each.swaps} of {each.swaps + each.unseen}",
                f"{each.seconds / 60:.0f}",
                f"{each.cpu_us:.2f}",
                *(_held(each, span) for span in spans),
                f"{max(m for *_, m in each.memory):.0f}",
                *_zeros(each.lost, each.duplicated, each.wrong + each.flawed),
            )
        )
    head = (
        "system",
        "records",
        "swaps",
        "minutes",
        "CPU us a record",
        "MB, second quarter",
        "MB, last quarter",
        "most MB",
    )
    return markdown((*head, "lost", "twice", "wrong"), rows) if rows else ""


def _of(sources: Sources, kind: type[Figure]) -> list[Any]:
    return [figure for source in sources.get(kind.part, ()) for figure in source.figures()]


def _zeros(*counts: int) -> tuple[str, ...]:
    return tuple(f"**{count:,}**" if count else "0" for count in counts)


def _spread(values: Sequence[float]) -> str:
    """Median and extremes."""
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def _median_extra(each: Swaps) -> float:
    if not each.swaps:
        return float("inf")
    return statistics.median(s.worst_ms for s in each.swaps) - statistics.median(each.quiet_worst_ms)


TABLES: dict[str, Callable[[Sources], str]] = {
    "machines": machines,
    "costs": cost_tables,
    "typed-costs": typed_cost_tables,
    "starts": starts,
    "latencies": latencies,
    "swaps": swap_table,
    "kills": kills,
    "scaling": scaling,
    "soaks": soaks,
    "peers": peers,
    "failures": failures,
}
