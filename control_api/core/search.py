"""Searching lists by MLflow's filter grammar: `name LIKE 'wine%' AND tags.team = 'a'`, and its `order_by`.

    filter    = condition { AND condition }
    condition = key ( = | != | < | <= | > | >= | LIKE | ILIKE ) value | key [ NOT ] IN ( value, ... ) | key IS [ NOT ] NULL
    key       = attribute | tags.name | tags.`any name`

Values are numbers or text in single or double quotes; a quote in a text is written twice. `%` in LIKE is any text, `_` any one
character; ILIKE looks at no capitals. What an item does not have meets no condition but IS NULL, as in MLflow. An attribute with
several values meets what one of them does. A filter is bounded in length and in conditions, and matching takes time in proportion
to the text times the pattern, whatever they are.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Generic, TypeVar

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError, UnexpectedInput, VisitError

MAX_CHARACTERS: Final = 2_000
MAX_CONDITIONS: Final = 50

Item = TypeVar("Item")
Value = str | int | float
Found = Value | Sequence[str] | None
"""What an item has: a value, several texts, or nothing."""

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_EXPECTED: Final = "expected `<attribute> <comparison> <value>`, joined by AND"

_GRAMMAR: Final = r"""
start: [condition ("AND"i condition)*]
condition: key COMPARISON value            -> compared
         | key LIKE value                  -> like
         | key NOT? IN "(" value ("," value)* ")" -> within
         | key IS NOT? NULL                -> is_null
key: WORD ["." (WORD | BACKTICKS | DOUBLE)]
value: SINGLE | DOUBLE | NUMBER
COMPARISON: "!=" | "<=" | ">=" | "=" | "<" | ">"
LIKE.3: /I?LIKE(?![A-Za-z0-9_])/i
IN.3: /IN(?![A-Za-z0-9_])/i
IS.3: /IS(?![A-Za-z0-9_])/i
NOT.3: /NOT(?![A-Za-z0-9_])/i
NULL.3: /NULL(?![A-Za-z0-9_])/i
WORD: /[A-Za-z_][A-Za-z0-9_\-]*/
BACKTICKS: /`(?:[^`]|``)+`/
SINGLE: /'(?:[^']|'')*'/
DOUBLE: /"(?:[^"]|"")*"/
NUMBER: /-?[0-9]{1,18}(?:\.[0-9]{1,18})?/
%ignore /\s+/
"""


class InvalidSearchError(Exception):
    """A filter or an order is none; `str(error)` says what was expected."""


@dataclass(frozen=True, slots=True)
class Attributes(Generic[Item]):
    """What items can be searched by.

    Attributes:
        plain: Name -> what an item has.
        mappings: Name before the dot -> (item, name after the dot) -> what it has.
    """

    plain: Mapping[str, Callable[[Item], Found]]
    mappings: Mapping[str, Callable[[Item, str], Found]]

    def getter(self, name: str, inner: str | None) -> Callable[[Item], Found]:
        """How to read an attribute.

        Raises:
            InvalidSearchError: There is none of this name; the message names those there are.
        """
        if inner is None and name in self.plain:
            return self.plain[name]
        if inner is not None and name in self.mappings:
            read = self.mappings[name]
            return lambda item: read(item, inner)
        known = [*sorted(self.plain), *(f"{each}.<name>" for each in sorted(self.mappings))]
        shown = name if inner is None else f"{name}.{inner}"
        raise InvalidSearchError(f"there is no attribute {shown!r}; there are: {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class _Condition:
    name: str
    inner: str | None
    is_met: Callable[[Found], bool]


def compile_filter(text: str, attributes: Attributes[Item]) -> Callable[[Item], bool]:
    """Whether an item meets the filter; an empty one is met by all.

    Raises:
        InvalidSearchError: It does not parse, is too long, or names an attribute that there is not.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidSearchError(f"a filter has at most {MAX_CHARACTERS} characters, this one has {len(text)}")
    try:
        conditions = _Reader().transform(_parser().parse(text))
    except VisitError as error:
        raise InvalidSearchError(str(error.orig_exc)) from error
    except UnexpectedInput as error:
        raise InvalidSearchError(f"the filter cannot be read {_where(text, error)}") from error
    except LarkError as error:
        raise InvalidSearchError(f"the filter cannot be read: {error}") from error
    if len(conditions) > MAX_CONDITIONS:
        raise InvalidSearchError(f"a filter has at most {MAX_CONDITIONS} conditions, this one has {len(conditions)}")
    tests = [(attributes.getter(each.name, each.inner), each.is_met) for each in conditions]
    return lambda item: all(is_met(get(item)) for get, is_met in tests)


@dataclass(frozen=True, slots=True)
class Order(Generic[Item]):
    """One part of an order."""

    get: Callable[[Item], Found]
    is_descending: bool


def compile_order(parts: Sequence[str], attributes: Attributes[Item]) -> list[Order[Item]]:
    """The order that `order_by` asks for: `name`, `creation_timestamp DESC`, ..., each part or several with commas.

    Raises:
        InvalidSearchError: It names an attribute that there is not, or a direction that is none.
    """
    found = []
    for part in ",".join(parts).split(",") if parts else ():
        words = part.split()
        direction = words[1].upper() if len(words) == 2 else "ASC"
        if not 1 <= len(words) <= 2 or direction not in ("ASC", "DESC"):
            raise InvalidSearchError(f"order_by is `<attribute> [ASC|DESC]`, not {part.strip()[:80]!r}")
        name, dot, inner = words[0].partition(".")
        found.append(Order(attributes.getter(name, inner.strip('`"') if dot else None), direction == "DESC"))
    return found


def is_like(text: str, pattern: str) -> bool:
    """Whether the text matches, `%` for any text and `_` for any one character; O(text x pattern)."""
    at, here, star, kept = 0, 0, -1, 0
    while at < len(text):
        if here < len(pattern) and pattern[here] == "%":
            star, kept, here = here, at, here + 1
        elif here < len(pattern) and pattern[here] in ("_", text[at]):
            at, here = at + 1, here + 1
        elif star >= 0:
            kept += 1
            at, here = kept, star + 1
        else:
            return False
    return all(character == "%" for character in pattern[here:])


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=False)


class _Reader(Transformer[Token, "list[_Condition]"]):
    """From the parsed filter to its conditions."""

    def start(self, children: list[Any]) -> list[_Condition]:
        return list(children)

    def key(self, children: list[Token]) -> tuple[str, str | None]:
        return str(children[0]), _unquoted(children[1]) if len(children) > 1 else None

    def value(self, children: list[Token]) -> Value:
        token = children[0]
        if token.type == "NUMBER":
            return float(token) if "." in token else int(token)
        return _unquoted(token)

    def compared(self, children: list[Any]) -> _Condition:
        (name, inner), sign, value = children
        return _Condition(name, inner, _comparison(str(sign), value))

    def like(self, children: list[Any]) -> _Condition:
        (name, inner), word, pattern = children
        if not isinstance(pattern, str):
            raise InvalidSearchError(f"{word} compares with a text in quotes, not with {pattern}")
        if str(word).upper() == "LIKE":
            return _Condition(name, inner, _any_text(lambda text: is_like(text, pattern)))
        folded = pattern.casefold()
        return _Condition(name, inner, _any_text(lambda text: is_like(text.casefold(), folded)))

    def within(self, children: list[Any]) -> _Condition:
        (name, inner), *rest = children
        is_not = rest[0].type == "NOT"
        values = [value for value in rest if not isinstance(value, Token)]
        tests = [_comparison("=", value) for value in values]
        if is_not:
            return _Condition(name, inner, lambda found: found is not None and not any(test(found) for test in tests))
        return _Condition(name, inner, lambda found: any(test(found) for test in tests))

    def is_null(self, children: list[Any]) -> _Condition:
        (name, inner), *words = children
        is_not = any(word.type == "NOT" for word in words)
        return _Condition(name, inner, lambda found: (found is None or found == "") != is_not)


def _comparison(sign: str, value: Value) -> Callable[[Found], bool]:
    compare = _COMPARISONS[sign]

    def test(found: Found) -> bool:
        if found is None:
            return False
        if isinstance(found, str | int | float):
            is_comparable = isinstance(found, str) == isinstance(value, str)
            return bool(compare(found, value)) if is_comparable else _as_text(found, value, sign)
        hits = [each == value for each in found]
        return not any(hits) if sign == "!=" else sign == "=" and any(hits)

    return test


def _as_text(found: Value, value: Value, sign: str) -> bool:
    """A number that was written as text, or the other way round: versions are numbers and look like text."""
    return (str(found) == str(value)) == (sign == "=") if sign in ("=", "!=") else False


def _any_text(test: Callable[[str], bool]) -> Callable[[Found], bool]:
    def met(found: Found) -> bool:
        if found is None:
            return False
        return any(test(str(each)) for each in ([found] if isinstance(found, str | int | float) else found))

    return met


def _unquoted(token: Token) -> str:
    if token.type == "WORD":
        return str(token)
    quote = token[0]
    return token[1:-1].replace(quote * 2, quote)


def _where(text: str, error: UnexpectedInput) -> str:
    token = getattr(error, "token", None)
    if token is not None and token.type == "$END":
        return f"at its end: {_EXPECTED}"
    place = error.pos_in_stream if isinstance(error.pos_in_stream, int) else 0
    return f"at character {place + 1}, before {text[place : place + 20]!r}: {_EXPECTED}"
