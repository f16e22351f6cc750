"""When a version was last routed to is found without looking at what was before the version."""

from hypothesis import given
from strategies import logs

from model_store.core.catalogue import EMPTY, Catalogue, LogEntry, fold_all
from model_store.core.fold_versions import last_routed_ms
from model_store.core.plans import Plan
from model_store.core.versions import ModelVersion


def looked_up(catalogue: Catalogue, version: ModelVersion) -> int:
    """The same, from all entries of all routes: where the newest that names it ended."""
    found = [version.published_at_ms]
    for route in catalogue.routes.values():
        entries = [route.entries[number] for number in range(len(route.entries))]
        ends = [*(entry.at_ms for entry in entries[1:]), 2**62][: len(entries)]
        naming = [end for entry, end in zip(entries, ends, strict=True) if names(entry.plan, version)]
        found += naming[-1:]
    return max(found)


def names(plan: Plan | None, version: ModelVersion) -> bool:
    return plan is not None and any((t.model, t.version) == (version.model, version.version) for t in plan.targets())


@given(logs())
def test_it_is_the_end_of_the_last_entry_that_names_it(log: list[LogEntry]) -> None:
    catalogue = fold_all(EMPTY, log)

    for version in catalogue.versions.values():
        assert last_routed_ms(catalogue, version) == looked_up(catalogue, version)
