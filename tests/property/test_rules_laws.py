"""A rule over columns says of each record what the CEL library, asked for that record alone, says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from cel_expr_python import cel
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from model_store.core.rules import CompiledRule, Failed, InvalidRuleError, compile_rule
from serving.core.columns import TextColumn
from serving.core.selection import Matches, matches

NUMBERS, TEXTS = ("n", "m", "r.x"), ("t", "u")
UNTYPED = cel.NewEnv(variables=dict.fromkeys((*NUMBERS, *TEXTS), cel.Type.DYN))

Record = dict[str, float | str | None]

numbers = st.sampled_from(
    [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0, 2.0, -1.5, 2.0**53, 2.0**53 + 2, 9.3e18]
) | st.floats(-5, 5)
texts = (
    st.none()
    | st.sampled_from(["", "x", "xy", "y", "é", "\U0001f600", "1"])
    | st.text(max_size=3).filter(lambda text: "\0" not in text)
)
records = st.fixed_dictionaries({**dict.fromkeys(NUMBERS, numbers), **dict.fromkeys(TEXTS, texts)})

number_literals = st.sampled_from(
    ["0", "1", "-1", "2", "9007199254740992", "9007199254740993", "1u"]
) | st.sampled_from(["0.0", "-0.0", "1.0", "1.5", "1e300", "1e999"])
text_literals = st.sampled_from(['""', '"x"', "'y'", '"é"', 'r"\\x"', '"\\U0001f600"'])
terms = st.recursive(
    st.sampled_from(NUMBERS) | number_literals,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/%"), inner) | st.builds("-{}".format, inner)
    ),
    max_leaves=3,
)
values = terms | st.sampled_from(TEXTS) | text_literals | st.sampled_from(["null", "true"])
comparisons = st.builds("{} {} {}".format, values, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), values)
calls = st.sampled_from(
    [
        't.startsWith("x")', 'u.endsWith("y")', 't.contains("x")', '"x" == t', 'u in ["x", 1, true]', 't in [u]', "3 != u",
        'u in [null, "y"]',
        'u.matches("^.y?$")', 't in ["x", "y"]', "n in [1, 2.0]", "size(t) > 1",
        "[1, 2].exists(i, i > n)",
        "t == u", "n", "t", "true", "false", "1 / 0 > 1", "(n > 1 ? t : u) == 'x'",
        "[t, u].all(text, text != null && text < 'y')",
    ]
)  # fmt: skip
rules = st.recursive(
    comparisons | calls,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||"]), inner)
        | st.builds("!({})".format, inner)
        | st.builds("({} ? {} : {})".format, inner, inner, inner)
    ),
    max_leaves=5,
)


def compiled(expression: str) -> CompiledRule:
    try:
        return compile_rule(expression)
    except InvalidRuleError:
        assume(False)
        raise


def columns(batch: list[Record]) -> tuple[dict[str, Any], dict[str, TextColumn]]:
    matrix = np.array([[record[name] for name in NUMBERS] for record in batch], np.float64).reshape(-1, len(NUMBERS))
    found: dict[str, TextColumn] = {}
    for name in TEXTS:
        distinct = [text for text in {record[name]: None for record in batch} if isinstance(text, str)]
        codes = [distinct.index(text) if isinstance(text := record[name], str) else -1 for record in batch]
        found[name] = TextColumn(np.array(codes, np.int64), [*distinct, "never referred to"])
    return {name: matrix[:, i] for i, name in enumerate(NUMBERS)}, found


def asked(expression: str, record: Record) -> bool | None:
    """The library's own answer, `None` for an error or a value that is no truth."""
    result = UNTYPED.compile(expression).eval(data=record)
    return result.plain_value() if result.type() == cel.Type.BOOL else None


@settings(max_examples=400)
@given(rules, st.lists(records, min_size=1, max_size=6))
@example(
    "(1.0 / n > 0.0 ? t : u) == 'x'",
    [dict(zip((*NUMBERS, *TEXTS), (zero, 1.0, 1.0, "x", "y"), strict=True)) for zero in (0.0, -0.0)],
)
@example(
    "n != m && !(t == 'x') || r.x / n > 1.0",
    [dict(zip((*NUMBERS, *TEXTS), (0.0, float("nan"), 1.0, None, "x"), strict=True))],
)
def test_columns_and_the_library_agree_on_every_record(expression: str, batch: list[Record]) -> None:
    rule = compiled(expression)

    found = matches(rule, *columns(batch), len(batch))

    assert isinstance(found, Matches)
    answers = [asked(expression, record) for record in batch]
    assert found.rows.tolist() == [answer is True for answer in answers]
    assert sorted(found.failures) == [row for row, answer in enumerate(answers) if answer is None]


@settings(max_examples=100)
@given(rules, st.lists(records, min_size=1, max_size=6), st.data())
def test_what_a_rule_says_of_a_record_does_not_depend_on_the_others(
    expression: str, batch: list[Record], data: st.DataObject
) -> None:
    rule = compiled(expression)
    some = data.draw(st.lists(st.integers(0, len(batch) - 1), min_size=1))

    whole = matches(rule, *columns(batch), len(batch))
    part = matches(rule, *columns([batch[row] for row in some]), len(some))

    assert isinstance(whole, Matches)
    assert isinstance(part, Matches)
    assert part.rows.tolist() == whole.rows[some].tolist()
    assert [part.failures.get(i) for i in range(len(some))] == [whole.failures.get(row) for row in some]


@settings(max_examples=200)
@given(st.text(max_size=60) | st.text(alphabet="nt.()[]{}\"'<>=!&|?:+-*/% 0123456789,", max_size=60))
def test_any_text_is_a_rule_or_is_refused_with_a_reason(expression: str) -> None:
    try:
        rule = compile_rule(expression)
    except InvalidRuleError as error:
        reason = error.why
    else:
        outcome = rule.evaluate(dict.fromkeys(rule.fields, 1.0))
        reason = outcome.why if isinstance(outcome, Failed) else "a rule"
    assert reason


@settings(max_examples=100)
@given(rules)
def test_a_rule_names_exactly_the_fields_that_it_reads(expression: str) -> None:
    rule = compiled(expression)

    unread = UNTYPED.compile(expression)
    variables = dict.fromkeys(rule.fields, cel.Type.DYN)
    assert cel.NewEnv(variables=variables).compile(expression).return_type() == unread.return_type()
    for name in rule.fields:
        try:
            cel.NewEnv(variables={other: kind for other, kind in variables.items() if other != name}).compile(
                expression
            )
        except RuntimeError:
            continue
        raise AssertionError(f"{name} is not read by {expression}")
