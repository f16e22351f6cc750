"""The fold's quick copies are those of `dataclasses.replace`, and never touch what was there before."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import logs

from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold, fold_all
from model_store.core.replacing import replace


def values_in(catalogue: Catalogue) -> list[Any]:
    """One value of each kind that the fold copies, as far as the catalogue has them."""
    found: list[Any] = [catalogue, *catalogue.routes.values(), *catalogue.models.values(), *catalogue.lanes.values()]
    for route in catalogue.routes.values():
        found += [*route.entries.values(), *(entry.plan for entry in route.entries.values() if entry.plan is not None)]
    found += [change for _, change in catalogue.changes.newest_first()]
    found += [worker for _, worker in catalogue.workers.newest_first()]
    return list({type(value): value for value in found}.values())


@settings(max_examples=30)
@given(logs(), st.data())
def test_a_copy_is_what_dataclasses_make_and_the_original_stays(log: list[LogEntry], data: st.DataObject) -> None:
    for value in values_in(fold_all(EMPTY, log)):
        before = dataclasses.replace(value)
        names = data.draw(st.sets(st.sampled_from([field.name for field in dataclasses.fields(value)])))
        changes = dict.fromkeys(names, "other")

        assert repr(replace(value, **changes)) == repr(dataclasses.replace(value, **changes))
        assert replace(value) == value == before
        assert type(replace(value)) is type(value)


@settings(max_examples=30)
@given(logs())
def test_a_step_of_the_fold_leaves_the_state_before_it_as_it_was(log: list[LogEntry]) -> None:
    catalogue = EMPTY
    for entry in log:
        before, looked = catalogue, repr(catalogue)

        catalogue = fold(catalogue, entry)

        assert repr(before) == looked
        assert catalogue is not before


def test_a_field_that_a_value_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match="Catalogue has no field 'ofset'"):
        replace(EMPTY, ofset=1)  # type: ignore[call-arg]  # the very mistake


def test_a_class_that_checks_itself_still_does() -> None:
    with pytest.raises(ValueError, match="never"):
        replace(Checked(1), number=-1)


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("never below 0")
