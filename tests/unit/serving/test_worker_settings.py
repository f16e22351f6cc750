import pytest

from serving.core.errors import SettingsError
from serving.settings import read_settings

WINE = """
streams:
  - name: wine
    topic: wine.records
    format: {type: protobuf, message: wine.v1.WineRecord, descriptor_set: wine.desc}
    route: {field: data_type}
    results: {topic: wine.results}
"""


def written(tmp_path, text):
    path = tmp_path / "worker.yaml"
    path.write_text(text)
    return path


def test_defaults_are_safe(tmp_path):
    settings = read_settings(written(tmp_path, WINE))

    assert settings.delivery == "at_least_once"
    assert settings.placement == "broadcast"
    assert settings.artifacts.file_roots == ()
    assert settings.artifacts.http_hosts == ()
    assert settings.metrics.host == "127.0.0.1"
    assert settings.streams[0].start == "latest"


def test_a_relative_descriptor_set_lies_beside_the_settings_file(tmp_path):
    settings = read_settings(written(tmp_path, WINE))

    assert settings.streams[0].format.descriptor_set == tmp_path / "wine.desc"


def test_the_environment_overrides_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVING_KAFKA__BOOTSTRAP", "broker:1")
    monkeypatch.setenv("SERVING_DELIVERY", "exactly_once")

    settings = read_settings(written(tmp_path, "kafka: {bootstrap: other:2}\n" + WINE))

    assert settings.kafka.bootstrap == "broker:1"
    assert settings.delivery == "exactly_once"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("data_type}", "data_type, header: h}"), "exactly one of field, record_key, header, constant"),
        (("descriptor_set: wine.desc", "descriptor_set: a, module: b"), "either `descriptor_set` or `module`"),
        (("wine.results", "wine.records"), "would read what it writes: wine.records"),
        (("streams:", "strems: 1\nstreams:"), "strems: Extra inputs are not permitted"),
        (("{field: data_type}", "{}"), "found none"),
        (
            ("type: protobuf, message: wine.v1.WineRecord, descriptor_set: wine.desc", "type: json"),
            "JSON has no schema",
        ),
        (("type: protobuf", "type: xml"), "streams.0.format"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, change, message):
    with pytest.raises(SettingsError, match=message):
        read_settings(written(tmp_path, WINE.replace(*change)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"no settings file at .*nowhere\.yaml"):
        read_settings(tmp_path / "nowhere.yaml")


def test_a_file_that_is_not_yaml_is_named_with_the_line(tmp_path):
    with pytest.raises(SettingsError, match=r"worker\.yaml.*line 2"):
        read_settings(written(tmp_path, "a: b\n  c: [\n"))
