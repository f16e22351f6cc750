"""Which field of a record fills which slot of a model.

A binding is made once, when a model is loaded, for each stream; applying it to a batch is one take of columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.core.signature import FeatureSlot, Signature
from serving.core.columns import Features, TextColumn
from serving.core.errors import SignatureError

_ABSENT = -1


@dataclass(frozen=True, slots=True)
class Binding:
    """Columns of a stream's matrix and texts, in the order of a model's slots; -1 where the record has no such field.

    Attributes:
        numbers: intp (number of numeric slots,), or `None` if the stream's matrix is already in slot order.
        texts: One index a text slot.
    """

    numbers: NDArray[np.intp] | None
    texts: tuple[int, ...]

    def features(self, matrix: NDArray[np.float64], texts: Sequence[TextColumn]) -> Features:
        """The model's inputs, from a stream's columns. Shapes as in `Features`."""
        rows = len(matrix)
        if self.numbers is None:
            taken = matrix
        else:
            taken = np.ascontiguousarray(matrix[:, self.numbers])
            if (absent := self.numbers == _ABSENT).any():
                taken[:, absent] = np.nan
        return Features(taken, tuple(_nothing(rows) if i == _ABSENT else texts[i] for i in self.texts))


def _nothing(rows: int) -> TextColumn:
    return TextColumn(np.full(rows, -1, np.int64), ())


def bind(
    signature: Signature, numbers: Sequence[str], texts: Sequence[str], mapping: Mapping[str, str] | Sequence[str] = ()
) -> Binding:
    """Find a field for each slot.

    A slot with a name takes the field that `mapping` gives it, else the field of the same name (exactly, else without
    regard to case, with `_`, `-` and blanks equal). Slots without names take the fields of `mapping`, else the stream's
    numeric fields, in order; their number must be right.

    Args:
        signature: The model's.
        numbers: The stream's numeric fields, in the order of its matrix.
        texts: The stream's text fields, in order.
        mapping: Feature -> field, or fields in slot order for a model that names nothing.

    Raises:
        SignatureError: A slot has no field or more than one; all such slots are named, with the fields there are.
    """
    wanted_numbers = [slot for slot in signature.slots if not slot.is_text]
    wanted_texts = [slot for slot in signature.slots if slot.is_text]
    number_fields = _assign(wanted_numbers, numbers, mapping, "number")
    text_fields = _assign(wanted_texts, texts, mapping, "text")
    in_order = number_fields == list(range(len(numbers)))
    return Binding(None if in_order else np.array(number_fields, np.intp), tuple(text_fields))


def _assign(
    slots: Sequence[FeatureSlot], fields: Sequence[str], mapping: Mapping[str, str] | Sequence[str], kind: str
) -> list[int]:
    if slots and all(slot.name is None for slot in slots):
        return _in_order(len(slots), fields, [] if isinstance(mapping, Mapping) else mapping, kind)
    if any(slot.name is None for slot in slots):
        raise SignatureError(
            "the model names some of its inputs and not others; give every one of them a field mapping"
        )
    named = mapping if isinstance(mapping, Mapping) else {}
    found, problems = [], []
    for slot in slots:
        assert slot.name is not None
        field = named.get(slot.name)
        matches = [i for i, name in enumerate(fields) if name == (field or slot.name)]
        if not matches and field is None:
            matches = [i for i, name in enumerate(fields) if _loose(name) == _loose(slot.name)]
        if len(matches) > 1:
            problems.append(f"{slot.name!r} matches {', '.join(fields[i] for i in matches)}")
        elif matches:
            found.append(matches[0])
        elif slot.is_optional and field is None:
            found.append(_ABSENT)
        else:
            problems.append(f"{slot.name!r}" + (f" (mapped to {field!r})" if field else ""))
    if problems:
        raise SignatureError(
            f"the record has no {kind} field for {', '.join(problems)}; its {kind} fields are: {', '.join(fields) or 'none'}"
        )
    return found


def _in_order(count: int, fields: Sequence[str], mapping: Sequence[str], kind: str) -> list[int]:
    if mapping:
        unknown = [name for name in mapping if name not in fields]
        if unknown:
            raise SignatureError(f"the feature mapping names no {kind} field of the record: {', '.join(unknown)}")
    chosen = list(mapping) or list(fields)
    if len(chosen) != count:
        whose = "the feature mapping" if mapping else "the stream"
        raise SignatureError(
            f"the model takes a vector of {count} {kind}s and {whose} gives {len(chosen)}: {', '.join(chosen) or 'none'}"
        )
    return [fields.index(name) for name in chosen]


def _loose(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()
