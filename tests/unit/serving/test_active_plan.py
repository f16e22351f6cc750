import numpy as np
import pytest
from serving_story import Story, plan, target

from model_store.core.plans import Speculation
from serving.core.active_plan import activate, shares
from serving.core.columns import TextColumn

ENTITIES = [b"e%d" % i for i in range(200)]


class Untouched:
    """Fails whoever looks at it."""

    def __getattribute__(self, name):
        raise AssertionError("a plan with one arm looked at its records")

    __iter__ = __len__ = __getitem__ = __getattribute__


def active(made, versions=3):
    story = Story(versions)
    entry = story.at_once("wine", made)
    return activate(story.catalogue, "wine", entry.change, entry.plan), entry.plan


def chosen(found, rows):
    """Row -> (arm, reason)."""
    placed = {}
    for share in found:
        for row in range(rows) if share.rows is None else share.rows.tolist():
            assert row not in placed, "a record belongs to two arms"
            placed[row] = (share.arm, share.reason)
    return placed


def numbers(*values):
    return {"x": np.array(values, np.float64)}


def test_a_plan_with_one_arm_looks_at_no_record():
    plain, _ = active(plan(1))

    found, failures = shares(plain, Untouched(), Untouched(), Untouched(), 5)

    assert not plain.chooses
    assert [(share.arm, share.reason, share.rows) for share in found] == [(0, "", None)]
    assert failures == {}


def test_slots_share_the_entities_out_and_an_entity_keeps_its_arm():
    made, _ = active(plan(1, 2, weights=(5_000, 5_000)))

    first = chosen(shares(made, ENTITIES, {}, {}, 200)[0], 200)
    turned = chosen(shares(made, ENTITIES[::-1], {}, {}, 200)[0], 200)

    assert set(first.values()) == {(0, "primary"), (1, "arm")}
    assert all(first[i] == turned[199 - i] for i in range(200))


@pytest.mark.parametrize("entity", [None, b""])
def test_a_record_without_an_entity_is_the_primarys(entity):
    made, _ = active(plan(1, 2, weights=(0, 10_000), pins={"f": "b"}))

    assert chosen(shares(made, [entity, b"e"], {}, {}, 2)[0], 2) == {0: (0, "primary"), 1: (1, "arm")}


def test_a_rule_goes_before_a_pin_and_a_pin_before_a_slot():
    made, _ = active(plan(1, 2, 3, weights=(0, 10_000, 0), pins={"p": "c"}, rules={"x > 5.0": "primary"}))

    found, failures = shares(made, [b"e", b"p", b"e", b"p"], numbers(1, 1, 9, 9), {}, 4)

    assert failures == {}
    assert chosen(found, 4) == {0: (1, "arm"), 1: (2, "pin"), 2: (0, "rule"), 3: (0, "rule")}


def test_of_several_rules_the_first_that_matches_wins():
    made, _ = active(plan(1, 2, 3, rules={"x > 5.0": "b", "x > 1.0": "c"}))

    found, _ = shares(made, [b"e"] * 3, numbers(0, 2, 9), {}, 3)

    assert chosen(found, 3) == {0: (0, "primary"), 1: (2, "rule"), 2: (1, "rule")}


def test_a_rule_over_a_text_reads_the_texts():
    made, _ = active(plan(1, 2, rules={'colour == "red"': "b"}))
    colours = TextColumn(np.array([0, 1, 0]), ["red", "white"])

    found, _ = shares(made, [b"e"] * 3, {}, {"colour": colours}, 3)

    assert chosen(found, 3) == {0: (1, "rule"), 1: (0, "primary"), 2: (1, "rule")}


def test_a_rule_that_names_no_field_of_the_stream_fails_every_record_and_guesses_for_none():
    made, _ = active(plan(1, 2, rules={"proof > 5.0": "b"}))

    found, failures = shares(made, [b"e"] * 2, numbers(1, 2), {}, 2)

    assert chosen(found, 2) == {}
    assert set(failures) == {0, 1}
    assert "rule 1 of route 'wine'" in failures[0]
    assert "proof" in failures[0]


COLOUR = {"colour": TextColumn(np.array([0, 0, 0]), ["red"])}


def test_only_the_records_fail_on_which_a_rule_cannot_be_evaluated():
    made, _ = active(plan(1, 2, rules={"x < 5.0 && colour > 1.0": "b"}))

    found, failures = shares(made, [b"e"] * 3, numbers(9, 1, 9), COLOUR, 3)

    assert chosen(found, 3) == {0: (0, "primary"), 2: (0, "primary")}
    assert set(failures) == {1}
    assert failures[1].startswith("rule 1 of route 'wine' cannot be evaluated: ")


def test_a_record_that_an_earlier_rule_took_does_not_fail_by_a_later_one():
    made, _ = active(plan(1, 2, 3, rules={"x > 5.0": "b", "x < 100.0 && colour > 1.0": "c"}))

    found, failures = shares(made, [b"e"] * 3, numbers(9, 1, 9), COLOUR, 3)

    assert chosen(found, 3) == {0: (1, "rule"), 2: (1, "rule")}
    assert set(failures) == {1}


def test_a_record_that_an_earlier_rule_failed_on_is_not_taken_by_a_later_one():
    made, _ = active(plan(1, 2, 3, rules={"x < 5.0 && colour > 1.0": "b", "x < 100.0": "c"}))

    found, failures = shares(made, [b"e"] * 3, numbers(9, 1, 9), COLOUR, 3)

    assert chosen(found, 3) == {0: (2, "rule"), 2: (2, "rule")}
    assert set(failures) == {1}


def test_a_batch_that_is_all_of_one_arm_is_not_split():
    made, _ = active(plan(1, 2, weights=(0, 10_000)))

    (share,), _ = shares(made, ENTITIES, {}, {}, 200)

    assert share.rows is None
    assert (share.arm, share.reason) == (1, "arm")


def test_an_activated_plan_names_every_version_by_its_control_offset():
    story = Story(versions=4)
    entry = story.at_once(
        "wine", plan(1, 2, dark=(target(3),), fallback=target(4), speculation=Speculation("first", 250))
    )

    made = activate(story.catalogue, "wine", entry.change, entry.plan)

    assert made.versions() == set(story.offset_of.values())
    assert [arm.name for arm in made.arms] == ["", "b"]
    assert (made.decider, made.timeout_seconds) == ("first", 0.25)
