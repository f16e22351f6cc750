"""Variants of the demo's linear model whose predictions tell which of them scored: each adds a number of its own.

Some refuse part of the records: those with more alcohol than they have been told is possible.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from deployment import LINEAR
from numpy.typing import NDArray

from sluice.demo.wine import FEATURES, make_wines

ALCOHOL = make_wines().matrix[:, FEATURES.index("alcohol")]
"""Of each bottle, percent by volume."""

_INTERCEPT = re.compile(r'intercept="([^"]+)"')
_ALCOHOL_FIELD = '<DataField name="alcohol" optype="continuous" dataType="double" />'


def write_variant(folder: Path, added: float, most_alcohol: float | None = None) -> Path:
    """A model that adds a number to the linear one's prediction, and has no prediction above so much alcohol."""
    text = LINEAR.read_text()
    text = _INTERCEPT.sub(f'intercept="{_intercept() + added!r}"', text)
    if most_alcohol is not None:
        assert _ALCOHOL_FIELD in text
        margin = f'<Interval closure="closedClosed" leftMargin="0" rightMargin="{most_alcohol!r}" />'
        text = text.replace(_ALCOHOL_FIELD, _ALCOHOL_FIELD.replace(" />", f">{margin}</DataField>"))
    path = folder / f"linear-{added:g}-{most_alcohol}.pmml"
    path.write_text(text)
    return path


def linear_predictions() -> NDArray[np.float64]:
    """What the demo's linear model predicts for each bottle, float64 (n,), computed here."""
    told = dict(re.findall(r'<NumericPredictor name="(\w+)" coefficient="([^"]+)"', LINEAR.read_text()))
    weights = np.array([float(told[name]) for name in FEATURES])
    return make_wines().matrix @ weights + _intercept()


def _intercept() -> float:
    found = _INTERCEPT.search(LINEAR.read_text())
    assert found is not None
    return float(found.group(1))
