"""Whose approval counts for which plan, and what is remembered of it."""

from dataclasses import replace

import pytest

from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold_all
from model_store.core.commands import Approve, ChangeRoute, Command, RegisterModel, RegisterVersion, SetPolicy
from model_store.core.control_records import ControlRecord
from model_store.core.descriptor import Descriptor
from model_store.core.plans import Plan, plain_plan

TREE = Descriptor("tree", "wine", "PMML", location="/tree")
SERVED = plain_plan("tree", 1, "wine")
OTHER = plain_plan("tree", 1, "another salt")
TWO_MUST_APPROVE = (RegisterModel("tree"), RegisterVersion(TREE), SetPolicy("tree", approvals=2))


def asked(body, actor="ann"):
    return Command("", actor, "", body)


def told(*bodies) -> Catalogue:
    records: list[ControlRecord] = [body if isinstance(body, Command) else asked(body) for body in bodies]
    return fold_all(EMPTY, [LogEntry(offset, 1_000 * offset, record) for offset, record in enumerate(records)])


def change(plan: Plan = SERVED) -> ChangeRoute:
    return ChangeRoute("wine", replace(plan, slots=()), "immediate")


def approve(actor: str, plan: Plan | None = None, is_approved: bool = True) -> Command:
    return asked(Approve("tree", 1, is_approved, plan.digest if plan is not None else ""), actor)


def test_an_approval_counts_for_every_plan_or_for_the_one_that_it_names():
    catalogue = told(*TWO_MUST_APPROVE, approve("ann"), approve("bob", SERVED), change())

    assert catalogue.outcomes.get(5).is_accepted


def test_an_approval_of_another_plan_does_not_count_and_is_told():
    outcome = told(*TWO_MUST_APPROVE, approve("ann"), approve("bob", OTHER), change()).outcomes.get(5)

    assert outcome.problem == "policy"
    assert outcome.reason.endswith("it has 1 (by ann); 1 more is on another plan")


def test_a_plan_without_a_salt_is_the_one_that_it_becomes():
    catalogue = told(
        *TWO_MUST_APPROVE, approve("ann", SERVED), approve("bob", SERVED), change(replace(SERVED, salt=""))
    )

    assert catalogue.outcomes.get(5).is_accepted
    assert catalogue.routes["wine"].plan.digest == SERVED.digest


@pytest.mark.parametrize(("plan", "is_refused"), [(None, True), (SERVED, True), (OTHER, False)])
def test_a_refusal_holds_for_every_plan_or_for_the_one_that_it_names(plan, is_refused):
    words = (approve("ann"), approve("bob"), approve("cid", plan, is_approved=False))

    assert (told(*TWO_MUST_APPROVE, *words, change()).outcomes.get(6).problem == "policy") == is_refused


def test_who_had_approved_when_a_plan_took_force_is_kept_whatever_they_say_later():
    later = (approve("ann", is_approved=False), approve("bob"), approve("cid"))
    catalogue = told(*TWO_MUST_APPROVE, approve("ann"), approve("bob", SERVED), change(), *later)

    _, entry = catalogue.routes["wine"].entry_of(5)
    assert dict(entry.approved) == {1: ("ann", "bob")}
