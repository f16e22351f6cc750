"""What rules are, what they read, and how wrong ones are refused."""

from __future__ import annotations

import time

import pytest

from model_store.core.rule_tree import Call, Literal
from model_store.core.rules import MAX_CHARACTERS, Failed, InvalidRuleError, compile_rule


@pytest.mark.parametrize(
    ("expression", "fields"),
    [
        ("true", set()),
        ("customer.age > 30", {"customer.age"}),
        ("a.b == 1 && a == 2", {"a.b", "a"}),
        ("emb[0] < emb[63]", {"emb[0]", "emb[63]"}),
        ("inner.emb[3] > 0.5", {"inner.emb[3]"}),
        ("[1, 2].exists(a, a > b)", {"b"}),
        ("[1, 2].exists(a, a > 1) && a > 2", {"a"}),
        ("name.startsWith(prefix)", {"name", "prefix"}),
        ("{'key': x}.key == y", {"x", "y"}),
        ("type == 'wine' && int > 3", {"type", "int"}),
    ],
)
def test_a_rule_tells_which_fields_it_reads(expression: str, fields: set[str]) -> None:
    assert compile_rule(expression).fields == fields


def test_a_field_may_be_called_like_a_type() -> None:
    assert compile_rule("type == 'wine' && int > 3").evaluate({"type": "wine", "int": 4.0}) is True


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("", "Syntax error"),
        ("age >", "column 6: Syntax error"),
        ("age > 1\n&& &&", "line 2, column 4: Syntax error"),
        ("launch(age)", "undeclared reference to 'launch'"),
        ("age.launch()", "undeclared reference to 'launch'"),
        ("'a' > 1", "no matching overload"),
        ("1 + 1.0 > 2.0", "no matching overload"),
        ("1 + 1", "type int, not true or false"),
        ("has(a.b)", "every field of a stream is there"),
        ("emb[1] > emb", "'emb' both as one value and by index"),
        ("a > 1\0 || true", "NUL"),
        ("'\ud800' == a", "surrogates"),
        ("(" * 40 + "a" + ")" * 40, "recursion limit"),
        ("a > 1 ||" * 300 + "a", "characters, at most"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_reason(expression: str, why: str) -> None:
    with pytest.raises(InvalidRuleError) as refused:
        compile_rule(expression)

    assert why in refused.value.why
    assert refused.value.expression == expression[:MAX_CHARACTERS]


@pytest.mark.parametrize(
    "expression",
    [
        "[" * 999 + "]" * 999,
        "!" * 1_999 + "a",
        "-" * 1_999 + "1",
        "a" + ".a" * 999,
        "true?1:" * 285 + "1",
        "a" + "[0]" * 600,
    ],
)
def test_no_nesting_within_the_allowed_length_harms_the_process(expression: str) -> None:
    try:
        rule = compile_rule(expression)
    except InvalidRuleError:
        return

    assert isinstance(rule.evaluate(dict.fromkeys(rule.fields, 1.0)), Failed)


def test_loops_end_soon_even_if_they_are_nested() -> None:
    numbers = f"[{','.join('1' * 80)}]"
    rule = compile_rule(f"{numbers}.all(x, {numbers}.all(y, {numbers}.all(z, x + y + z > 0)))")

    started = time.process_time()
    outcome = rule.evaluate({})

    assert isinstance(outcome, Failed)
    assert "budget" in outcome.why
    assert time.process_time() - started < 1


def test_an_integer_beside_a_number_of_the_record_is_explained() -> None:
    outcome = compile_rule("age + 1 > 2").evaluate({"age": 3.0})

    assert isinstance(outcome, Failed)
    assert outcome.why.endswith("the numbers of a record are doubles, so write 1.0 for 1")


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_text_that_the_library_cannot_take_is_a_failure_of_its_record(text: str) -> None:
    assert isinstance(compile_rule("size(t) > 0").evaluate({"t": text}), Failed)


def test_one_value_of_a_field_with_several_is_read_by_its_index() -> None:
    assert compile_rule("emb[2] > emb[0]").evaluate({"emb[2]": 2.0, "emb[0]": 1.0}) is True


@pytest.mark.parametrize(
    ("literal", "value"),
    [("-3", -3), ("9223372036854775807", 2**63 - 1), ("0", 0), ("-1.5", -1.5), ("'é'", "é"), ("true", True)],
)
def test_the_tree_holds_the_literals_that_the_rule_has(literal: str, value: object) -> None:
    tree = compile_rule(f"a != {literal}").tree

    assert isinstance(tree, Call)
    assert isinstance(found := tree.arguments[1], Literal)
    assert found.value == value
    assert type(found.value) is type(value)


def test_rules_are_equal_if_their_expressions_are() -> None:
    assert compile_rule("a > 1") == compile_rule("a > 1") != compile_rule("a > 2")
    assert len({compile_rule("a > 1"), compile_rule("a > 1")}) == 1
