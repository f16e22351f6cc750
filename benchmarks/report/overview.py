"""The tables about the runs as a whole: where figures come from, what a record costs, which systems, what failed."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.figures import Book, Failure
from benchmarks.report.markdown import markdown, name
from benchmarks.report.sources import Source, Sources
from benchmarks.summary import costs

_OF_PART = {"throughput": "", "types": ", four data types"}


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
    return _cost_tables(sources, "throughput")


def typed_cost_tables(sources: Sources) -> str:
    """The same, with several data types in the stream."""
    return _cost_tables(sources, "types")


def _cost_tables(sources: Sources, part: str) -> str:
    return "\n\n".join(_costs(source, model) for source in sources.get(part, ()) for model in source.models)


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
    out = f"### {model.capitalize()}{_OF_PART[source.kind.part]}\n\n{markdown(head, rows)}"
    if wrong := [name(cost.system) for cost in found if not cost.is_right]:
        out += f"\n\nNot ranked, because results were wrong or incomplete: {', '.join(wrong)}."
    return out


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


def _failed(failure: Failure) -> str:
    return " ".join(part for part in (f"`{failure.peer}`", failure.model, failure.delivery.replace("_", " ")) if part)
