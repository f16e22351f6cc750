"""Whatever bytes arrive, the outcome is a scorer that scores or a refusal; never a crash, never another error."""

import io
import tarfile
import zipfile

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_models import case

from serving.core.columns import Features, TextColumn
from serving.core.errors import ModelRefusedError, ScoringError
from serving.scorers.base import Artifact, LoadLimits
from serving.scorers.tensorflow.archive import read_files
from serving.scorers.tensorflow.engine import FrozenGraphEngine, SavedModelEngine
from serving.scorers.tensorflow.frozen import read_frozen_graph
from serving.scorers.tensorflow.saved_model import read_saved_model

LIMITS = LoadLimits(artifact_bytes=32 << 20, load_seconds=5, score_seconds=1)
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
FROZEN_NAMES = ("wine", "texts", "second_loop", "whole_numbers", "picky")
SAVED_NAMES = ("reference_variables", "resource_variables", "keras_lstm", "saved_texts")
ALLOWED_FILES = {"saved_model.pb", "fingerprint.pb", "keras_metadata.pb", "variables/variables.index"}


def files_of(name: str) -> dict[str, bytes]:
    root = case(name).saved_model
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@st.composite
def damages(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` cut short, or with a few bits or bytes changed."""
    if draw(st.booleans()) and data:
        return data[: draw(st.integers(0, len(data) - 1))]
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        if changed:
            changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)


def score_something(engine, artifact) -> None:
    try:
        scorer = engine.load(artifact)
    except ModelRefusedError:
        return
    numbers = sum(not slot.is_text for slot in scorer.signature.slots)
    texts = len(scorer.signature.slots) - numbers
    column = TextColumn(np.array([0, 1, -1]), ["red", "a text that is longer than twenty-four bytes"])
    try:
        predictions = scorer.score(Features(np.linspace(-50, 50, 3 * numbers).reshape(3, numbers), (column,) * texts))
        assert list(predictions.columns) == [spec.name for spec in scorer.signature.outputs]
    except ScoringError:
        pass
    finally:
        scorer.close()


@SLOW
@given(st.data(), st.sampled_from(FROZEN_NAMES))
def test_a_damaged_frozen_graph_is_refused_or_scores(data, name):
    score_something(FrozenGraphEngine(), Artifact(data.draw(damages(case(name).frozen)), limits=LIMITS))


@SLOW
@given(st.data(), st.sampled_from(SAVED_NAMES))
def test_a_damaged_saved_model_is_refused_or_scores(data, name):
    files = files_of(name)
    victim = data.draw(st.sampled_from(sorted(files)))
    files[victim] = data.draw(damages(files[victim]))

    score_something(SavedModelEngine(), Artifact(zipped(files), limits=LIMITS))


@QUICK
@given(st.data(), st.sampled_from(FROZEN_NAMES))
def test_reading_a_damaged_graph_raises_nothing_but_refusals(data, name):
    try:
        graph = read_frozen_graph(Artifact(data.draw(damages(case(name).frozen)), limits=LIMITS))
    except ModelRefusedError:
        return
    assert graph.inputs
    assert graph.outputs


@QUICK
@given(st.data(), st.sampled_from(SAVED_NAMES))
def test_reading_a_damaged_saved_model_raises_nothing_but_refusals(data, name):
    files = files_of(name)
    victim = data.draw(st.sampled_from(sorted(files)))
    files[victim] = data.draw(damages(files[victim]))
    try:
        graph = read_saved_model(Artifact(zipped(files), limits=LIMITS))
    except ModelRefusedError:
        return
    assert graph.inputs
    assert graph.outputs


@QUICK
@given(st.data(), st.sampled_from([zipped, tarred]))
def test_a_damaged_archive_gives_known_files_or_a_refusal(data, pack):
    payload = data.draw(damages(pack(files_of("resource_variables"))))
    try:
        files = read_files(payload, LIMITS.artifact_bytes)
    except ModelRefusedError:
        return
    assert all(name in ALLOWED_FILES or name.startswith("variables/variables.data-") for name in files)


NAMES = st.lists(
    st.one_of(
        st.sampled_from(["..", ".", "", "assets", "variables", "saved_model.pb", "variables.index", "1", "C:", "\\"]),
        st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=6),
    ),
    max_size=5,
).map("/".join)


@QUICK
@given(st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=6), st.sampled_from([zipped, tarred]))
def test_an_archive_of_any_names_gives_known_files_or_a_refusal(members, pack):
    files = {name: data for name, data in members if name}
    try:
        taken = read_files(pack(files), LIMITS.artifact_bytes)
    except ModelRefusedError:
        return
    assert "saved_model.pb" in taken
    assert set(taken) <= ALLOWED_FILES
