"""From the columns of a batch to the numbers that a flat model computes on: missing, invalid and outlying values treated.

The treatments are those of the document's mining schema, in the order in which the engine applies them: an outlier may
become missing, an invalid value may become missing, a missing value may be replaced, an invalid value may be replaced,
taken as it is, or leave the record without a result; only a value that is neither is cut to the limits.

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
from serving.scorers.fast.grammar import NotFastError, number_of, only
from serving.scorers.fast.refusals import not_whole, why_unfit
from serving.scorers.pmml.normalise import declared_values
from serving.scorers.pmml.signature import Schema

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MOST_INDICATORS: Final = 256
_TREATMENTS: Final = frozenset({"returnInvalid", "asIs", "asMissing", "asValue"})


@dataclass(frozen=True, slots=True)
class NumberRule:
    """How a number is treated before the model sees it.

    Attributes:
        intervals: (low, high, low belongs to it, high belongs to it); none: every number is valid.
        invalid: `returnInvalid`, `asIs`, `asMissing`, `asValue`.
        invalid_value: What replaces an invalid number under `asValue`.
        outliers: `asIs`, `asMissingValues`, `asExtremeValues`, beyond `low` and `high`.
        missing_value: What replaces a missing number; `None` for nothing.
        missing_voids: A missing number leaves the record without a result.
    """

    intervals: tuple[tuple[float, float, bool, bool], ...] = ()
    invalid: str = "returnInvalid"
    invalid_value: float = 0.0
    outliers: str = "asIs"
    low: float = 0.0
    high: float = 0.0
    missing_value: float | None = None
    missing_voids: bool = False

    def apply(self, values: Numbers) -> tuple[Numbers, Mask]:
        """The treated column, and which rows it leaves without a result."""
        missing = np.isnan(values)
        invalid = np.zeros(len(values), np.bool_)
        if self.intervals:
            inside = np.zeros(len(values), np.bool_)
            for low, high, has_low, has_high in self.intervals:
                above = values >= low if has_low else values > low
                inside |= above & (values <= high if has_high else values < high)
            invalid = ~missing & ~inside
        outlying = (values < self.low) | (values > self.high)
        if self.outliers == "asMissingValues":
            missing = missing | (outlying & ~invalid)
        if self.invalid == "asMissing":
            missing = missing | invalid
        invalid = invalid & ~missing
        treated = values
        if self.outliers == "asExtremeValues":
            treated = np.where(invalid | missing, values, np.clip(values, self.low, self.high))
        if self.invalid == "asValue":
            treated = np.where(invalid, self.invalid_value, treated)
        treated = np.where(missing, np.nan if self.missing_value is None else self.missing_value, treated)
        void = invalid if self.invalid == "returnInvalid" else np.zeros(len(values), np.bool_)
        return treated, void | missing if self.missing_voids else void

    def mentioned(self) -> list[float]:
        """The numbers at which it changes its mind."""
        ends = [end for low, high, _, _ in self.intervals for end in (low, high) if abs(end) != float("inf")]
        return ends + ([self.low, self.high] if self.outliers != "asIs" else [])


@dataclass(frozen=True, slots=True)
class TextRule:
    """How a text is treated before the model sees it.

    Attributes:
        declared: The valid texts; none: every text is valid.
        invalid: `returnInvalid`, `asIs`, `asMissing`, `asValue`.
        invalid_value: What replaces an invalid text under `asValue`.
        missing_value: What replaces a missing text; `None` for nothing.
        missing_voids: A missing text leaves the record without a result.
    """

    declared: frozenset[str] = frozenset()
    invalid: str = "returnInvalid"
    invalid_value: str = ""
    missing_value: str | None = None
    missing_voids: bool = False

    def apply(self, text: str | None) -> tuple[str | None, bool]:
        """The treated text, and whether it leaves the record without a result."""
        if text is not None and self.declared and text not in self.declared:
            if self.invalid == "returnInvalid":
                return text, True
            if self.invalid == "asValue":
                return self.invalid_value, False
            if self.invalid == "asMissing":
                text = None
        if text is None:
            return self.missing_value, self.missing_voids
        return text, False


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
    """

    schema: Schema
    numbers: dict[int, NumberRule]
    texts: tuple[TextRule, ...]
    indicators: tuple[Indicator, ...]
    integers: tuple[int, ...]

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
        if self.numbers or self.integers:
            matrix = matrix.copy()
        void = np.zeros(len(matrix), np.bool_)
        for column in self.integers:
            self._screen(matrix, column, unfit)
        for column, rule in self.numbers.items():
            matrix[:, column], voided = rule.apply(matrix[:, column])
            void |= voided
        if self.texts:
            columns = [matrix]
            by_slot = [self._text_columns(slot, text, void) for slot, text in enumerate(features.texts)]
            positions = [0] * len(self.texts)
            for indicator in self.indicators:
                columns.append(by_slot[indicator.slot][positions[indicator.slot]][:, None])
                positions[indicator.slot] += 1
            matrix = np.concatenate(columns, axis=1) if self.indicators else matrix
        return Prepared(matrix, void if void.any() else None, unfit)

    def _screen(self, matrix: Numbers, column: int, unfit: dict[int, str]) -> None:
        """What the PMML scorer does to an integer before the engine gets it."""
        values = matrix[:, column]
        given = self.schema.inputs[self.schema.matrix_slots[column]]
        if given.replacement is not None:
            values[np.isnan(values)] = given.replacement
        broken = not_whole(values)
        if broken.any():
            for row in np.flatnonzero(broken).tolist():
                unfit[row] = why_unfit(given.name, float(values[row]))
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
            rule = _number_rule(fields[given.name], mining[given.name])
            if rule != NumberRule():
                self._numbers[column] = rule
            if given.kind == "integer":
                integers.append(column)
        self._integers = tuple(integers)
        self._texts = []
        for position, slot in enumerate(schema.text_slots):
            given = schema.inputs[slot]
            self._slots[given.name] = position
            self._texts.append(_text_rule(fields[given.name], mining[given.name]))

    def build(self) -> Inputs:
        """All of it; columns that are asked for later are not in it."""
        return Inputs(self._schema, self._numbers, tuple(self._texts), tuple(self._indicators), self._integers)

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


def _number_rule(declared: Element, mining: Element) -> NumberRule:
    name = declared.get("name")
    if declared.get("optype") != "continuous" or declared.get("dataType") not in ("double", "float"):
        raise NotFastError(f"the field {name!r} is {declared.get('optype')} and of type {declared.get('dataType')}")
    if mining.get("optype", "continuous") != "continuous":
        raise NotFastError(f"the mining field {name!r} changes the type of its field")
    only(declared, "Interval")
    invalid = _treatment(mining)
    outliers = mining.get("outliers", "asIs")
    if outliers not in ("asIs", "asMissingValues", "asExtremeValues"):
        raise NotFastError(f"the mining field {name!r} has outliers={outliers!r}")
    has_limits = outliers != "asIs"
    replacement = mining.get("missingValueReplacement")
    return NumberRule(
        tuple(_interval(interval) for interval in declared.findall("Interval")),
        invalid,
        number_of(mining, "invalidValueReplacement") if invalid == "asValue" else 0.0,
        outliers,
        number_of(mining, "lowValue") if has_limits else 0.0,
        number_of(mining, "highValue") if has_limits else 0.0,
        None if replacement is None else number_of(mining, "missingValueReplacement"),
        mining.get("missingValueTreatment") == "returnInvalid",
    )


def _text_rule(declared: Element, mining: Element) -> TextRule:
    name = declared.get("name")
    if declared.get("optype") != "categorical" or mining.get("optype", "categorical") != "categorical":
        raise NotFastError(f"the text field {name!r} is not categorical")
    if mining.get("outliers", "asIs") != "asIs":
        raise NotFastError(f"the text field {name!r} has a treatment of outliers")
    only(declared, "Value")
    if any(value.get("property", "valid") != "valid" for value in declared):
        raise NotFastError(f"the field {name!r} lists values that are missing or invalid ones")
    return TextRule(
        frozenset(declared_values(declared)),
        _treatment(mining),
        mining.get("invalidValueReplacement", ""),
        mining.get("missingValueReplacement"),
        mining.get("missingValueTreatment") == "returnInvalid",
    )


def _treatment(mining: Element) -> str:
    treatment = mining.get("invalidValueTreatment", "returnInvalid")
    if treatment not in _TREATMENTS:
        raise NotFastError(f"the mining field {mining.get('name')!r} has invalidValueTreatment={treatment!r}")
    return treatment


def _interval(element: Element) -> tuple[float, float, bool, bool]:
    closure = element.get("closure", "")
    if closure not in ("openOpen", "openClosed", "closedOpen", "closedClosed"):
        raise NotFastError(f"an interval has closure={closure!r}")
    return (
        number_of(element, "leftMargin") if "leftMargin" in element.attrib else -float("inf"),
        number_of(element, "rightMargin") if "rightMargin" in element.attrib else float("inf"),
        closure.startswith("closed"),
        closure.endswith("Closed"),
    )
