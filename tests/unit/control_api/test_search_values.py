"""The filter grammar of lists: what it means, and that no text breaks it or slows it down."""

from __future__ import annotations

import fnmatch
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_api.core.search import Attributes, InvalidSearchError, compile_filter, compile_order, is_like
from control_api.errors import ApiError
from control_api.pages import in_order, page

ATTRIBUTES: Attributes[dict[str, Any]] = Attributes(
    plain={"name": lambda i: i.get("name"), "size": lambda i: i.get("size"), "kinds": lambda i: i.get("kinds", [])},
    mappings={"tags": lambda item, name: item.get("tags", {}).get(name)},
)
TREE = {"name": "wine-tree", "size": 3, "kinds": ["a", "b"], "tags": {"team": "x", "my key": "it's"}}


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("", True),
        ("name = 'wine-tree'", True),
        ('name = "wine-tree" AND size = 3', True),
        ("name LIKE 'wine%' and name like '%tre_'", True),
        ("name LIKE 'WINE%'", False),
        ("name ILIKE 'WINE%'", True),
        ("size >= 3 AND size < 4", True),
        ("size > 3", False),
        ("size = '3'", True),
        ("size IN (1, 2, 3)", True),
        ("name NOT IN ('a', 'b')", True),
        ("kinds = 'b'", True),
        ("kinds != 'b'", False),
        ("kinds LIKE '_'", True),
        ("tags.team = 'x'", True),
        ("tags.`my key` = 'it''s'", True),
        ("tags.\"my key\" LIKE '%s'", True),
        ("tags.other = 'x'", False),
        ("tags.other != 'x'", False),
        ("tags.other IS NULL", True),
        ("tags.team IS NOT NULL", True),
        ("tags.team IS NULL", False),
    ],
)
def test_a_filter_means_what_mlflows_does(text: str, is_met: bool) -> None:
    assert compile_filter(text, ATTRIBUTES)(TREE) is is_met


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nam = 'x'", "there are: kinds, name, size, tags.<name>"),
        ("size.x = 1", "no attribute 'size.x'"),
        ("name =", "at its end"),
        ("name = 'a' OR name = 'b'", "at character 12"),
        ("name LIKE 3", "a text in quotes"),
        ("island = 'x'", "no attribute 'island'"),
        ("name = 'a' " * 300, "at most 2000 characters"),
        (" AND ".join(["size=1"] * 51), "at most 50 conditions"),
    ],
)
def test_a_filter_that_is_none_says_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(InvalidSearchError, match=said):
        compile_filter(text, ATTRIBUTES)


@given(st.text(max_size=80) | st.text("name sizetag.='\"`%()<>!,ANDINLIKE0123", max_size=80))
def test_no_text_makes_a_filter_crash(text: str) -> None:
    try:
        met = compile_filter(text, ATTRIBUTES)
    except InvalidSearchError:
        return
    assert met(TREE) in (True, False)
    assert met({}) in (True, False)


@given(st.text("ab", max_size=12), st.text("ab%_", max_size=8))
def test_like_is_the_wildcards_of_a_shell(text: str, pattern: str) -> None:
    assert is_like(text, pattern) == fnmatch.fnmatchcase(text, pattern.replace("%", "*").replace("_", "?"))


def test_no_pattern_takes_long() -> None:
    began = time.perf_counter()

    assert not is_like("a" * 4096, "%a" * 900 + "b")

    assert time.perf_counter() - began < 10


@given(
    st.lists(st.tuples(st.text("abc", max_size=2), st.integers(0, 3)), unique=True, max_size=20),
    st.integers(1, 6),
    st.tuples(st.booleans(), st.booleans()),
)
def test_pages_hold_every_item_once_in_whatever_order_is_asked_for(
    items: list[tuple[str, int]], size: int, descending: tuple[bool, bool]
) -> None:
    ordered = in_order(items, lambda item: item, descending)
    seen: list[tuple[str, int]] = []
    token = None
    for _ in range(len(items) + 1):
        shown, token = page(ordered, lambda item: item, size, token, {}, descending)
        seen += shown
        if token is None:
            break

    assert seen == ordered
    by_number = sorted(items, key=lambda item: item[1], reverse=descending[1])
    assert seen == sorted(by_number, key=lambda item: item[0], reverse=descending[0])


def test_an_order_names_attributes_and_directions() -> None:
    orders = compile_order(["name DESC, size", "tags.team asc"], ATTRIBUTES)

    assert [(order.get(TREE), order.is_descending) for order in orders] == [
        ("wine-tree", True), (3, False), ("x", False)
    ]  # fmt: skip
    for wrong in ("name UP", "name DESC NULLS", "", "nothing"):
        with pytest.raises(InvalidSearchError):
            compile_order([wrong], ATTRIBUTES)


def test_a_token_of_one_order_does_not_fit_another() -> None:
    _, token = page(["a", "b"], lambda item: (item,), 1, None, {"order_by": "name"})

    with pytest.raises(ApiError):
        page(["a", "b"], lambda item: (item,), 1, token, {"order_by": "name DESC"})
