"""The tables of the page, each a function from the figures to Markdown; empty where there are none."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.delays import Swap
from benchmarks.figures import Book, Failure, Figure, Scaling, Throughput
from benchmarks.kill import Kill
from benchmarks.latency import BASELINE, Latency
from benchmarks.soak import Soak
from benchmarks.start import Start
from benchmarks.summary import costs, scaled
from benchmarks.swaps import Swaps

Books = Mapping[str, Book]


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; the first column is text, the others are to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def machines(books: Books) -> str:
    """What each part was measured on, when, and from which file."""
    rows = []
    for part, book in books.items():
        e = book.environment
        load = [figure.weather.load_average for figure in book.figures if figure.part == part]
        steal = [figure.weather.steal for figure in book.figures if figure.part == part]
        commit = f"`{str(e['commit'])[:10]}`" + (
            f" and {e['changed_files']} changed files" if e["changed_files"] else ""
        )
        name = f"[`{book.path.name}`](../benchmarks/results/{book.path.name})" if book.path else "-"
        rows.append(
            (
                part,
                str(e["date"])[:16].replace("T", " "),
                name,
                f"{e['cpu']}, {e['cores']} cores, {e['memory_gb']} GB",
                f"{e['system']} {e['kernel']}",
                f"Kafka {e['kafka']}, Java {e['java']}, Python {e['python']}",
                commit,
                f"{min(load):.1f}-{max(load):.1f}",
                f"{100 * max(steal):.1f} %",
            )
        )
    head = ("part", "date, UTC", "raw data", "machine", "system", "versions", "commit", "load average", "most steal")
    return markdown(head, rows) if rows else ""


def cost_tables(books: Books) -> str:
    """One table a model; the relay, which scores nothing, in each."""
    if "throughput" not in books:
        return ""
    found = costs(books["throughput"].of(Throughput))
    out = []
    for model in dict.fromkeys(cost.system[1] for cost in found if cost.system[1]):
        shown = sorted((c for c in found if c.system[1] in (model, "") and c.is_right), key=lambda c: c.cpu_us)
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
            for cost in shown
        ]
        head = (
            "system",
            "CPU us a record",
            "min-max",
            "x Java loop",
            "in each round",
            "records/s",
            "MB",
            "bytes",
            "load",
        )
        out.append(f"### {model.capitalize()}\n\n{markdown(head, rows)}")
        if wrong := [name(cost.system) for cost in found if cost.system[1] == model and not cost.is_right]:
            out.append(f"Not ranked, because results were wrong or incomplete: {', '.join(wrong)}.")
    return "\n\n".join(out)


def starts(books: Books) -> str:
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
        for each in sorted(_of(books, Start), key=lambda each: (each.model, each.start_seconds))
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


def latencies(books: Books) -> str:
    """One table a rate; the baseline first, then by p99."""
    figures: list[Latency] = _of(books, Latency)
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


def swap_table(books: Books) -> str:
    """Many swaps under load."""
    rows = []
    for each in sorted(_of(books, Swaps), key=_median_extra):
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


def kills(books: Books) -> str:
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
        for each in sorted(_of(books, Kill), key=lambda each: (each.lost, each.duplicated / each.kills))
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


def scaling(books: Books) -> str:
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
        for each in scaled(_of(books, Scaling))
    ]
    head = ("system", "records/s, 1 process", "2 processes", "gain", "CPU us a record, 1", "2", "busy cores, 2")
    return markdown(head, rows) if rows else ""


def soaks(books: Books) -> str:
    """The long run."""
    rows = []
    for each in _of(books, Soak):
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


def peers(books: Books) -> str:
    """Every system of any part, in words."""
    titles = {peer: title for book in books.values() for peer, title in book.peers.items()}
    return markdown(("name", "what it is"), [(f"`{peer}`", titles[peer]) for peer in sorted(titles)]) if titles else ""


def failures(books: Books) -> str:
    """What could not be installed or measured, and why; a failure of a part counts where that part's figures come from."""
    rows = []
    for failure in dict.fromkeys(_failures(books)):
        reason = failure.reason.replace("|", "\\|").replace("\n", " ")
        rows.append((_failed(failure), failure.part, reason[:300]))
    return markdown(("system", "part", "reason"), rows) if rows else "Nothing."


def _failures(books: Books) -> Iterable[Failure]:
    for part, book in books.items():
        yield from (failure for failure in book.failures if failure.part in (part, "install"))


def name(system: tuple[str, str, str]) -> str:
    """As the tables call it."""
    peer, model, delivery = system
    does = " (relay)" if not model and not peer.endswith("relay") else ""
    return f"`{peer}`{does}" + (", exactly once" if delivery == "exactly_once" else "")


def _failed(failure: Failure) -> str:
    return " ".join(part for part in (f"`{failure.peer}`", failure.model, failure.delivery.replace("_", " ")) if part)


def _of(books: Books, kind: type[Figure]) -> list[Any]:
    return books[kind.part].of(kind) if kind.part in books else []


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


TABLES: dict[str, Callable[[Books], str]] = {
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
