"""The law of a lane: whatever the order in which batches come back, a commit never covers an unfinished one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.feed.lanes import NOWHERE, Lane, Ticket

Step = tuple[str, int]

steps = st.lists(
    st.tuples(st.sampled_from(["hand_out", "give_back", "acknowledge", "commit", "refuse"]), st.integers(0, 5)),
    max_size=60,
)


class Replay:
    """A lane, and beside it the plain list of what was handed out."""

    def __init__(self, start: int) -> None:
        self.lane = Lane("records", 0)
        self.lane.place(start, origin=1)
        self.start = start
        self.tickets: list[Ticket] = []

    def apply(self, step: Step) -> None:
        action, number = step
        unreturned = [ticket for ticket in self.tickets if not ticket.is_returned]
        waiting = [ticket for ticket in self.tickets if ticket.delivered < ticket.expected]
        if action == "hand_out":
            self.tickets.append(self.lane.hand_out(self.lane.position + 1 + number, now=0.0))
        elif action == "give_back" and unreturned:
            ticket = unreturned[number % len(unreturned)]
            ticket.expected = number
            ticket.is_returned = True
        elif action == "acknowledge" and waiting:
            waiting[number % len(waiting)].delivered += 1
        elif action == "commit" and (due := self.lane.due()) is not None:
            self.lane.committed = due
        elif action == "refuse":
            self.lane.committed = NOWHERE

    @property
    def safe(self) -> int:
        """The offset below which everything is finished, by counting."""
        offset = self.start
        for ticket in self.tickets:
            if not (ticket.is_returned and ticket.delivered == ticket.expected):
                return offset
            offset = ticket.next_offset
        return offset


@given(st.integers(0, 1_000), steps)
def test_finished_is_the_front_of_what_is_finished(start: int, history: list[Step]) -> None:
    replay = Replay(start)

    for step in history:
        replay.apply(step)

        assert replay.lane.advance() == replay.safe


@given(st.integers(0, 1_000), steps)
def test_a_commit_is_due_exactly_while_the_group_has_less_than_is_finished(start: int, history: list[Step]) -> None:
    replay = Replay(start)

    for step in history:
        replay.apply(step)

        due = replay.lane.due()
        assert due == (replay.safe if replay.safe > replay.lane.committed else None)


@given(steps)
def test_a_lane_is_busy_exactly_while_an_agent_holds_a_batch(history: list[Step]) -> None:
    replay = Replay(0)

    for step in history:
        replay.apply(step)

        assert replay.lane.is_busy == any(not ticket.is_returned for ticket in replay.tickets)
        assert (replay.lane.oldest_held() is not None) == replay.lane.is_busy


def test_a_lane_never_goes_back() -> None:
    lane = Lane("records", 0)
    lane.place(10, origin=1)

    with pytest.raises(ValueError, match="go back from 10 to 10"):
        lane.hand_out(10, now=0.0)


def test_a_lane_without_a_start_has_nothing_to_commit() -> None:
    lane = Lane("records", 0)

    assert not lane.is_placed
    assert lane.due() is None
