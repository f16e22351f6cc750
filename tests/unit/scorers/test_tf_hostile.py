"""Models that must be refused, made with real TensorFlow; and that nothing of them ever ran."""

import threading
import time
from pathlib import Path

import pytest
from tensorflow_models import EVIL_FROZEN, EVIL_SAVED, case, corpus
from tensorflow_scoring import load

from serving.core.errors import (
    DamagedModelError,
    HostileModelError,
    ModelLimitError,
    ModelRefusedError,
    SignatureError,
    UnsupportedModelError,
)
from serving.scorers.base import Artifact, Engine, LoadLimits
from serving.scorers.tensorflow.engine import FrozenGraphEngine, SavedModelEngine
from serving.scorers.tensorflow.frozen import read_frozen_graph
from serving.scorers.tensorflow.saved_model import read_saved_model

QUICK = LoadLimits(load_seconds=20, score_seconds=1)

EXPECTED: dict[str, tuple[type[ModelRefusedError], str]] = {
    "read_file": (HostileModelError, "ReadFile"),
    "write_file": (HostileModelError, "WriteFile"),
    "print": (ModelRefusedError, "not on the list|PrintV2"),
    "matching_files": (HostileModelError, "MatchingFiles"),
    "read_file_in_branch": (HostileModelError, "ReadFile.*function"),
    "debug_identity": (HostileModelError, "DebugIdentity"),
    "py_function": (HostileModelError, "PyFunc"),
    "dataset": (HostileModelError, "Dataset"),
    "endless_first_loop": (ModelLimitError, "does not end within 1 s"),
    "endless_second_loop": (ModelLimitError, "does not end within 1 s"),
    "huge_fill": (ModelLimitError, "1099511627776 elements"),
    "fill_by_shape": (ModelRefusedError, "end|OOM|memory"),
    "splat": (ModelLimitError, "4000000000 bytes"),
    "recursion": (HostileModelError, "calls itself"),
    "explosion": (ModelLimitError, "nodes with its calls written out"),
    "changes_rows": (SignatureError, "one row a record"),
    "one_row": (SignatureError, "one row a record"),
    "no_batch": (UnsupportedModelError, "no free batch axis"),
    "random": (UnsupportedModelError, "RandomUniform"),
    "load_time_write": (HostileModelError, "WriteFile.*loading"),
    "table_from_file": (UnsupportedModelError, "assets"),
    "read_file_in_cond": (HostileModelError, "ReadFile"),
    "saved_write_file": (HostileModelError, "WriteFile"),
    "unused_write_file": (HostileModelError, "WriteFile"),
}


@pytest.mark.parametrize("name", [*EVIL_FROZEN, *EVIL_SAVED])
def test_a_hostile_model_is_refused_with_its_reason_and_does_nothing(name):
    traces = set(Path("/tmp").glob("sluice-evil-*"))
    error, reason = EXPECTED[name]
    # TensorFlow asks again for memory for ten seconds, and nothing can interrupt it but the end of its process.
    limits = LoadLimits(load_seconds=1, score_seconds=1) if name == "fill_by_shape" else QUICK

    engine, artifact = evil(name, limits)

    with pytest.raises(error, match=reason) as caught:
        engine.load(artifact)

    assert "\n" not in str(caught.value)
    assert set(Path("/tmp").glob("sluice-evil-*")) == traces


def evil(name: str, limits: LoadLimits) -> tuple[Engine, Artifact]:
    if name in EVIL_FROZEN:
        return FrozenGraphEngine(), Artifact((corpus() / "evil" / f"{name}.pb").read_bytes(), limits=limits)
    return SavedModelEngine(), Artifact(b"", directory=corpus() / "evil" / name, limits=limits)


def test_a_model_without_end_leaves_nothing_running():
    with pytest.raises(ModelLimitError):
        FrozenGraphEngine().load(Artifact((corpus() / "evil" / "endless_first_loop.pb").read_bytes(), limits=QUICK))

    before = time.process_time()
    threading.Event().wait(0.3)
    assert time.process_time() - before < 0.15


def test_a_loop_is_seen_wherever_it_is():
    looping = [read_frozen_graph(Artifact(case(name).frozen)).has_loops for name in ("first_loop", "second_loop")]
    inside_a_function = read_saved_model(Artifact(b"", directory=case("keras_lstm").saved_model))

    assert looping == [True, True]
    assert inside_a_function.has_loops
    assert not read_frozen_graph(Artifact(case("wine").frozen)).has_loops


@pytest.mark.parametrize(
    ("payload", "hint"),
    [
        (b"", "holds no node"),
        (b"<PMML version='4.3'/>", "published with the type PMML"),
        (b"PK\x03\x04 and so on", "TENSORFLOWSAVED"),
        (b"\xff" * 200, "not a whole GraphDef"),
    ],
)
def test_bytes_that_are_no_graph_are_refused_with_a_hint_at_what_they_are(payload, hint):
    with pytest.raises(DamagedModelError, match=hint):
        FrozenGraphEngine().load(Artifact(payload))


def test_a_graph_over_the_limits_is_refused_with_both_numbers():
    graph = case("wine").frozen

    with pytest.raises(ModelLimitError, match=f"{len(graph)} bytes; the limit is 100"):
        FrozenGraphEngine().load(Artifact(graph, limits=LoadLimits(artifact_bytes=100)))
    with pytest.raises(ModelLimitError, match=r"nodes .* the limit is 3"):
        FrozenGraphEngine().load(Artifact(graph, limits=LoadLimits(nodes=3)))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"output_names": ("nowhere",)}, "no tensor 'nowhere:0'"),
        ({"input_names": ("nowhere",)}, "no tensor 'nowhere:0'"),
        ({"input_names": ("Sigmoid",)}, "is the result of Sigmoid"),
        ({"output_names": ("Sigmoid:7",)}, "Sigmoid:7"),
    ],
)
def test_names_that_the_graph_does_not_have_are_refused(options, reason):
    with pytest.raises(ModelRefusedError, match=reason):
        load("wine", **options)


def test_a_signature_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(SignatureError, match=r"no signature 'other'; it has \['serving_default', 'weigh'\]"):
        load("two_signatures", signature_name="other")
