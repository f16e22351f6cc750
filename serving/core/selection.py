"""Which records of a batch a rule selects, from the columns of the batch.

What is simple is done on whole columns: `&&`, `||`, `!`, comparisons of numbers and arithmetic on them, and looking at one
text (`==`, `in`, `startsWith`, `endsWith`, `contains`). Any other part of a rule (`matches`, a conditional, ...) is evaluated
by the CEL library, once for each distinct combination of the fields that this part reads, so a rule over a text with few
values costs few evaluations; one costs some 10 microseconds. Both ways give the same answer; a property test holds them to it.

CEL's logic has three values: an error (a text compared with a number) counts only where the other operand of `&&` or `||`
does not decide alone. A row whose outcome is an error is not selected and comes with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_store.core.rule_tree import Call, Field, Items, Literal, Node
from model_store.core.rules import CompiledRule, Failed, evaluate
from serving.core.columns import TextColumn

Truths = NDArray[np.bool_]

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "_<_": lt, "_<=_": le, "_>_": gt, "_>=_": ge, "_==_": eq, "_!=_": ne
}  # fmt: skip
_ARITHMETIC: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "_+_": np.add, "_-_": np.subtract, "_*_": np.multiply, "_/_": np.divide
}  # fmt: skip
_EXACT: Final = 2**53
"""Up to here every integer is a double, so comparing as doubles is comparing as numbers."""


@dataclass(frozen=True, slots=True)
class Matches:
    """What a rule says of a batch of `n` records.

    Attributes:
        rows: bool (n,), true where the rule says yes.
        failures: Row -> why the rule says neither yes nor no there; `rows` is false there.
    """

    rows: Truths
    failures: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class NoSuchFields:
    """A rule reads fields that the stream does not have, so it can say nothing of its records.

    Attributes:
        names: The fields, sorted, at least one.
    """

    names: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join(f"`{name}`" for name in self.names)
        return f"the rule reads {names}, which the stream's settings do not name as a field"


def matches(
    rule: CompiledRule, numbers: Mapping[str, NDArray[np.float64]], texts: Mapping[str, TextColumn], rows: int
) -> Matches | NoSuchFields:
    """Evaluate a rule for each record of a batch.

    Args:
        rule: The rule.
        numbers: Field -> float64 (rows,), for the numeric fields; NaN is a missing value. May be a column of a matrix.
        texts: Field -> the texts of `rows` records.
        rows: Number of records.
    """
    missing = rule.fields - numbers.keys() - texts.keys()
    if missing:
        return NoSuchFields(tuple(sorted(missing)))
    verdict = _Batch(numbers, texts, rows).verdict(rule.tree)
    return Matches(verdict.yes, verdict.reasons)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Yes, no, or (neither) an error with its reason."""

    yes: Truths
    no: Truths
    reasons: Mapping[int, str]

    def negated(self) -> _Verdict:
        return _Verdict(self.no, self.yes, self.reasons)

    def both(self, other: _Verdict) -> _Verdict:
        return self._joined(other, self.yes & other.yes, self.no | other.no)

    def either(self, other: _Verdict) -> _Verdict:
        return self._joined(other, self.yes | other.yes, self.no & other.no)

    def _joined(self, other: _Verdict, yes: Truths, no: Truths) -> _Verdict:
        reasons = {**other.reasons, **self.reasons}
        return _Verdict(yes, no, {row: why for row, why in reasons.items() if not (yes[row] or no[row])})


class _Batch:
    def __init__(self, numbers: Mapping[str, NDArray[np.float64]], texts: Mapping[str, TextColumn], rows: int) -> None:
        self._numbers, self._texts, self._rows = numbers, texts, rows

    def verdict(self, node: Node) -> _Verdict:
        match node:
            case Call("_&&_", arguments):
                return reduce(_Verdict.both, map(self.verdict, arguments))
            case Call("_||_", arguments):
                return reduce(_Verdict.either, map(self.verdict, arguments))
            case Call("!_", (argument,)):
                return self.verdict(argument).negated()
            case Call(_, (Field(name), operand)) if name in self._texts and (
                test := _text_test(node.function, operand)
            ):
                return self._looked_up(node, name, test)
            case Call("_==_" | "_!=_", (Literal() as left, Field() as right)) if right.name in self._texts:
                return self.verdict(Call(node.function, (right, left), node.fields, node.encoded))
            case Call(operator, (left, right)) if operator in _COMPARISONS:
                if (yes := self._compared(operator, left, right)) is not None:
                    return _Verdict(yes, ~yes, {})
        return self._by_library(node)

    def _compared(self, operator: str, left: Node, right: Node) -> Truths | None:
        one, other = self._comparable(left), self._comparable(right)
        if one is None or other is None or not (isinstance(one, np.ndarray) or isinstance(other, np.ndarray)):
            return None
        yes: Truths = _COMPARISONS[operator](one, other)
        return yes

    def _looked_up(self, node: Call, name: str, test: Callable[[str], bool]) -> _Verdict:
        """One look at each distinct text. What the operator says of a missing one, null, the library tells."""
        column = self._texts[name]
        of_null = evaluate(node, {name: None})
        yes = np.array([*map(test, column.values), of_null is True], np.bool_)[column.codes]
        if not isinstance(of_null, Failed):
            return _Verdict(yes, ~yes, {})
        missing = column.codes < 0
        return _Verdict(yes, ~yes & ~missing, dict.fromkeys(np.flatnonzero(missing).tolist(), of_null.why))

    def _comparable(self, node: Node) -> NDArray[np.float64] | float | None:
        """A number: CEL compares doubles with integers, but does not calculate with them."""
        match node:
            case Literal(int(whole)) if not isinstance(whole, bool) and abs(whole) <= _EXACT:
                return float(whole)
        return self._double(node)

    def _double(self, node: Node) -> NDArray[np.float64] | float | None:
        match node:
            case Literal(float(value)):
                return value
            case Field(name):
                return self._numbers.get(name)
            case Call("-_", (argument,)):
                operand = self._double(argument)
                return None if operand is None else -operand
            case Call(operator, (left, right)) if operator in _ARITHMETIC:
                one, other = self._double(left), self._double(right)
                if one is None or other is None:
                    return None
                with np.errstate(all="ignore"):  # infinities and NaN, as CEL has them
                    calculated: NDArray[np.float64] = _ARITHMETIC[operator](one, other)
                return calculated
        return None

    def _by_library(self, node: Node) -> _Verdict:
        firsts, group = self._distinct(node.fields)
        outcomes = [evaluate(node, {name: self._value(name, row) for name in node.fields}) for row in firsts.tolist()]
        yes = np.array([outcome is True for outcome in outcomes], np.bool_)[group]
        no = np.array([outcome is False for outcome in outcomes], np.bool_)[group]
        reasons: dict[int, str] = {}
        for row in np.flatnonzero(~(yes | no)).tolist():
            outcome = outcomes[group[row]]
            assert isinstance(outcome, Failed)
            reasons[row] = outcome.why
        return _Verdict(yes, no, reasons)

    def _value(self, name: str, row: int) -> float | str | None:
        if name in self._numbers:
            return float(self._numbers[name][row])
        column = self._texts[name]
        code = int(column.codes[row])
        return column.values[code] if code >= 0 else None

    def _distinct(self, fields: frozenset[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows that stand for all others, one a distinct combination of the fields; and row -> its place among those."""
        group = np.zeros(self._rows, np.intp)
        for name in sorted(fields):
            # As bits, because -0.0 equals 0.0 but is another value to divide by.
            column = self._numbers[name].view(np.int64) if name in self._numbers else self._texts[name].codes
            _, codes = np.unique(column, return_inverse=True)
            _, group = np.unique(group * (self._rows + 1) + codes, return_inverse=True)
        _, firsts = np.unique(group, return_index=True)
        return firsts, group


def _text_test(function: str, operand: Node) -> Callable[[str], bool] | None:
    """What a function with a constant operand says of a text that is there."""
    match function, operand:
        case "_==_", Literal(str(text)):
            return text.__eq__
        case "_!=_", Literal(str(text)):
            return text.__ne__
        case "startsWith", Literal(str(text)):
            return lambda value: value.startswith(text)
        case "endsWith", Literal(str(text)):
            return lambda value: value.endswith(text)
        case "contains", Literal(str(text)):
            return lambda value: text in value
        case "@in", Items(items) if all(isinstance(item, Literal) for item in items):
            return {item.value for item in items if isinstance(item, Literal)}.__contains__
    return None
