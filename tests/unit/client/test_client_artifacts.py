"""What is published: bytes, a file, or a SavedModel directory; and the name that is made of a file's."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.core.descriptor import NAME_PATTERN
from sluice.client.artifacts import model_name, read_artifact
from sluice.client.errors import ArtifactError


def saved_model(folder: Path) -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


def test_a_file_is_read_as_it_is(tmp_path):
    (tmp_path / "tree.pmml").write_bytes(b"<PMML/>")

    assert read_artifact(tmp_path / "tree.pmml") == ("tree.pmml", b"<PMML/>")


def test_a_saved_model_directory_becomes_a_zip_of_its_files(tmp_path):
    name, payload = read_artifact(saved_model(tmp_path / "quality"))

    archive = zipfile.ZipFile(io.BytesIO(payload))
    assert name == "quality.zip"
    assert archive.namelist() == ["saved_model.pb", "variables/variables.index"]
    assert archive.read("saved_model.pb") == b"graph"


def test_the_same_directory_gives_the_same_zip_at_another_time(tmp_path):
    folder = saved_model(tmp_path / "quality")
    first = read_artifact(folder)

    os.utime(folder / "saved_model.pb", (1, 1))

    assert read_artifact(folder) == first


def test_a_directory_that_is_no_saved_model_is_refused_with_a_hint(tmp_path):
    saved_model(tmp_path / "quality" / "3")

    with pytest.raises(ArtifactError, match=r"no saved_model.pb; one of its folders may be meant: 3"):
        read_artifact(tmp_path / "quality")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"cannot read .*nothing.pb: No such file"):
        read_artifact(tmp_path / "nothing.pb")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("model.pb", "model"),
        ("Wine Tree.PMML", "wine-tree"),
        ("quality.tar.gz", "quality"),
        ("wine_quality.v2.zip", "wine_quality.v2"),
        ("__odd__", "odd"),
    ],
)
def test_a_name_is_made_of_the_files(file, name):
    assert model_name(file) == name


@settings(deadline=None)
@given(st.text(max_size=200))
def test_a_made_name_is_always_one_that_the_api_takes(file):
    try:
        name = model_name(file)
    except ArtifactError:
        return

    assert NAME_PATTERN.fullmatch(name)
    assert len(name) <= 128


def test_a_file_without_a_letter_needs_a_name():
    with pytest.raises(ArtifactError, match="give one"):
        model_name("___.pb")
