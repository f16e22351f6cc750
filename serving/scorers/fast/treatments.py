"""What becomes of a value that is missing, invalid or outlying, and how to see that a record has none.

The treatments are those of the document's mining schema, in the order in which the engine applies them: an outlier may
become missing, an invalid value may become missing, a missing value may be replaced, an invalid value may be replaced,
taken as it is, or leave the record without a result; only a value that is neither is cut to the limits.

Most records hold nothing that a treatment would change, and to see that takes two comparisons of a batch's whole matrix
(`PlainRange`); only the other records are treated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from serving.scorers.fast.grammar import NotFastError, number_of, only
from serving.scorers.fast.refusals import not_whole
from serving.scorers.pmml.normalise import declared_values

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

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

    def plain(self) -> tuple[float, float]:
        """The least and the greatest of a range of numbers that it leaves as they are; nothing is said of those outside."""
        low, high = -np.inf, np.inf
        if self.intervals:
            first, last, has_low, has_high = self.intervals[0]
            low = first if has_low else float(np.nextafter(first, np.inf))
            high = last if has_high else float(np.nextafter(last, -np.inf))
        if self.outliers != "asIs":
            low, high = max(low, self.low), min(high, self.high)
        return low, high

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


class PlainRange:
    """Finds the records that have a number to be treated. Thread-safe.

    Args:
        width: Columns of the matrix.
        numbers: Column -> its rule, where it has one.
        integers: Columns that may hold whole numbers only.
    """

    def __init__(self, width: int, numbers: Mapping[int, NumberRule], integers: Sequence[int]) -> None:
        treated = sorted({*numbers, *integers})
        ranges = [numbers[column].plain() if column in numbers else (-np.inf, np.inf) for column in treated]
        self._columns = None if treated == list(range(width)) else np.array(treated, np.intp)
        self._low = np.array([low for low, _ in ranges])
        self._high = np.array([high for _, high in ranges])
        self._integers = np.array(integers, np.intp)

    def others(self, matrix: Numbers) -> NDArray[np.intp] | None:
        """Positions of the records outside: one of their numbers is missing, out of range, or not whole where it should be.

        `None` if there are none.
        """
        treated = matrix if self._columns is None else matrix[:, self._columns]
        inside = treated >= self._low
        inside &= treated <= self._high
        is_plain = inside.all(axis=1)
        if len(self._integers):
            is_plain &= ~not_whole(matrix[:, self._integers]).any(axis=1)
        return None if is_plain.all() else np.flatnonzero(~is_plain)


def number_rule(declared: Element, mining: Element) -> NumberRule:
    """The rule of a `DataField` and its `MiningField`.

    Raises:
        NotFastError: The field is of a kind, or has a treatment, that is not for the fast tier.
    """
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


def text_rule(declared: Element, mining: Element) -> TextRule:
    """See `number_rule`."""
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
