"""JSON records: one object a record, decoded by msgspec into a struct that has only the selected fields.

Exact and per record: the shape of one JSON text says nothing about the next. A field is a dotted path of object keys (a
key that itself holds a dot cannot be named); `emb[64]` is an array of exactly 64 numbers. Absent and `null` are the same:
missing. A number is a JSON number within the range of a double; a string that looks like one, `true` and `NaN` are not.
Integers beyond 2**53 become the nearest double. What the stream does not select is skipped, not validated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.core.errors import SettingsError
from serving.formats.base import DecodedBatch, FieldSelection, Rejected
from serving.formats.dictionaries import as_column, code_strings
from serving.formats.fields import FieldPath, parse_fields, text_names

_MISMATCH = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<found>[^`]*)` - at `\$\.(?P<path>.+)`")
_OUT_OF_RANGE = re.compile(r"Number out of range - at `\$\.(?P<path>.+)`")
_TYPES = {
    "int": "a number",
    "float": "a number",
    "str": "a string",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}

_Record = msgspec.Struct
_Tree = dict[str, "type | object | _Tree"]


class _WrongLengthError(Exception):
    """An array has another number of values than its column count; the message is the reason to give."""


class JsonFormat:
    """See RecordFormat."""

    def __init__(self, selection: FieldSelection) -> None:
        """Build the struct.

        Raises:
            SettingsError: No features are named, a name is no path, or a field is selected as a value and as an object.
        """
        if selection.features is None:
            raise SettingsError("JSON has no schema to take the numeric fields from: name the `features` of the stream")
        self._texts = text_names(selection)
        numbers = parse_fields(selection.features)
        texts = parse_fields(self._texts)
        self._numbers = tuple(column for path in numbers for column in path.columns)
        self._may_be_missing = [selection.missing == "model" or name == selection.route_field for name in self._texts]
        self._refuses_missing = selection.missing == "reject"
        shape: _Tree = {}
        for path in numbers:
            _add(shape, path, float | None if path.count is None else list[float | None] | None)
        for path in texts:
            if path.count is not None:
                raise SettingsError(f"text field `{path.text}` cannot be an array")
            _add(shape, path, str | None)
        attributes: dict[tuple[str, ...], str] = {}
        self._decode = msgspec.json.Decoder(_struct(shape, (), attributes)).decode
        self._read_numbers = _number_reader(numbers, attributes)
        self._read_texts = [_reader(path, attributes) for path in texts]

    @property
    def numbers(self) -> tuple[str, ...]:
        """See RecordFormat.numbers."""
        return self._numbers

    @property
    def texts(self) -> tuple[str, ...]:
        """See RecordFormat.texts."""
        return self._texts

    def decode(self, values: Sequence[bytes | None]) -> DecodedBatch:
        """See RecordFormat.decode."""
        bad: list[Rejected] = []
        try:
            records = list(map(self._decode, values))  # type: ignore[arg-type]  # a None is rejected one by one
            numbers = list(map(self._read_numbers, records))
            rows = np.arange(len(records))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, _WrongLengthError):
            records, numbers, rows = self._decode_singly(values, bad)
        width = len(self._numbers)
        # numpy reads None as NaN, which no JSON number is: here NaN means missing.
        matrix = np.fromiter(chain.from_iterable(numbers), np.float64, len(rows) * width).reshape(len(rows), width)
        texts = [list(map(read, records)) for read in self._read_texts]
        complete = self._complete(matrix, texts)
        if complete is not None:
            for i in np.flatnonzero(~complete).tolist():
                reason = f"field `{self._first_missing(matrix[i], [text[i] for text in texts])}` is missing"
                bad.append(Rejected(int(rows[i]), "features", reason))
            matrix, rows = matrix[complete], rows[complete]
            texts = [[word for word, keep in zip(text, complete, strict=True) if keep] for text in texts]
            bad.sort(key=lambda one: one.row)
        return DecodedBatch(matrix, tuple(as_column(code_strings(text), len(rows)) for text in texts), rows, bad)

    def _decode_singly(
        self, values: Sequence[bytes | None], bad: list[Rejected]
    ) -> tuple[list[_Record], list[Sequence[float | None]], NDArray[np.int64]]:
        records: list[_Record] = []
        numbers: list[Sequence[float | None]] = []
        rows: list[int] = []
        for row, value in enumerate(values):
            if value is None:
                bad.append(Rejected(row, "decode", "the record has no value (a tombstone)"))
                continue
            try:
                record = self._decode(value)
                read = self._read_numbers(record)
            except msgspec.ValidationError as error:
                bad.append(_mismatch(row, str(error)))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                why = str(error).removeprefix("JSON is malformed: ")
                bad.append(Rejected(row, "decode", f"the value is not JSON: {why}"))
            except RecursionError:
                bad.append(Rejected(row, "decode", "the value is JSON nested too deeply to be read"))
            except _WrongLengthError as error:
                bad.append(Rejected(row, "features", str(error)))
            else:
                records.append(record)
                numbers.append(read)
                rows.append(row)
        return records, numbers, np.array(rows, np.int64)

    def _complete(self, matrix: NDArray[np.float64], texts: Sequence[Sequence[str | None]]) -> NDArray[np.bool_] | None:
        """Which records have all the fields that they must have; `None` if all have."""
        if not self._refuses_missing:
            return None
        complete: NDArray[np.bool_] = np.logical_not(np.isnan(matrix).any(1))
        for text, may_be_missing in zip(texts, self._may_be_missing, strict=True):
            if not may_be_missing and None in text:
                complete &= np.array([word is not None for word in text], np.bool_)
        return None if complete.all() else complete

    def _first_missing(self, numbers: NDArray[np.float64], words: Sequence[str | None]) -> str:
        for name, number in zip(self._numbers, numbers, strict=True):
            if np.isnan(number):
                return name
        return next(
            name
            for name, word, may_be in zip(self._texts, words, self._may_be_missing, strict=True)
            if word is None and not may_be
        )


def _mismatch(row: int, message: str) -> Rejected:
    """A rejection in the words of the settings; msgspec speaks of its own types."""
    if (found := _MISMATCH.fullmatch(message)) is not None:
        expected = _TYPES.get(found["expected"].removesuffix(" | null"), found["expected"])
        actual = _TYPES.get(found["found"], found["found"])
        return Rejected(row, "features", f"field `{found['path']}` is {actual}, {expected} was expected")
    if (found := _OUT_OF_RANGE.fullmatch(message)) is not None:
        return Rejected(row, "features", f"field `{found['path']}` is a number beyond the range of a double")
    return Rejected(row, "decode", f"the value is not a JSON object: {message}")


def _add(shape: _Tree, path: FieldPath, type_: object) -> None:
    for step in path.steps[:-1]:
        inside = shape.setdefault(step, {})
        if not isinstance(inside, dict):
            raise SettingsError(f"field `{path.text}`: `{step}` is selected as a value too")
        shape = inside
    if path.steps[-1] in shape:
        raise SettingsError(f"field `{path.text}` is selected twice, or as a value and as an object")
    shape[path.steps[-1]] = type_


def _struct(shape: _Tree, prefix: tuple[str, ...], attributes: dict[tuple[str, ...], str]) -> type[_Record]:
    """The struct type of an object. Notes the attribute path of each field; keys need not be Python names."""
    fields = []
    for i, (key, inside) in enumerate(shape.items()):
        steps = (*prefix, key)
        attributes[steps] = ".".join(filter(None, [attributes.get(prefix), f"f{i}"]))
        # An object that is not there is an empty one: all its fields are missing.
        type_ = _struct(inside, steps, attributes) | None if isinstance(inside, dict) else inside
        fields.append((f"f{i}", type_, msgspec.field(name=key, default=None)))
    return msgspec.defstruct("Record", fields, gc=False, kw_only=True)


def _reader(path: FieldPath, attributes: dict[tuple[str, ...], str]) -> Callable[[_Record], str | None]:
    read = attrgetter(attributes[path.steps])
    if len(path.steps) == 1:
        return read
    steps = attributes[path.steps].split(".")

    def nested(record: object) -> str | None:
        for step in steps:
            record = getattr(record, step)
            if record is None:
                return None
        return record  # type: ignore[return-value]  # the struct has checked it

    return nested


def _number_reader(
    paths: Sequence[FieldPath], attributes: dict[tuple[str, ...], str]
) -> Callable[[_Record], Sequence[float | None]]:
    if len(paths) > 1 and all(path.count is None and len(path.steps) == 1 for path in paths):
        return attrgetter(*(attributes[path.steps] for path in paths))
    readers = [(path, _reader(path, attributes)) for path in paths]

    def read(record: _Record) -> Sequence[float | None]:
        row: list[float | None] = []
        for path, reader in readers:
            value: object = reader(record)
            if path.count is None:
                row.append(value)  # type: ignore[arg-type]  # the struct has checked it
            elif value is None:
                row.extend([None] * path.count)
            elif isinstance(value, list) and len(value) == path.count:
                row.extend(value)
            else:
                length = len(value) if isinstance(value, list) else 0
                raise _WrongLengthError(f"field `{path.text}` has {length} values, {path.count} expected")
        return row

    return read
