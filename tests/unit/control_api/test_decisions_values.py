"""What is said of a record whose fields decide."""

import pytest
from immutables import Map

from control_api.core.decisions import decisions
from model_store.core.catalogue import EMPTY, LogEntry, fold_all
from model_store.core.commands import ChangeRoute, Command, RegisterVersion
from model_store.core.control_records import PartitionOffset, PartitionsClaimed, RouteApplied
from model_store.core.descriptor import Descriptor
from model_store.core.lanes import Lane
from model_store.core.plans import Arm, Plan, Rule, Target

START = PartitionOffset("t", 0, 0)
ARMS = (Arm("a", Target("m", 1), 10_000), Arm("b", Target("m", 2), 0))


def decided(plan, entity):
    version = Command("", "ann", "", RegisterVersion(Descriptor("m", "wine", "PMML", location="/m")))
    records = (
        PartitionsClaimed("w", "e", "c", "g", (START,)),
        version,
        version,
        Command("", "ann", "", ChangeRoute("wine", plan, "immediate")),
        RouteApplied("w", 3, "wine", "c", "g", (START,)),
    )
    catalogue = fold_all(EMPTY, [LogEntry(offset, offset, record) for offset, record in enumerate(records)])
    (found,) = decisions(catalogue, Lane("g", "t", 0), 5, "wine", entity)
    return found.version, found.arm, found.reason


def test_where_a_rule_may_lead_elsewhere_the_version_is_not_said():
    assert decided(Plan(ARMS, rules=(Rule("x > 1.0", "b"),)), b"e") == (None, None, "rule")


def test_where_all_rules_lead_to_the_same_arm_it_is_said():
    assert decided(Plan(ARMS, rules=(Rule("x > 1.0", "a"),)), b"e") == ("1", "a", "rule")


@pytest.mark.parametrize(
    ("entity", "expected"), [(b"e", ("1", "a", "primary")), (b"p", ("2", "b", "pin")), (None, (None, None, "arm"))]
)
def test_without_rules_the_entity_decides(entity, expected):
    assert decided(Plan(ARMS, pins=Map({"p": "b"})), entity) == expected
