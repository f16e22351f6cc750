"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.figures import Book, SeveralTypes, Throughput
from benchmarks.summary import REFERENCE, Cost, costs


def all_lines(book: Book) -> Iterator[str]:
    """What a run found, part by part; only the parts that it had."""
    yield from cost_lines(costs(book.of(Throughput)))
    if typed := costs(book.of(SeveralTypes)):
        yield "four data types:"
        yield from cost_lines(typed)
    for failure in book.failures:
        yield f"{failure.part}: {failure.peer} {failure.model} {failure.delivery}: {failure.reason}"


def cost_lines(costs: Sequence[Cost]) -> Iterator[str]:
    """One line a system: CPU a record, its ratio to the reference in the same round, and the rest."""
    if not costs:
        return
    yield (
        f"{'system':34} {'CPU us/record':>13} {'min-max':>13} {'x ' + REFERENCE:>12} {'records/s':>10}"
        f" {'start s':>8} {'MB':>6} {'bytes':>6} {'load':>5}"
    )
    for cost in costs:
        ratio = "-" if cost.ratio is None else f"{cost.ratio:.2f}"
        name = label(cost.system)
        yield (
            f"{name:34} {cost.cpu_us:13.2f} {f'{cost.low:.2f}-{cost.high:.2f}':>13} {ratio:>12} {cost.rate:10,}"
            f" {cost.start_seconds:8.2f} {cost.resident_mb:6.0f} {cost.mean_bytes:6.0f} {cost.load_average:5.1f}"
            + ("" if cost.is_right else "  WRONG RESULTS, not ranked")
        )
        if len(cost.ratios) > 1:
            yield f"{'':34} ratios of the rounds: {' '.join(f'{each:.2f}' for each in cost.ratios)}"


def label(system: tuple[str, str, str]) -> str:
    """`worker:tree`, `worker:tree:exactly_once`, `bare-relay:bytes`."""
    peer, model, delivery = system
    return ":".join([peer, model or "bytes", *([] if delivery == "at_least_once" else [delivery])])
