"""From runs to the figures of a table: medians, and ratios to a reference in the same round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figures import Throughput

REFERENCE = "java-loop"


@dataclass(frozen=True, slots=True)
class Cost:
    """One system's figures over its rounds.

    Attributes:
        system: Peer, model, delivery.
        cpu_us: Median; `low` and `high` are the extremes.
        ratio: Median over the rounds of its CPU divided by the reference's in the same round and with the same model; None
            without a reference, and for a relay, which has no model.
        ratios: Of each round that has both.
    """

    system: tuple[str, str, str]
    runs: int
    cpu_us: float
    low: float
    high: float
    ratio: float | None
    ratios: tuple[float, ...]
    rate: int
    start_seconds: float
    resident_mb: float
    mean_bytes: float
    load_average: float
    steal: float
    is_right: bool


def costs(figures: Sequence[Throughput], reference: str = REFERENCE) -> list[Cost]:
    """One line for each system that was measured, cheapest first within a model, those with wrong results last."""
    base = {(each.model, each.round): each.cpu_us for each in figures if each.peer == reference and _is_base(each)}
    systems = dict.fromkeys(each.system for each in figures if each.processes == 1)
    found = [
        _cost(system, [each for each in figures if each.system == system and each.processes == 1], base)
        for system in systems
    ]
    return sorted(found, key=lambda cost: (cost.system[1], not cost.is_right, cost.cpu_us))


def _is_base(figure: Throughput) -> bool:
    return bool(figure.model) and figure.delivery == "at_least_once" and figure.processes == 1 and figure.is_right


def _cost(system: tuple[str, str, str], runs: list[Throughput], base: dict[tuple[str, int], float]) -> Cost:
    spent = [run.cpu_us for run in runs]
    ratios = tuple(round(run.cpu_us / base[run.model, run.round], 3) for run in runs if (run.model, run.round) in base)
    return Cost(
        system,
        len(runs),
        round(statistics.median(spent), 2),
        min(spent),
        max(spent),
        round(statistics.median(ratios), 2) if ratios else None,
        ratios,
        round(statistics.median(run.rate for run in runs)),
        round(statistics.median(run.start_seconds for run in runs), 2),
        max(run.resident_mb for run in runs),
        runs[-1].mean_bytes,
        max(run.weather.load_average for run in runs),
        max(run.weather.steal for run in runs),
        all(run.is_right for run in runs),
    )


@dataclass(frozen=True, slots=True)
class Scaled:
    """One process beside two; medians.

    Attributes:
        gain: Rate of two divided by that of one, of the same round; the median.
        busy_two: Cores that the whole machine was busy on with two.
    """

    system: tuple[str, str, str]
    rate_one: int
    rate_two: int
    gain: float
    cpu_one: float
    cpu_two: float
    busy_two: float


def scaled(figures: Sequence[Throughput]) -> list[Scaled]:
    """Those systems that were measured with one and with two."""
    found = []
    for system in dict.fromkeys(each.system for each in figures):
        one = {each.round: each for each in figures if each.system == system and each.processes == 1}
        two = {each.round: each for each in figures if each.system == system and each.processes == 2}
        both = sorted(one.keys() & two.keys())
        if not both:
            continue
        found.append(
            Scaled(
                system,
                round(statistics.median(one[at].rate for at in both)),
                round(statistics.median(two[at].rate for at in both)),
                round(statistics.median(two[at].rate / one[at].rate for at in both), 2),
                statistics.median(one[at].cpu_us for at in both),
                statistics.median(two[at].cpu_us for at in both),
                statistics.median(two[at].weather.busy_cores for at in both),
            )
        )
    return found
