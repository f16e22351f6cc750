"""Rules: expressions in CEL over the fields of a record that say yes or no.

CEL (the Common Expression Language) has no loops without an end, no side effects and no way out of the expression. The
library is Google's own C++ runtime. It is bounded three ways: an expression has at most `MAX_CHARACTERS`, nests at most 32
deep, and an evaluation may take 10,000 steps of loops; the last two are the library's, and breaking them is an error value.

What a rule sees of a record:

* a number is a double, whatever the record wrote: `n > 3` and `n + 1.0 > 3` are fine, `n + 1 > 3` is an error (CEL does not
  mix doubles and integers in arithmetic). A missing number is NaN: every comparison is false but `!=`.
* a text is a string, or null if it is missing.
* a truth is the number 1 or 0.
* fields are written as the stream's settings name them: `age`, `customer.age`, `emb[3]`. A field with a name that is no CEL
  identifier (`fixed acidity`) cannot be read. All plain names are fields, CEL's names of types (`int`, `type`) too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from cel_expr_python import cel

from model_store.core.errors import ModelStoreError
from model_store.core.rule_tree import Message, Node, enclosed, read_tree

MAX_CHARACTERS: Final = 2_000
"""Length of the longest rule, in characters."""

# Names are looked up inside this container first, so a field may be called like one of CEL's types.
_CONTAINER: Final = "record"
_PREFIX: Final = f"{_CONTAINER}."
_PARSED: Final = b"type.googleapis.com/cel.expr.ParsedExpr"
_ANY_VALUE, _PARSED_EXPR, _CHECKED_EXPR = 2, 2, 4
_ENVIRONMENT: Final = cel.NewEnv(container=_CONTAINER)


class InvalidRuleError(ModelStoreError):
    """An expression is no rule. `str(error)` tells its author what to change.

    Attributes:
        expression: As it was given, cut to `MAX_CHARACTERS`.
        why: What is wrong, with the column where the library tells it.
    """

    def __init__(self, expression: str, why: str) -> None:
        expression = expression[:MAX_CHARACTERS]
        super().__init__(f"the rule {expression!r} is not valid: {why}")
        self.expression, self.why = expression, why


@dataclass(frozen=True, slots=True)
class Failed:
    """An evaluation that gave neither yes nor no.

    Attributes:
        why: A sentence.
    """

    why: str


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule that can be evaluated. Equal if the expressions are.

    Attributes:
        expression: As it was written.
        fields: Names of the fields that it reads: dotted paths, `emb[3]` for one value of a field with several.
        tree: What it consists of.
    """

    expression: str
    fields: frozenset[str] = field(compare=False)
    tree: Node = field(compare=False, repr=False)

    def evaluate(self, record: Mapping[str, float | str | None]) -> bool | Failed:
        """Evaluate it for one record by the library.

        Args:
            record: Field -> value, at least for `fields`.
        """
        return evaluate(self.tree, record)


def compile_rule(expression: str) -> CompiledRule:
    """Parse and check an expression.

    Raises:
        InvalidRuleError: It is too long, nests too deep, has a syntax error, calls a function that there is not, mixes types
            that are known not to go together, or cannot give yes or no.
    """
    if len(expression) > MAX_CHARACTERS:
        raise InvalidRuleError(expression, f"it has {len(expression)} characters, at most {MAX_CHARACTERS} are allowed")
    if "\0" in expression:
        raise InvalidRuleError(expression, "it has a NUL character")  # the library would read the text up to there
    try:
        expression.encode()  # a lone surrogate is no text for the library
        parsed = _ENVIRONMENT.compile(expression, disable_check=True)
        fields = read_tree(Message(_content(parsed)).blob(_PARSED_EXPR)).fields
        variables = _variables(fields)
        checked = cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN), container=_CONTAINER).compile(expression)
        tree = read_tree(Message(_content(checked)).blob(_CHECKED_EXPR), _PREFIX)
    except (RuntimeError, ValueError) as error:
        raise InvalidRuleError(expression, _told(str(error))) from error
    if (kind := checked.return_type()) not in (cel.Type.BOOL, cel.Type.DYN):
        raise InvalidRuleError(expression, f"it gives a value of type {kind.name().lower()}, not true or false")
    return CompiledRule(expression, fields, tree)


def evaluate(part: Node, record: Mapping[str, float | str | None]) -> bool | Failed:
    """Evaluate a part of a rule for one record by the library.

    Args:
        part: A node of a `CompiledRule.tree`.
        record: Field -> value, at least for `part.fields`; numbers are floats.
    """
    data: dict[str, float | str | None] = {}
    lists: dict[str, dict[int, float | str | None]] = {}
    for name in part.fields:
        value = record[name]
        if isinstance(value, str) and "\0" in value:
            # The library would read the text up to there.
            return Failed(f"the text of `{name}` has a NUL character")
        variable, _, index = name.partition("[")
        if index:
            lists.setdefault(_PREFIX + variable, {})[int(index[:-1])] = value
        else:
            data[_PREFIX + name] = value
    try:
        result = _program(part.encoded).eval(data={**data, **lists})
    except (RuntimeError, UnicodeError) as error:
        return Failed(_told(str(error)))
    kind, value = result.type(), result.plain_value()
    if kind == cel.Type.BOOL:
        return bool(value)
    if kind == cel.Type.ERROR:
        return Failed(_told(str(value)))
    return Failed(f"it gives a value of type {kind.name().lower()}, not true or false")


@lru_cache(maxsize=1024)
def _program(encoded: bytes) -> cel.Expression:
    return _ENVIRONMENT.deserialize(enclosed(1, _PARSED) + enclosed(_ANY_VALUE, enclosed(_PARSED_EXPR, encoded)))


def _content(expression: cel.Expression) -> bytes:
    return Message(expression.serialize()).blob(_ANY_VALUE)


def _variables(fields: frozenset[str]) -> set[str]:
    indexed = {name.partition("[")[0] for name in fields if "[" in name}
    if both := fields & indexed:
        raise ValueError(f"it reads {', '.join(map(repr, sorted(both)))} both as one value and by index")
    return {_PREFIX + name for name in fields if "[" not in name} | {_PREFIX + name for name in indexed}


_NOISE: Final = re.compile(
    r"^(?:[A-Z_]+: )?(?:ERROR: <input>:(?P<line>-?\d+):(?P<column>-?\d+): )?(?P<what>[^\n]*)", re.S
)
_MIXED: Final = ("(double, int64)", "(int64, double)")


def _told(message: str) -> str:
    """The library's message without its codes, and a hint where its cause is a common one."""
    found = _NOISE.match(message)
    assert found is not None
    what = re.sub(r" \[[A-Z_]+\]$| \(in container '\w*'\)", "", found["what"])
    if any(types in what for types in _MIXED):
        what += "; the numbers of a record are doubles, so write 1.0 for 1"
    if found["column"] and int(found["column"]) > 0:
        return f"line {found['line']}, column {found['column']}: {what}"
    return what
