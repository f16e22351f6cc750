"""Record formats and result formats: bytes columns to feature columns, and outcomes to bytes.

The two tables below are all formats there are. To add one, write its file and name it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from serving.core.errors import SettingsError
from serving.formats.base import FieldSelection, RecordFormat, ResultFormat
from serving.formats.fields import nearest
from serving.formats.json import JsonFormat
from serving.formats.protobuf import ProtobufFormat
from serving.formats.protobuf_schema import message_in_descriptor_set, message_in_module
from serving.formats.results import ProtobufResults
from serving.formats.results_json import JsonResults


def open_format(options: Mapping[str, str | None], selection: FieldSelection) -> RecordFormat:
    """The record format of a stream.

    Args:
        options: The `format` of the stream's settings: `type` and what the type takes; `None` is as good as absent.
        selection: The fields that the stream uses.

    Raises:
        SettingsError: The type is not known, an option is missing or not known, or a field cannot be had.
    """
    given = {name: value for name, value in options.items() if value is not None}
    kind = given.pop("type", "")
    if kind not in _RECORD_FORMATS:
        raise SettingsError(f"`{kind}` is not a record format{nearest(kind, _RECORD_FORMATS)}")
    return _RECORD_FORMATS[kind](given, selection)


def open_result_format(kind: str) -> ResultFormat:
    """The result format of a stream: `protobuf` or `json`.

    Raises:
        SettingsError: The kind is not known.
    """
    if kind not in _RESULT_FORMATS:
        raise SettingsError(f"`{kind}` is not a result format{nearest(kind, _RESULT_FORMATS)}")
    return _RESULT_FORMATS[kind]()


def _open_protobuf(options: Mapping[str, str], selection: FieldSelection) -> RecordFormat:
    _only(options, "protobuf", {"message", "descriptor_set", "module"})
    name, path, module = (options.get(option) for option in ("message", "descriptor_set", "module"))
    if name is None:
        raise SettingsError("the protobuf format needs `message`, the full name of the record's message")
    if (path is None) == (module is None):
        raise SettingsError(
            "the protobuf format needs either `descriptor_set` (a file) or `module` (an importable one)"
        )
    message = message_in_descriptor_set(Path(path), name) if path else message_in_module(module or "", name)
    return ProtobufFormat(message, selection)


def _open_json(options: Mapping[str, str], selection: FieldSelection) -> RecordFormat:
    _only(options, "json", set())
    return JsonFormat(selection)


def _only(options: Mapping[str, str], kind: str, known: set[str]) -> None:
    for name in options:
        if name not in known:
            raise SettingsError(f"the {kind} format has no option `{name}`{nearest(name, known)}")


_RECORD_FORMATS: dict[str, Callable[[Mapping[str, str], FieldSelection], RecordFormat]] = {
    "protobuf": _open_protobuf,
    "json": _open_json,
}
_RESULT_FORMATS: dict[str, Callable[[], ResultFormat]] = {
    "protobuf": ProtobufResults,
    "json": JsonResults,
}
