"""A bare descriptor is no way around what a model's policy asks for."""

from model_store.core.catalogue import EMPTY, LogEntry, fold_all
from model_store.core.commands import Approve, Command, RegisterModel, SetPolicy
from model_store.core.control_records import Announced
from model_store.core.descriptor import Descriptor
from model_store.core.operations import OperationState, operation

TREE = Descriptor("tree", "wine", "PMML", location="/tree")


def told(*records):
    return fold_all(EMPTY, [LogEntry(offset, 1_000 * offset, record) for offset, record in enumerate(records)])


def asked(body, actor="ann"):
    return Command("", actor, "", body)


def test_an_announcement_without_its_approvals_is_registered_and_turns_no_route():
    catalogue = told(asked(RegisterModel("tree")), asked(SetPolicy("tree", approvals=1)), Announced(TREE))

    assert catalogue.models["tree"].latest == 1
    assert "wine" not in catalogue.routes
    view = operation(catalogue, 2, {"worker-1"})
    assert view.state is OperationState.FAILED
    assert "needs 1 approvals" in view.reason


def test_the_route_keeps_what_it_served_before_the_policy():
    catalogue = told(Announced(TREE), asked(SetPolicy("tree", approvals=1)), Announced(TREE))

    assert catalogue.routes["wine"].plan.primary.target.version == 1
    assert catalogue.models["tree"].latest == 2


def test_an_approval_of_an_older_version_does_not_count_for_a_newer_one():
    catalogue = told(
        Announced(TREE), asked(SetPolicy("tree", approvals=1)), asked(Approve("tree", 1, True)), Announced(TREE)
    )

    assert catalogue.routes["wine"].plan.primary.target.version == 1
