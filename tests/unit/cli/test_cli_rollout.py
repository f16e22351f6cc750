"""How a rollout is steered while it moves."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import msgspec
import pytest

from sluice.cli.rollout import steered
from sluice.client import Client, StaleError, Target
from sluice.client.routing import Rollout, Told


def rollout_at(*told: tuple[int, str]) -> Rollout:
    """A rollout to which this happened: control offset and action."""
    story = tuple(Told(at=datetime(2026, 1, 1, tzinfo=UTC), control_offset=at, action=action) for at, action in told)
    return Rollout(
        id="5", key="wine", candidate=Target(model="tree", version="2"), state="running", story=story,
        revision=told[-1][0],
    )  # fmt: skip


def answering(now: Rollout) -> tuple[Client, list[str]]:
    """A client of an API where the rollout is so by now, and what it is asked."""
    asked = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.headers.get('If-Match', '')}".strip())
        if request.method == "GET" or request.headers["If-Match"] == f'"{now.revision}"':
            return httpx.Response(200, content=msgspec.json.encode(now))
        return httpx.Response(412, json={"type": "/problems/stale", "title": "stale", "detail": "by now it is another"})

    return Client("http://api.test", transport=httpx.MockTransport(respond)), asked


def test_a_step_that_was_taken_meanwhile_does_not_keep_anybody_from_steering():
    read, now = rollout_at((5, "started")), rollout_at((5, "started"), (9, "step"))
    client, asked = answering(now)

    with client:
        found = steered(client, read, "pause", "look", False)

    assert found.revision == 9
    assert asked == ['POST "5"', "GET", 'POST "9"']


@pytest.mark.parametrize("decided", ["pause", "promote", "rollback", "superseded"])
def test_what_somebody_else_or_a_guard_decided_meanwhile_is_shown_first(decided):
    read, now = rollout_at((5, "started")), rollout_at((5, "started"), (9, "step"), (12, decided))
    client, asked = answering(now)

    with client, pytest.raises(StaleError):
        steered(client, read, "abort", "enough", False)

    assert asked == ['POST "5"', "GET"]
