"""The guard of the hot path: it counts the same each time, and sees what is done for each record."""

from __future__ import annotations

import json

import pytest

from benchmarks.guard import figures
from benchmarks.guard.counting import blocks, bytecodes
from benchmarks.guard.figures import Figure, Verdict
from benchmarks.guard.hot_path import HotPath
from benchmarks.guard.models import tree_scorer
from serving.core.columns import Features, Predictions


class Slowed:
    """The tree, with something done beside for each batch."""

    engine = "slowed"
    runs_elsewhere = False

    def __init__(self, beside) -> None:
        self._tree, self._beside = tree_scorer(), beside
        self.signature = self._tree.signature

    def score(self, features: Features) -> Predictions:
        self._beside(features)
        return self._tree.score(features)

    def close(self) -> None:
        self._tree.close()


def nothing(_features: Features) -> None:
    """Beside the tree."""


def count_beside(features: Features) -> None:
    for _ in range(len(features)):
        pass


def path(beside) -> HotPath:
    made = HotPath({"wine": Slowed(beside)})
    made.check(100)
    for _ in range(3):
        made.run(made.batch(2_000))
    return made


def measured(measure, beside) -> float:
    made = path(beside)
    batch = made.batch(2_000)
    return measure(lambda: made.run(batch))


def test_bytecodes_are_counted_alike_each_time():
    made = path(nothing)
    batch = made.batch(2_000)

    assert len({bytecodes(lambda: made.run(batch)) for _ in range(3)}) == 1


def test_a_loop_over_the_records_is_over_the_limit():
    before, after = measured(bytecodes, nothing), measured(bytecodes, count_beside)

    assert after - before > 2_000
    assert Verdict(Figure("tree", "bytecodes", after), before).is_slower


def test_an_object_kept_for_each_record_is_over_the_limit():
    kept: list[list[float]] = []

    before = measured(blocks, nothing)
    after = measured(blocks, lambda features: kept.append(features.matrix[:, 0].tolist()))

    assert Verdict(Figure("tree", "blocks", after), before).is_slower


def test_every_record_has_a_result_and_a_path_without_results_is_no_path():
    with pytest.raises(AssertionError, match="of 100 records came"):
        path(lambda features: [][0]).check(100)


def test_counts_of_another_python_are_not_compared(tmp_path, monkeypatch):
    file = tmp_path / "baseline.json"
    file.write_text(json.dumps({"python": "2.7", "figures": {"tree: bytecodes": 1, "tree: yardsticks": 2}}))
    monkeypatch.setattr(figures, "BASELINE", file)

    assert figures.read_baseline() == {"tree: yardsticks": 2}


def test_what_is_accepted_is_what_is_compared_with(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "BASELINE", tmp_path / "baseline.json")

    figures.write_baseline([Figure("tree", "bytecodes", 1_000)])

    known = figures.read_baseline()
    assert not Verdict(Figure("tree", "bytecodes", 1_100), known["tree: bytecodes"]).is_slower
    assert Verdict(Figure("tree", "bytecodes", 1_101), known["tree: bytecodes"]).is_slower
    assert not Verdict(Figure("forest", "bytecodes", 1e9), known.get("forest: bytecodes")).is_slower
