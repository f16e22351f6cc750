"""Random histories of routes that are cut over: whatever crashes, moves, comes late or twice, every visible result was
scored by the plan that the log names for its offset. Leaving out any one rule is found by the same machine."""

from __future__ import annotations

from typing import ClassVar

import pytest
from cutover_model import (
    KEYS,
    Fold,
    Rules,
    System,
    Worker,
    aborted,
    changed,
    with_only_the_lanes_that_were_named,
    without_claim_check,
)
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from model_store.core.catalogue import EMPTY, Catalogue, fold, fold_all
from model_store.core.changes import ChangeState
from model_store.core.commands import ProposeChange
from model_store.core.lanes import Lane

indexes = st.integers(0, 11)
few = st.integers(0, 4)
seldom = st.sampled_from([False, False, False, True])


class CutOvers(RuleBasedStateMachine):
    """See `cutover_model.System`."""

    obeyed: ClassVar[Rules] = Rules()
    exactly_once: ClassVar[bool] = True
    folded: ClassVar[Fold] = staticmethod(fold)

    def __init__(self) -> None:
        super().__init__()
        self.system = System(self.obeyed, exactly_once=self.exactly_once, folded=type(self).folded)
        self.workers = list(self.system.workers)

    @initialize(partitions=st.integers(1, 2), is_served=st.booleans(), stage=st.integers(0, 2))
    def begin(self, partitions: int, is_served: bool, stage: int) -> None:
        """Lanes are owned, and perhaps a change has come so far as to be asked for, or proposed."""
        system = self.system
        if is_served:
            system.command(changed(KEYS[0], 1, "exact"))
            system.command(ProposeChange(system.catalogue.offset, ()))
        for partition in range(partitions):
            system.add_partition(3)
            system.assign(partition, system.workers[self.workers[partition]], True, False)
        for worker in system.workers.values():
            system.read(worker, 99)
        if stage > 0:
            system.command(changed(KEYS[0], 2, "exact"))
        if stage > 1:
            self.a_replica_proposes(0, 0)
            self.all_workers_read(99)

    @rule(parts=st.integers(0, 63), count=st.integers(1, 4))
    def everything_goes_on(self, parts: int, count: int) -> None:
        """The ordinary course of things, or some of it."""
        system = self.system
        if parts & 1:
            system.ends = [end + count for end in system.ends]
        if parts & 2:
            self.a_replica_proposes(0, 0)
        if parts & 4:
            self.all_workers_read(99)
        if parts & 8:
            self.all_workers_say_what_they_have_to(count % 3)
        owners = [owner for owner in system.owners if owner is not None]
        for owner in owners if parts & 16 else ():
            system.score(owner, 2 * count)
        for owner in owners if parts & 32 else ():
            system.commit(owner)

    @rule(parts=st.integers(0, 63), count=st.integers(1, 4))
    def everything_goes_on_and_on(self, parts: int, count: int) -> None:
        for _ in range(2):
            self.everything_goes_on(parts, count)

    @rule(index=indexes, count=st.integers(1, 4))
    def records_arrive(self, index: int, count: int) -> None:
        self.system.ends[index % len(self.system.ends)] += count

    @precondition(lambda self: len(self.system.ends) < 3)
    @rule(count=few)
    def a_partition_is_added(self, count: int) -> None:
        self.system.add_partition(count)

    @rule(index=indexes, count=st.sampled_from([1, 3, 99]))
    def a_worker_reads_the_log(self, index: int, count: int) -> None:
        self.system.read(self.worker(index), count)

    @rule(index=indexes, margin=few, is_late=st.booleans())
    def a_worker_says_what_it_has_to(self, index: int, margin: int, is_late: bool) -> None:
        self.system.say(self.worker(index), margin, is_late)

    @rule(margin=few)
    def all_workers_say_what_they_have_to(self, margin: int) -> None:
        for worker in list(self.system.workers.values()):
            self.system.say(worker, margin, False)

    @rule(count=st.sampled_from([1, 3, 99]))
    def all_workers_read(self, count: int) -> None:
        for worker in self.system.workers.values():
            self.system.read(worker, count)

    @rule(index=indexes, partition=indexes, count=st.integers(1, 6))
    def a_worker_scores(self, index: int, partition: int, count: int) -> None:
        worker = self.worker(index)
        if worker.owns:
            self.system.score(list(worker.owns.values())[partition % len(worker.owns)], count)

    @rule(partition=indexes, count=st.integers(1, 6))
    def the_owner_scores_and_commits(self, partition: int, count: int) -> None:
        owner = self.system.owners[partition % len(self.system.owners)]
        if owner is not None:
            self.system.score(owner, count)
            self.system.commit(owner)

    @rule(index=indexes, partition=indexes)
    def a_worker_commits(self, index: int, partition: int) -> None:
        worker = self.worker(index)
        if worker.owns:
            self.system.commit(list(worker.owns.values())[partition % len(worker.owns)])

    @rule(partition=indexes)
    def a_transaction_fails(self, partition: int) -> None:
        owner = self.system.owners[partition % len(self.system.owners)]
        if owner is not None:
            self.system.give_up(owner)

    @precondition(lambda self: self.system.flying)
    @rule(index=indexes, is_copied=seldom)
    def a_record_arrives_late(self, index: int, is_copied: bool) -> None:
        place = index % len(self.system.flying)
        self.system.append(self.system.flying[place])
        if not is_copied:
            del self.system.flying[place]

    @rule(partition=indexes, index=indexes, is_orderly=seldom, is_late=st.booleans())
    def a_partition_moves(self, partition: int, index: int, is_orderly: bool, is_late: bool) -> None:
        self.system.assign(partition % len(self.system.ends), self.worker(index), is_orderly, is_late)

    @rule(partition=indexes, heir=indexes, count=st.integers(1, 4))
    def a_worker_stands_still_while_its_partition_moves(self, partition: int, heir: int, count: int) -> None:
        """What it had to say is on its way when it stops; the next owner scores on."""
        system, place = self.system, partition % len(self.system.ends)
        owner = system.owners[place]
        if owner is not None:
            system.read(owner.worker, 99)
            for record in owner.says(system.ends[place], 0, self.obeyed):
                system.write(record, True)
            system.score(owner, count)
            system.commit(owner)
        system.assign(place, self.worker(heir), False, False)
        self.the_heir_scores(place, count)

    @rule(partition=indexes, zombie=indexes, heir=indexes, count=st.integers(1, 4))
    def a_claim_comes_when_the_partition_is_elsewhere(self, partition: int, zombie: int, heir: int, count: int) -> None:
        system, place = self.system, partition % len(self.system.ends)
        system.assign(place, self.worker(zombie), False, True)
        system.assign(place, self.worker(heir), False, False)
        self.the_heir_scores(place, count)
        system.append(system.flying.pop())

    @precondition(lambda self: len(self.system.ends) < 3)
    @rule(index=indexes, count=st.integers(1, 4), version=st.integers(1, 4))
    def a_partition_is_added_behind_a_replicas_back(self, index: int, count: int, version: int) -> None:
        system = self.system
        system.command(changed(KEYS[0], version, "exact"))
        seen = system.catalogue
        system.add_partition(count)
        place = len(system.ends) - 1
        system.assign(place, self.worker(index), True, False)
        self.propose(seen, tuple(sorted(seen.lanes)))
        owner = system.owners[place]
        assert owner is not None
        system.read(owner.worker, 99)
        system.score(owner, count)

    @rule(index=indexes, heir=indexes)
    def a_worker_crashes(self, index: int, heir: int) -> None:
        left = self.system.crash(self.worker(index))
        for partition in left if heir < 9 else ():
            self.system.assign(partition, self.worker(heir), False, False)

    @rule(key=st.sampled_from([KEYS[0], *KEYS]), version=few, is_immediate=st.booleans())
    def a_change_is_asked_for(self, key: str, version: int, is_immediate: bool) -> None:
        self.system.command(changed(key, version, "immediate" if is_immediate and self.exactly_once else "exact"))

    @rule(behind=st.sampled_from([0, 0, 1, 3]), left_out=st.sampled_from([0, 0, 0, 1, 2]))
    def a_replica_proposes(self, behind: int, left_out: int) -> None:
        """With exactly once it may leave out lanes, such as those of a group that is away."""
        seen = self.system.seen(behind)
        self.propose(seen, tuple(sorted(seen.lanes)[left_out if self.exactly_once else 0 :]))

    @rule(behind=few)
    def a_replica_aborts(self, behind: int) -> None:
        for change_id in sorted(self.system.seen(behind).open_changes)[:1]:
            self.system.command(aborted(change_id))

    def teardown(self) -> None:
        """Late records arrive, and a reader that begins anew comes to the same end."""
        for record in self.system.flying:
            self.system.append(record)
        assert self.system.violations() == []
        if type(self).folded is fold:
            assert fold_all(EMPTY, self.system.log) == self.system.catalogue

    def propose(self, seen: Catalogue, lanes: tuple[Lane, ...]) -> None:
        """A replica proposes what it takes for prepared."""
        for change_id in sorted(seen.open_changes):
            change = seen.changes.get(change_id)
            if change is not None and change.state is ChangeState.PREPARED:
                self.system.command(ProposeChange(change_id, lanes))

    def the_heir_scores(self, place: int, count: int) -> None:
        system = self.system
        system.ends[place] += count
        owner = system.owners[place]
        assert owner is not None
        system.read(owner.worker, 99)
        system.score(owner, 2 * count)
        system.commit(owner)

    def worker(self, index: int) -> Worker:
        return self.system.workers[self.workers[index % len(self.workers)]]


SETTINGS = settings(
    max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck), print_blob=False
)


class AtLeastOnce(CutOvers):
    """Each result is visible at once, and records are scored again after a crash."""

    exactly_once = False


TestExactlyOnce = CutOvers.TestCase
TestExactlyOnce.settings = SETTINGS
TestAtLeastOnce = AtLeastOnce.TestCase
TestAtLeastOnce.settings = SETTINGS


def broken(at_least_once: bool = False, folded: Fold = fold, **left_out: bool) -> type[CutOvers]:
    members = {"obeyed": Rules(**left_out), "exactly_once": not at_least_once, "folded": staticmethod(folded)}
    return type("Broken", (CutOvers,), members)


MUTANTS = {
    "the gate": broken(waits_for_claim=False),
    "the hold": broken(holds=False),
    "the claim check": broken(folded=without_claim_check),
    "turns": broken(takes_turns=False),
    "waiting for what was applied": broken(waits_for_applied=False),
    "the end": broken(at_least_once=True, looks_at_end=False),
    "lanes that were claimed meanwhile": broken(at_least_once=True, folded=with_only_the_lanes_that_were_named),
}


@pytest.mark.parametrize("left_out", MUTANTS)
def test_a_system_that_leaves_out_a_rule_is_found_out(left_out: str) -> None:
    searching = settings(
        SETTINGS,
        max_examples=3_000,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
    )

    with pytest.raises(AssertionError, match="the log says"):
        run_state_machine_as_test(MUTANTS[left_out], settings=searching)
