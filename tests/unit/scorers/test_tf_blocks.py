"""Runs of whole blocks: what is filled up, and that it is only where it matters."""

import numpy as np
import pytest
from tensorflow_models import case
from tensorflow_scoring import features_of, load

from serving.scorers.base import Artifact, LoadLimits
from serving.scorers.tensorflow import blocks, scorer, warm_up
from serving.scorers.tensorflow.blocks import BLOCK, filled, rows_of_block
from serving.scorers.tensorflow.frozen import read_frozen_graph


def test_an_array_is_filled_with_its_last_row():
    array = np.arange(6).reshape(3, 2)

    assert filled(array, 5).tolist() == [[0, 1], [2, 3], [4, 5], [4, 5], [4, 5]]
    assert filled(array, 3) is array


def test_whether_blocks_matter_is_found_out_on_this_machine():
    assert rows_of_block() in (1, BLOCK)


@pytest.mark.parametrize(("product", "rows"), [("always", 1), ("by rows", BLOCK), ("never", 1)])
def test_blocks_are_whole_where_that_helps_and_only_there(
    product: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product whose bits are the same always, those of whole blocks, or never."""
    calls = iter(range(10_000))

    def run(session: object, given: np.ndarray) -> np.ndarray:
        noise = {"always": 0, "by rows": len(given) % BLOCK, "never": next(calls)}[product]
        return given[:, :1] + np.float32(noise)

    monkeypatch.setattr(blocks, "_run", run)

    assert rows_of_block.__wrapped__() == rows


@pytest.mark.parametrize("rows", [1, 23, 24, 25, 100])
def test_a_scorer_runs_whole_blocks_and_gives_what_was_asked_for(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(warm_up, "rows_of_block", lambda: BLOCK)
    loaded = load_wine()
    inputs, outputs = case("wine").expected()
    features = features_of(loaded.signature, inputs).take(np.arange(rows))
    run = loaded._session.run
    monkeypatch.setattr(
        scorer.Session, "run", lambda session, arrays, options=b"": sizes.append(len(arrays[0])) or run(arrays, options)
    )

    (column,) = loaded.score(features).columns.values()
    monkeypatch.undo()
    loaded.close()

    assert sizes == [-(-rows // BLOCK) * BLOCK]
    (want,) = outputs.values()
    np.testing.assert_allclose(column, want[:rows].reshape(column.shape), rtol=1e-5, atol=1e-6)


def load_wine():
    return warm_up.warm_scorer(read_frozen_graph(Artifact(case("wine").frozen)), LoadLimits())


def test_the_engine_gives_a_record_the_same_bits_alone_and_among_others():
    loaded = load("wine")
    features = features_of(loaded.signature, case("wine").expected()[0])
    (whole,) = loaded.score(features).columns.values()

    for row in (0, 5, len(features) - 1):
        (alone,) = loaded.score(features.take(np.array([row]))).columns.values()
        assert alone.tobytes() == whole[row : row + 1].tobytes()
