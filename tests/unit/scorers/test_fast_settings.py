"""The setting of the fast tier: its words, the spellings that are accepted for them, and what the engine is given."""

from __future__ import annotations

import pytest

from serving.core.errors import SettingsError
from serving.settings import Settings, engine_options, read_settings

STREAM = """
streams:
  - {name: wine, topic: wines, format: {type: json}, route: {field: kind}, features: [x], results: {topic: results}}
"""


def settings_with(tmp_path, word: str | None) -> Settings:
    file = tmp_path / "worker.yaml"
    file.write_text(STREAM + ("" if word is None else f"engines: {{fast_pmml: {word}}}\n"))
    return read_settings(file)


@pytest.mark.parametrize(
    ("word", "given"),
    [
        (None, "exact"),
        ("exact", "exact"),
        ("tolerant", "tolerant"),
        ("true", "tolerant"),
        ("'true'", "tolerant"),
        ("'off'", None),
        ("off", None),
        ("false", None),
    ],
)
def test_models_are_computed_in_place_as_the_word_says(tmp_path, word, given):
    assert engine_options(settings_with(tmp_path, word)) == {"PMML": {"fast": given}}


def test_the_environment_says_it_as_well(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVING_ENGINES__FAST_PMML", "false")

    assert settings_with(tmp_path, "exact").engines.fast_pmml == "off"


def test_another_word_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"engines\.fast_pmml"):
        settings_with(tmp_path, "quick")
