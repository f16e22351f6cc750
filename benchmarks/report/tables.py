"""The tables of the page, each a function from the figures to Markdown; empty where there are none."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.delays import Swap
from benchmarks.figures import Book, Failure, Figure, Scaling
from benchmarks.kill import Kill
from benchmarks.latency import BASELINE, Latency
from benchmarks.report.sources import Source, Sources
from benchmarks.soak import Soak
from benchmarks.start import Start
from benchmarks.summary import costs, scaled
from benchmarks.swaps import Swaps


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; the first column is text, the others are to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def machines(sources: Sources) -> str:
    """What each part was measured on, when, and from which file."""
    rows = []
    for part, book, models, figures in ((p, s.book, s.models, s.figures()) for p in sources for s in sources[p]):
        e = book.environment
        load = [figure.weather.load_average for figure in figures]
        changed = f" and {e['changed_files']} changed files" if e["changed_files"] else ""
        rows.append(
            (
                f"{part}, {' '.join(models)}",
                str(e["date"])[:16].replace("T", " "),
                f"[`{book.path.name}`](../benchmarks/results/{book.path.name})" if book.path else "-",
                f"{e['cpu']}, {e['cores']} cores, {e['memory_gb']} GB",
                f"{e['system']} {e['kernel']}",
                f"Kafka {e['kafka']}, Java {e['java']}, Python {e['python']}",
                f"`{str(e['commit'])[:10]}`{changed}",
                f"{min(load):.1f}-{max(load):.1f}",
                f"{100 * max(figure.weather.steal for figure in figures):.1f} %",
            )
        )
    head = ("part", "date, UTC", "raw data", "machine", "system", "versions", "commit", "load average", "most steal")
    return markdown(head, rows) if rows else ""


def cost_tables(sources: Sources) -> str:
    """One table a model; the relay, which scores nothing, in each."""
    return "\n\n".join(_costs(source, model) for source in sources.get("throughput", ()) for model in source.models)


def _costs(source: Source, model: str) -> str:
    found = sorted((c for c in costs(source.figures()) if c.system[1] in (model, "")), key=lambda cost: cost.cpu_us)
    rows = [
        (
            name(cost.system),
            f"**{cost.cpu_us:.2f}**",
            f"{cost.low:.2f}-{cost.high:.2f}",
            "-" if cost.ratio is None else f"**{cost.ratio:.2f}**",
            " ".join(f"{each:.2f}" for each in cost.ratios) or "-",
            f"{cost.rate:,}",
            f"{cost.resident_mb:.0f}",
            f"{cost.mean_bytes:.0f}",
            f"{cost.load_average:.1f}",
        )
        for cost in found
        if cost.is_right
    ]
    head = ("system", "CPU us a record", "min-max", "x Java loop", "in each round", "records/s", "MB", "bytes", "load")
    out = f"### {model.capitalize()}\n\n{markdown(head, rows)}"
    if wrong := [name(cost.system) for cost in found if not cost.is_right]:
        out += f"\n\nNot ranked, because results were wrong or incomplete: {', '.join(wrong)}."
    return out


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
    """One table a rate; the baseline first, then by p99."""
    figures: list[Latency] = _of(sources, Latency)
    out = []
    for rate in dict.fromkeys(figure.rate for figure in figures):
        shown = sorted(
            (f for f in figures if f.rate == rate), key=lambda f: (f.peer != BASELINE, f.missing > 0, f.delays.p99)
        )
        rows = [
            (
                f"*{each.peer}: no system*" if each.peer == BASELINE else name(each.system),
                *(f"{x:.1f}" for x in (each.delays.p50, each.delays.p99, each.delays.p999, each.delays.worst)),
                *_swap(each.swap, f"{each.worst_elsewhere:.1f}"),
                "-" if each.cpu_us is None else f"{each.cpu_us:.0f}",
                *_zeros(each.missing, each.wrong + each.flawed),
                f"{each.sender_late_ms:.0f}",
                f"{each.weather.load_average:.1f}",
            )
            for each in shown
        ]
        head = ("system", "p50 ms", "p99", "p99.9", "worst", "worst at swap", "worst elsewhere", "swap took", "mixed")
        head += ("CPU us a record", "missing", "wrong", "sender late ms", "load")
        out.append(f"### {rate:,} a second\n\n{markdown(head, rows)}")
    return "\n\n".join(out)


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


def soaks(sources: Sources) -> str:
    """The long run."""
    rows = []
    for each in _of(sources, Soak):
        quarter = len(each.memory) // 4
        early, late = (
            [memory for *_, memory in part] for part in (each.memory[quarter : 2 * quarter], each.memory[-quarter:])
        )
        rows.append(
            (
                name(each.system),
                f"{each.sent:,}",
                each.swaps,
                f"{each.seconds / 60:.0f}",
                f"{each.cpu_us:.2f}",
                f"{statistics.median(early):.0f}",
                f"{statistics.median(late):.0f}",
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


def peers(sources: Sources) -> str:
    """Every system of any part, in words."""
    titles = {peer: title for _, book in _books(sources) for peer, title in book.peers.items()}
    return markdown(("name", "what it is"), [(f"`{peer}`", titles[peer]) for peer in sorted(titles)]) if titles else ""


def failures(sources: Sources) -> str:
    """What could not be installed or measured, and why; of a part, where that part's figures come from."""
    found = (each for part, book in _books(sources) for each in book.failures if each.part in (part, "install"))
    rows = []
    for failure in dict.fromkeys(found):
        reason = failure.reason.replace("|", "\\|").replace("\n", " ")
        rows.append((_failed(failure), failure.part, reason[:300]))
    return markdown(("system", "part", "reason"), rows) if rows else "Nothing."


def _books(sources: Sources) -> Iterable[tuple[str, Book]]:
    return ((part, source.book) for part, of_part in sources.items() for source in of_part)


def name(system: tuple[str, str, str]) -> str:
    """As the tables call it."""
    peer, model, delivery = system
    does = " (relay)" if not model and not peer.endswith("relay") else ""
    return f"`{peer}`{does}" + (", exactly once" if delivery == "exactly_once" else "")


def _failed(failure: Failure) -> str:
    return " ".join(part for part in (f"`{failure.peer}`", failure.model, failure.delivery.replace("_", " ")) if part)


def _of(sources: Sources, kind: type[Figure]) -> list[Any]:
    return [figure for source in sources.get(kind.part, ()) for figure in source.figures()]


def _zeros(*counts: int) -> tuple[str, ...]:
    return tuple(f"**{count:,}**" if count else "0" for count in counts)


def _swap(swap: Swap | None, elsewhere: str) -> tuple[str, ...]:
    if swap is None:
        return "-", elsewhere, "-", "-"
    return f"{swap.worst_ms:.1f}", elsewhere, f"{swap.took_ms:.0f}", str(swap.mixed)


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
    "starts": starts,
    "latencies": latencies,
    "swaps": swap_table,
    "kills": kills,
    "scaling": scaling,
    "soaks": soaks,
    "peers": peers,
    "failures": failures,
}
