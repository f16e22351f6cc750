"""The demo's data set: bottles that never existed, with the eleven measurements of the well-known wine-quality sets.

Theory of operation: four hidden traits of a bottle (ripeness, acidity, sulphiting, faults) are standard normal. Each
measurement is a mean plus a weighted sum of the traits plus noise of its own, clipped to what a laboratory could read
and rounded to what it would report; so measurements are correlated the way wines are (alcohol thins density, acid
lowers pH). Quality is a score of the traits and some taste, cut into the classes 3 to 8, the middle ones by far the
most frequent. All of it follows from one seed; no number was taken from a real set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ARTIFACTS = Path(__file__).parent / "artifacts"
DESCRIPTOR_SET = Path(__file__).parent / "wine.desc"
MESSAGE = "wine.v1.WineRecord"
QUALITIES = (3, 4, 5, 6, 7, 8)
STILL, SPARKLING = "wine", "sparkling"
SEED = 20_26
ROWS = 1_600


@dataclass(frozen=True, slots=True)
class Measurement:
    """How one measurement comes about.

    Attributes:
        name: Field of `WineRecord`.
        mean: Mean over the set, in the unit that `wine.proto` gives.
        traits: Weight of ripeness, acidity, sulphiting and faults, in the same unit.
        noise: Standard deviation of what the traits do not explain.
        low: Smallest value a laboratory would report.
        high: Largest.
        digits: Decimals reported.
    """

    name: str
    mean: float
    traits: tuple[float, float, float, float]
    noise: float
    low: float
    high: float
    digits: int


MEASUREMENTS = (
    Measurement("fixed_acidity", 7.9, (-0.25, 1.15, 0.0, 0.1), 0.55, 4.2, 15.0, 1),
    Measurement("volatile_acidity", 0.46, (-0.03, -0.02, -0.02, 0.13), 0.05, 0.1, 1.5, 2),
    Measurement("citric_acid", 0.3, (0.02, 0.12, 0.02, -0.05), 0.07, 0.0, 1.0, 2),
    Measurement("residual_sugar", 3.4, (0.5, 0.1, 0.7, 0.2), 1.1, 0.8, 16.0, 1),
    Measurement("chlorides", 0.075, (-0.006, 0.003, 0.004, 0.008), 0.014, 0.01, 0.4, 3),
    Measurement("free_sulfur_dioxide", 21.0, (-0.5, -0.5, 8.5, -1.5), 4.5, 1.0, 75.0, 0),
    Measurement("total_sulfur_dioxide", 68.0, (-4.0, -2.0, 27.0, 3.0), 11.0, 6.0, 260.0, 0),
    Measurement("density", 0.9958, (-0.0013, 0.0006, 0.0004, 0.0001), 0.0006, 0.9885, 1.0035, 4),
    Measurement("ph", 3.29, (0.03, -0.11, 0.0, 0.02), 0.06, 2.75, 3.95, 2),
    Measurement("sulphates", 0.62, (0.03, 0.02, 0.05, -0.04), 0.09, 0.3, 1.8, 2),
    Measurement("alcohol", 10.5, (0.85, -0.05, -0.1, -0.15), 0.4, 8.4, 14.9, 1),
)
FEATURES = tuple(measurement.name for measurement in MEASUREMENTS)

# What a bottle's traits are worth to a taster, and how far tasters disagree.
_WORTH = (0.75, -0.1, 0.15, -0.85)
_DISAGREEMENT = 0.45
# Share of bottles below each class but the first: few are awful, few are great.
_CUTS = (0.01, 0.05, 0.43, 0.84, 0.975)
_SPARKLING_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Wines:
    """The set.

    Attributes:
        matrix: float64 (n, 11), columns as `FEATURES`.
        data_types: str (n,), `wine` or `sparkling`.
        quality: int64 (n,), 3 to 8.
    """

    matrix: NDArray[np.float64]
    data_types: NDArray[np.str_]
    quality: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.matrix)


def make_wines(rows: int = ROWS, seed: int = SEED) -> Wines:
    """The same `rows` bottles for the same seed, on every machine: everything is rounded to reported digits."""
    random = np.random.default_rng(seed)
    traits = random.standard_normal((rows, 4))
    columns = [
        np.round(
            np.clip(m.mean + traits @ np.array(m.traits) + random.normal(0.0, m.noise, rows), m.low, m.high), m.digits
        )
        for m in MEASUREMENTS
    ]
    taste = traits @ np.array(_WORTH) + random.normal(0.0, _DISAGREEMENT, rows)
    quality = QUALITIES[0] + np.searchsorted(np.quantile(taste, _CUTS), taste, side="right")
    data_types = np.where(random.random(rows) < _SPARKLING_SHARE, SPARKLING, STILL)
    return Wines(np.column_stack(columns), data_types, quality.astype(np.int64))


def to_csv(wines: Wines) -> str:
    """The set as text: a header, then one line a bottle, numbers with their reported digits."""
    lines = [",".join((*FEATURES, "data_type", "quality"))]
    for row, data_type, quality in zip(wines.matrix, wines.data_types, wines.quality, strict=True):
        cells = (f"{value:.{m.digits}f}" for value, m in zip(row, MEASUREMENTS, strict=True))
        lines.append(",".join((*cells, str(data_type), str(quality))))
    return "\n".join(lines) + "\n"


def read_csv(text: str) -> Wines:
    """See `to_csv`.

    Raises:
        ValueError: The header is not that of the demo's set.
    """
    header, *lines = text.splitlines()
    if header.split(",") != [*FEATURES, "data_type", "quality"]:
        raise ValueError(f"not the demo's wine set: the header is {header!r}")
    cells = [line.split(",") for line in lines]
    return Wines(
        np.array([row[: len(FEATURES)] for row in cells], dtype=np.float64),
        np.array([row[-2] for row in cells]),
        np.array([row[-1] for row in cells], dtype=np.int64),
    )
