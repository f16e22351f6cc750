"""CPU milliseconds a window: all ways to score, round by round, each in its own process on one core."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.heavy.contenders import Contender, contender, try_contender
from benchmarks.heavy.forms import FORMS
from benchmarks.heavy.models import MEMBERS, multiplications
from benchmarks.machine import Watch

WAYS = ("keras", "signature", "mlserver", "capi", "served", "floor")
_OF_TEN_ALONE = ("members",)


@dataclass(frozen=True, slots=True)
class Options:
    """How long to measure.

    Attributes:
        rounds: Each contender works once in each.
        seconds: For which it works, about.
        forms: Whether the hand-written forms take part.
    """

    rounds: int
    seconds: float
    forms: bool


def measure(model: str, options: Options) -> dict[str, object]:
    """Figures of `one` or `ten` by way, and how many multiply-adds they all do."""
    members = MEMBERS if model == "ten" else 1
    ways = [*WAYS, *(f"form:{name}" for name in FORMS if options.forms), *(_OF_TEN_ALONE if model == "ten" else ())]
    watch = Watch()
    found, missing = _rounds(model, ways, options)
    return {
        "ways": found,
        "missing": missing,
        "multiply_adds": multiplications(members),
        "weather": asdict(watch.weather()),
    }


def _rounds(model: str, ways: list[str], options: Options) -> tuple[dict[str, object], dict[str, str]]:
    missing = {}
    with tempfile.TemporaryDirectory(prefix="sluice-heavy-") as folder, ExitStack() as stack:
        found: list[Contender] = []
        for way in ways:
            log = stack.enter_context((Path(folder) / f"{way.replace(':', '-')}.log").open("w"))
            reason = try_contender(way, model, log)
            if reason is not None:
                missing[way] = reason
                continue
            _say(f"{model}: starting {way}")
            try:
                found.append(stack.enter_context(contender(way, model, log)))
            except RuntimeError as error:
                log.flush()
                missing[way] = f"{error}: {Path(log.name).read_text()[-600:]}"
        windows = {}
        for each in found:
            started = time.perf_counter()
            each.work(4)
            windows[each.way] = max(4, round(options.seconds / ((time.perf_counter() - started) / 4)))
            each.cpu_ms.clear()
            each.wall_ms.clear()
        for turn in range(options.rounds):
            for each in found:
                each.work(windows[each.way])
            _say(f"{model}: round {turn + 1} of {options.rounds}")
        return {each.way: _figures(each) for each in found}, missing


def _figures(each: Contender) -> dict[str, float]:
    return {
        "cpu_ms": round(statistics.median(each.cpu_ms), 2),
        "cpu_ms_least": round(min(each.cpu_ms), 2),
        "wall_ms": round(statistics.median(each.wall_ms), 2),
        "wall_ms_least": round(min(each.wall_ms), 2),
        "windows": len(each.wall_ms),
        "difference": each.difference,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
