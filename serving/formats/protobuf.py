"""Protobuf records: any message, by layouts where they repeat and by the protobuf runtime where they do not.

What a missing field is: in proto3 a field without `optional` cannot be missing. It is not written when it has its
default, so a record without it holds 0 (or ""). A field with `optional`, a member of a oneof and a field of a message
that is not set can be missing. A repeated field without values is missing; with another number of values than `[n]` says
the record is rejected whatever `missing` says.

Numbers become float64: exact for all but 64-bit integers beyond 2**53, which become the nearest double, as everywhere
where a model takes doubles. Enums are their numbers, bools 0 and 1. NaN and infinity are passed on.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.descriptor import Descriptor

from serving.core.errors import SettingsError
from serving.formats.base import DecodedBatch, FieldSelection
from serving.formats.fields import parse_fields, text_names
from serving.formats.layout_decoder import LayoutDecoder, Tuning
from serving.formats.layouts import Layout, NoLayoutError
from serving.formats.protobuf_exact import ExactDecoder
from serving.formats.protobuf_schema import is_proto3_throughout, numeric_fields, resolve_number, resolve_text
from serving.formats.protobuf_walk import Walker

_MANY_COLUMNS = 1_000

_WIDE = Tuning(fewest_records=1, layout_us=300.0, layouts_per_length=2, lengths=4, longest_record=1 << 24)
"""For records with many numbers (windows of a series), of which one is worth a layout: `python -m benchmarks pieces`. Learning
one takes longer than reading one number by number, and a layout is some megabytes, so there are few."""


class ProtobufFormat:
    """See RecordFormat. Layouts are used for proto3 messages only; proto2 and editions are decoded one by one."""

    def __init__(self, message: Descriptor, selection: FieldSelection, *, tuning: Tuning | None = None) -> None:
        """Resolve the selected fields.

        Raises:
            SettingsError: The message has no such field, or it is of another kind.
        """
        features = selection.features
        if features is None:
            # The texts cannot be among them, so all that is left is whether there is anything.
            features = numeric_fields(message)
            if not features:
                raise SettingsError(f"{message.full_name} has no numeric fields: name the `features` of the stream")
        names = text_names(selection)
        numbers = [resolve_number(message, path) for path in parse_fields(features)]
        texts = [resolve_text(message, path) for path in parse_fields(names)]
        refuse_missing = [selection.missing == "reject"] * len(numbers)
        refuse_missing += [selection.missing == "reject" and name != selection.route_field for name in names]
        self._numbers = tuple(column for field in numbers for column in field.path.columns)
        self._texts = names
        walker = Walker(message, numbers, texts, refuse_missing=refuse_missing)
        exact = ExactDecoder(message, numbers, texts, refuse_missing=refuse_missing)
        self._decoder = LayoutDecoder(
            numbers=len(self._numbers),
            texts=len(texts),
            walk=walker.walk if is_proto3_throughout(message) else _no_layout,
            exact=exact.decode,
            exact_us=exact.us_per_record,
            tuning=tuning or (_WIDE if len(self._numbers) >= _MANY_COLUMNS else Tuning()),
        )

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
        return self._decoder.decode(values)


def _no_layout(record: bytes) -> Layout:
    raise NoLayoutError
