"""From the columns of a batch to the numbers that a flat model computes on: missing, invalid and outlying values treated.

Numbers keep their column. A text becomes one column for each set of texts that the model tests it for (an *indicator*),
looked up in the batch's dictionary, so that a record pays for one look-up an indicator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from serving.core.columns import Features, TextColumn
from serving.scorers.fast.grammar import NotFastError
from serving.scorers.fast.refusals import not_whole, why_unfit
from serving.scorers.fast.treatments import Mask, NumberRule, Numbers, PlainRange, TextRule, number_rule, text_rule
from serving.scorers.pmml.signature import Schema

_MOST_INDICATORS: Final = 256


@dataclass(frozen=True, slots=True)
class Indicator:
    """A column made of a text: one number if it is a member, another if not, a third if it is missing."""

    slot: int
    members: frozenset[str]
    inside: float
    outside: float
    missing: float

    def value(self, text: str | None) -> float:
        """The number of a treated text."""
        if text is None:
            return self.missing
        return self.inside if text in self.members else self.outside


@dataclass(frozen=True, slots=True)
class Prepared:
    """The numbers of a batch.

    Attributes:
        matrix: float64 (n, columns), C-contiguous: the numeric inputs, then the indicators.
        void: Which records have no result; `None` for none of them.
        unfit: Row -> reason, where an integer field holds what is no integer.
    """

    matrix: Numbers
    void: Mask | None = None
    unfit: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What becomes of a batch's columns. Made by `InputsBuilder`.

    Attributes:
        schema: Of the document.
        numbers: Column of the matrix -> its rule, where it has one.
        texts: One a text input.
        indicators: The columns that follow the numeric ones.
        integers: Columns of the matrix that may hold whole numbers only.
        plain: Finds the records whose numbers the rules would change.
    """

    schema: Schema
    numbers: dict[int, NumberRule]
    texts: tuple[TextRule, ...]
    indicators: tuple[Indicator, ...]
    integers: tuple[int, ...]
    plain: PlainRange

    @property
    def width(self) -> int:
        """Columns of `Prepared.matrix`."""
        return len(self.schema.matrix_slots) + len(self.indicators)

    def prepare(self, features: Features) -> Prepared:
        """The numbers of a batch; the batch's own matrix where nothing is to be done to it."""
        matrix = features.matrix
        if not (self.numbers or self.integers or self.texts):
            return Prepared(matrix)
        unfit: dict[int, str] = {}
        void = np.zeros(len(matrix), np.bool_)
        if self.numbers or self.integers:
            others = self.plain.others(matrix)
            if others is not None:
                matrix = matrix.copy()
                matrix[others], void[others] = self._treat(matrix[others], others, unfit)
        if self.texts:
            columns = [matrix]
            by_slot = [self._text_columns(slot, text, void) for slot, text in enumerate(features.texts)]
            positions = [0] * len(self.texts)
            for indicator in self.indicators:
                columns.append(by_slot[indicator.slot][positions[indicator.slot]][:, None])
                positions[indicator.slot] += 1
            matrix = np.concatenate(columns, axis=1) if self.indicators else matrix
        return Prepared(matrix, void if void.any() else None, unfit)

    def _treat(self, matrix: Numbers, rows: NDArray[np.intp], unfit: dict[int, str]) -> tuple[Numbers, Mask]:
        """The treated numbers of the records at `rows`, and which of them have no result; adds to `unfit`."""
        void = np.zeros(len(matrix), np.bool_)
        for column in self.integers:
            self._screen(matrix, column, rows, unfit)
        for column, rule in self.numbers.items():
            matrix[:, column], voided = rule.apply(matrix[:, column])
            void |= voided
        return matrix, void

    def _screen(self, matrix: Numbers, column: int, rows: NDArray[np.intp], unfit: dict[int, str]) -> None:
        """What the PMML scorer does to an integer before the engine gets it."""
        values = matrix[:, column]
        given = self.schema.inputs[self.schema.matrix_slots[column]]
        if given.replacement is not None:
            values[np.isnan(values)] = given.replacement
        broken = not_whole(values)
        if broken.any():
            for position in np.flatnonzero(broken).tolist():
                unfit[int(rows[position])] = why_unfit(given.name, float(values[position]))
            values[broken] = np.nan

    def _text_columns(self, slot: int, column: TextColumn, void: Mask) -> list[Numbers]:
        """The indicators of one text input; adds to `void`."""
        rule = self.texts[slot]
        # A missing text has the code -1, which finds the last entry of each table.
        treated = [rule.apply(text) for text in (*column.values, None)]
        if any(voids for _, voids in treated):
            void |= np.array([voids for _, voids in treated])[column.codes]
        return [
            np.array([indicator.value(text) for text, _ in treated])[column.codes]
            for indicator in self.indicators
            if indicator.slot == slot
        ]


class InputsBuilder:
    """Reads the treatments of a document's fields and hands out columns for what the model computes on."""

    def __init__(self, root: Element, model: Element, schema: Schema) -> None:
        """Read the treatments.

        Raises:
            NotFastError: A field of a kind, or with a treatment, that is not for the fast tier.
        """
        self._schema = schema
        fields = {found.get("name", ""): found for found in root.iter("DataField")}
        mining = {found.get("name", ""): found for found in model.iterfind("MiningSchema/MiningField")}
        self._numbers: dict[int, NumberRule] = {}
        self._indicators: list[Indicator] = []
        self._columns: dict[str, int] = {}
        self._slots: dict[str, int] = {}
        integers = []
        for column, slot in enumerate(schema.matrix_slots):
            given = schema.inputs[slot]
            self._columns[given.name] = column
            if given.kind == "boolean":
                raise NotFastError(f"the field {given.name!r} is a boolean")
            rule = number_rule(fields[given.name], mining[given.name])
            if rule != NumberRule():
                self._numbers[column] = rule
            if given.kind == "integer":
                integers.append(column)
        self._integers = tuple(integers)
        self._texts = []
        for position, slot in enumerate(schema.text_slots):
            given = schema.inputs[slot]
            self._slots[given.name] = position
            self._texts.append(text_rule(fields[given.name], mining[given.name]))

    def build(self) -> Inputs:
        """All of it; columns that are asked for later are not in it."""
        plain = PlainRange(len(self._schema.matrix_slots), self._numbers, self._integers)
        texts, indicators = tuple(self._texts), tuple(self._indicators)
        return Inputs(self._schema, self._numbers, texts, indicators, self._integers, plain)

    def is_text(self, name: str) -> bool:
        """Whether a field is a text."""
        return name in self._slots

    def number(self, name: str) -> int:
        """The column of a numeric field.

        Raises:
            NotFastError: It is no active numeric field.
        """
        if name not in self._columns:
            raise NotFastError(f"{name!r} is used as a number and is not an active numeric field")
        return self._columns[name]

    def indicator(self, name: str, members: Iterable[str], inside: float, outside: float, missing: float) -> int:
        """A column for a set of texts; the same one for the same set.

        Raises:
            NotFastError: `name` is no active text field, or there are too many such columns.
        """
        if name not in self._slots:
            raise NotFastError(f"{name!r} is used as a text and is not an active text field")
        wanted = Indicator(self._slots[name], frozenset(members), inside, outside, missing)
        key = repr(wanted)
        known = [repr(indicator) for indicator in self._indicators]
        if key not in known:
            if len(known) >= _MOST_INDICATORS:
                raise NotFastError(f"the model tests texts for more than {_MOST_INDICATORS} different sets")
            self._indicators.append(wanted)
            known.append(key)
        return len(self._schema.matrix_slots) + known.index(key)


def check_inner_schema(model: Element, outer: Sequence[str]) -> None:
    """A segment's own mining schema must add nothing to that of the whole.

    Raises:
        NotFastError: It treats a field, or has one that the whole has not.
    """
    schema = model.find("MiningSchema")
    for mining in () if schema is None else schema:
        usage = mining.get("usageType", "active")
        if mining.attrib.keys() - {"name", "usageType", "importance"}:
            raise NotFastError(f"a segment treats the field {mining.get('name')!r} in its own way")
        if usage == "active" and mining.get("name") not in outer:
            raise NotFastError(f"a segment reads {mining.get('name')!r}, which the model as a whole does not")
        if usage not in ("active", "target", "predicted", "supplementary"):
            raise NotFastError(f"a segment has a field of usage {usage!r}")
