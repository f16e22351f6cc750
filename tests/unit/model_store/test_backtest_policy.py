"""A back-test counts by the limits of the model's policy, whatever whoever asked for it was content with."""

import json

import pytest

from model_store.core.catalogue import EMPTY, LogEntry, fold_all
from model_store.core.commands import (
    ChangeRoute,
    ClaimJob,
    Command,
    RegisterVersion,
    ReportJob,
    RequestJob,
    SetPolicy,
    SetStage,
)
from model_store.core.control_records import Announced
from model_store.core.descriptor import Descriptor
from model_store.core.plans import plain_plan

TREE = Descriptor("tree", "wine", "PMML", location="/tree", sha256=b"x" * 32)


def told(*bodies):
    records = [body if isinstance(body, Announced) else Command("", "ann", "", body) for body in bodies]
    return fold_all(EMPTY, [LogEntry(offset, 1_000 * offset, record) for offset, record in enumerate(records)])


def report(paired=1_000, rate=0.0, failed=0):
    errors = {"candidate": {"score": {"records": failed}}} if failed else {"candidate": {}}
    return json.dumps({"records": paired + failed, "paired": paired, "disagreement": {"rate": rate}, "errors": errors})


def backtested(policy, text, verdict="passed"):
    return told(
        RegisterVersion(TREE), policy, RequestJob("backtest", "{}", "tree", 1), ClaimJob(2, "w1", "e1"),
        ReportJob(2, "succeeded", "w1", "e1", verdict, text), ChangeRoute("wine", plain_plan("tree", 1), "immediate"),
    )  # fmt: skip


STRICT = SetPolicy("tree", needs_backtest=True, backtest_records=500, backtest_disagreement=0.1, backtest_errors=0.01)


@pytest.mark.parametrize(
    ("text", "verdict", "may_serve"),
    [
        (report(), "passed", True),
        (report(), "", True),
        (report(), "failed", False),
        (report(paired=499), "passed", False),
        (report(rate=0.2), "passed", False),
        (report(failed=100), "passed", False),
        ("", "passed", False),
        ("[1]", "passed", False),
        ('{"records": "many"}', "passed", False),
    ],
)
def test_the_policy_says_which_back_test_is_enough(text, verdict, may_serve):
    catalogue = backtested(STRICT, text, verdict)

    assert ("wine" in catalogue.routes) is may_serve
    assert catalogue.outcomes.get(5).problem == ("" if may_serve else "policy")


def test_a_share_that_is_none_is_no_policy():
    catalogue = told(RegisterVersion(TREE), SetPolicy("tree", needs_backtest=True, backtest_errors=1.5))

    assert catalogue.outcomes.get(1).problem == "invalid"
    assert not catalogue.models["tree"].policy.needs_backtest


def test_a_later_policy_does_not_block_the_way_back():
    catalogue = told(
        Announced(TREE),
        Announced(TREE),
        SetPolicy("tree", approvals=2),
        ChangeRoute("wine", plain_plan("tree", 1), "immediate"),
    )

    assert catalogue.outcomes.get(3).is_accepted
    assert catalogue.routes["wine"].plan.primary.target.version == 1


def test_the_name_of_a_deleted_model_stays_taken_for_announcements_too():
    catalogue = told(RegisterVersion(TREE), SetStage("tree", 0, "deleted"), Announced(TREE))

    assert catalogue.models["tree"].latest == 1
    assert "wine" not in catalogue.routes
    assert "deleted" in catalogue.rejected.get(2).reason
