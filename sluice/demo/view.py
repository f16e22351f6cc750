"""How the demo looks: a picture in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sluice.demo.progress import Progress
from sluice.demo.story import MODEL_OF, CanaryStep, Swap

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_SECONDS = 2.0


class View(Protocol):
    """Where the progress goes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, progress: Progress) -> None:
        """Show one moment; called several times a second."""
        ...

    def say(self, line: str) -> None:
        """Something to keep."""
        ...


def view_for(console: Console) -> View:
    """A picture if `console` is a terminal, else lines."""
    return Picture(console) if console.is_terminal else Lines(console)


class Picture:
    """A live picture; what is said stands above it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, progress: Progress) -> None:
        """See `View.show`."""
        self._live.update(picture(progress), refresh=True)

    def say(self, line: str) -> None:
        """See `View.say`."""
        self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)


class Lines:
    """A line for what happens, and one every two seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0
        self._told = 0
        self._told_steps = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, progress: Progress) -> None:
        """See `View.show`."""
        for step in progress.canary[self._told_steps :]:
            self.say(step_sentence(step))
        self._told_steps = len(progress.canary)
        happened = [*progress.opening, *progress.swaps]
        for swap in happened[self._told :]:
            self.say(sentence(swap))
        self._told = len(happened)
        if progress.seconds >= self._next:
            self._next = progress.seconds + _PLAIN_SECONDS
            p50, p99 = progress.report.latency_ms
            latency = f", latency p50 {p50:.0f} ms, p99 {p99:.0f} ms" if p50 == p50 else ""
            self.say(
                f"{progress.seconds:6.1f} s  {progress.phase}: sent {progress.sent:,}, answered {progress.answered:,} "
                f"({progress.rate:,.0f}/s{latency}); {_serving(progress)}"
            )

    def say(self, line: str) -> None:
        """See `View.say`."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def sentence(swap: Swap) -> str:
    """What became of a chapter."""
    chapter = swap.chapter
    name = f"{MODEL_OF[chapter.data_type]} version {swap.version} ({chapter.what}, {chapter.file})"
    if swap.is_refused:
        return f"{name} was refused for {chapter.data_type}, the version before serves on: {swap.reason}"
    live = f"{name} is live for {chapter.data_type}"
    if not swap.cut_overs:
        return live + _loaded(": loaded", swap.load_ms)
    if chapter.is_canary:
        return f"{live}, in {len(swap.cut_overs)} steps, each of them exact" + _loaded("; loaded", swap.load_ms)
    (cut_over,) = swap.cut_overs
    took = "" if cut_over.cut_over_ms is None else f", cut over in {cut_over.cut_over_ms:,.0f} ms"
    return f"{live}: exact at {cut_over.place}" + _loaded("; loaded", swap.load_ms) + took


def step_sentence(step: CanaryStep) -> str:
    """What a step of the canary was."""
    return f"{MODEL_OF[step.chapter.data_type]} version {step.version}: {_stage(step)} (exact at {step.cut_over.place})"


def _stage(step: CanaryStep) -> str:
    return "dark, beside the version before" if step.weight == 0 else f"canary {step.share}"


def _loaded(how: str, load_ms: float | None) -> str:
    return "" if load_ms is None else f"{how} in {load_ms:,.0f} ms beside the stream"


def picture(progress: Progress) -> RenderableType:
    """The whole picture of a moment."""
    parts: list[RenderableType] = [_header(progress), _keys(progress)]
    if progress.swaps or progress.publishing:
        parts.append(_swaps(progress))
    if progress.report.reasons:
        parts.append(
            Text("dead letters: " + "; ".join(progress.report.reasons), style="dim", overflow="ellipsis", no_wrap=True)
        )
    return Panel(Group(*parts), title="sluice demo", subtitle=progress.phase, border_style="blue")


def _header(progress: Progress) -> RenderableType:
    p50, p99 = progress.report.latency_ms
    table = Table.grid(padding=(0, 3), expand=False)
    table.add_row(
        Text(f"{progress.rate:>9,.0f} records/s", style="bold green"),
        Text(sparkline(progress.rates), style="green"),
        Text(f"latency p50 {p50:.0f} ms  p99 {p99:.0f} ms" if p50 == p50 else "", style="cyan"),
        Text(f"{progress.seconds:.0f} s", style="dim"),
    )
    table.add_row(
        Text(f"{progress.sent:>9,} sent"),
        Text(f"{progress.report.results:,} results"),
        Text(f"{progress.report.dead_letters:,} dead letters"),
        Text(f"{max(0, progress.sent - progress.answered):,} under way", style="dim"),
    )
    return table


def _keys(progress: Progress) -> RenderableType:
    table = Table(title="Who serves", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("data type", "model", "version", "what it is"):
        table.add_column(heading, no_wrap=True)
    table.add_column("its results", justify="right")
    for data_type, swap in progress.serving().items():
        seen = progress.report.versions.get((data_type, MODEL_OF[data_type], swap.version))
        table.add_row(
            data_type, MODEL_OF[data_type], str(swap.version), swap.chapter.what, f"{seen.results:,}" if seen else "0"
        )
    return table


def _swaps(progress: Progress) -> RenderableType:
    table = Table(title="Swaps", title_justify="left", box=None, padding=(0, 2, 0, 0), expand=True)
    for heading in ("version", "what it is"):
        table.add_column(heading, no_wrap=True)
    for heading in ("loaded in", "cut over in"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="ellipsis", no_wrap=True, ratio=1)
    for swap in progress.swaps:
        model = f"{MODEL_OF[swap.chapter.data_type]} {swap.version}"
        if swap.is_refused:
            row = (model, swap.chapter.what, "-", "-", Text(f"refused: {swap.reason}", style="red"))
        else:
            row = (
                model,
                swap.chapter.what,
                _ms(swap.load_ms),
                _ms(max((each.cut_over_ms for each in swap.cut_overs if each.cut_over_ms is not None), default=None)),
                Text(_place(swap), style="green"),
            )
        table.add_row(*row)
    if progress.publishing:
        chapter = progress.publishing
        steps = [step for step in progress.canary if step.chapter == chapter]
        version = f" {steps[-1].version}" if steps else ""
        table.add_row(
            MODEL_OF[chapter.data_type] + version, chapter.what, "", "", _under_way(steps, progress.waits_for)
        )
    return table


def _under_way(steps: Sequence[CanaryStep], waits_for: str) -> Text:
    if not steps:
        return Text("loading; the one before serves on", style="yellow")
    step = steps[-1]
    waiting = f"; {waits_for}" if waits_for else ""
    return Text(f"{_stage(step)}, step {step.number} of {step.steps}{waiting}", style="yellow")


def _place(swap: Swap) -> str:
    if not swap.cut_overs:
        return "live"
    steps = f", the last of {len(swap.cut_overs)} steps" if swap.chapter.is_canary else ""
    return f"exact at {swap.cut_overs[-1].place}{steps}"


def _ms(found: float | None) -> str:
    return "-" if found is None else f"{found:,.0f} ms"


def sparkline(values: Sequence[float]) -> str:
    """The values as bars, the highest full; blanks for none."""
    top = max(values, default=0.0)
    if top <= 0:
        return ""
    return "".join(_BARS[min(len(_BARS) - 1, int(value / top * (len(_BARS) - 1) + 0.5))] for value in values)


def _serving(progress: Progress) -> str:
    return (
        ", ".join(f"{key}: {MODEL_OF[key]} {swap.version}" for key, swap in progress.serving().items())
        or "nothing serves"
    )
