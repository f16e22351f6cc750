"""What a person sees while an operation goes on, and when it is over."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from rich.console import Console

from sluice.cli.progress import _view, follow, happened, tell_done, tell_failed
from sluice.client import Client
from sluice.client.answers import Cut, Operation, Outcome


def operation(**said: Any) -> Operation:
    return Operation(
        **{
            "id": "op-42",
            "kind": "change",
            "state": "running",
            "mode": "exact",
            "phase": "prepared",
            "key": "wine",
            "model": "tree",
            "version": "3",
            "control_offset": 42,
            "created_at": datetime(2026, 3, 1, tzinfo=UTC),
            **said,
        }
    )


def cuts(*promised: int | None) -> tuple[Cut, ...]:
    return tuple(
        Cut(group="g", topic="records", partition=number, owner=f"w{number}", cut=cut)
        for number, cut in enumerate(promised)
    )


def answering(*found: Operation) -> Client:
    left = list(found)

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=msgspec.json.encode(left.pop(0) if len(left) > 1 else left[0]))

    return Client("http://api.test", transport=httpx.MockTransport(respond))


def test_each_worker_and_each_partition_is_told_once(capsys):
    story = [
        operation(),
        operation(ready=("w0",)),
        operation(ready=("w0", "w1"), phase="proposed", cuts=cuts(None, 7)),
        operation(
            ready=("w0", "w1"), phase="committed", cuts=cuts(5, 7), state="succeeded", message="exact at 2 partitions"
        ),
    ]

    with answering(story[0], *story) as client:
        follow(client, "op-42", True, 60, False)

    assert capsys.readouterr().out.splitlines() == [
        "  w0: ready",
        "  w1: ready",
        "  records/1: w1 begins at offset 7",
        "  records/0: w0 begins at offset 5",
        "op-42: wine is served by its new plan (primary tree version 3): exact at 2 partitions.",
        "  from records (g) 0@5, 1@7",
    ]


def test_a_failure_is_exit_status_one_on_standard_error(capsys):
    with answering(operation(state="failed", phase="aborted", message="w1 is gone")) as client:
        with pytest.raises(SystemExit) as ended:
            follow(client, "op-42", True, 60, False)

    said = capsys.readouterr()
    assert ended.value.code == 1
    assert said.out == ""
    assert "op-42 failed: w1 is gone" in said.err
    assert "sluice routes show wine" in said.err


def test_time_that_is_over_is_exit_status_five_and_says_how_to_go_on(capsys):
    with answering(operation(message="waits for w1 to load")) as client, pytest.raises(SystemExit) as ended:
        follow(client, "op-42", True, 0, False)

    said = capsys.readouterr().err
    assert ended.value.code == 5
    assert "op-42 is not done after 0 s: waits for w1 to load" in said
    assert "sluice operations abort op-42" in said


def test_whoever_does_not_wait_is_told_where_to_look(capsys):
    with answering(operation()) as client:
        assert follow(client, "op-42", False, 60, False) is None

    assert "sluice operations show op-42 --wait" in capsys.readouterr().out


def test_where_no_worker_is_running_nobody_waits_for_one(capsys):
    asked = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append("wait" in request.url.params)
        return httpx.Response(200, content=msgspec.json.encode(operation(mode="immediate", total=0)))

    with Client("http://api.test", transport=httpx.MockTransport(respond)) as client:
        follow(client, "op-42", True, 60, False)

    assert asked == [False]
    assert "it takes effect when one starts" in capsys.readouterr().out


def test_for_programs_there_is_one_line_of_json_whatever_happens(capsys):
    done = operation(state="succeeded", phase="committed", message="exact")
    with answering(operation(), operation(ready=("w0",)), done) as client:
        follow(client, "op-42", True, 60, True)

    (line,) = capsys.readouterr().out.splitlines()
    assert msgspec.json.decode(line)["state"] == "succeeded"


def test_leaving_it_says_that_it_goes_on(capsys):
    def respond(request: httpx.Request) -> httpx.Response:
        if "wait" in request.url.params:
            raise KeyboardInterrupt
        return httpx.Response(200, content=msgspec.json.encode(operation()))

    with Client("http://api.test", transport=httpx.MockTransport(respond)) as client:
        with pytest.raises(SystemExit) as ended:
            follow(client, "op-42", True, 60, False)

    assert ended.value.code == 130
    assert "op-42 goes on." in capsys.readouterr().err


def test_of_an_immediate_change_each_worker_is_told(capsys):
    refused = Outcome(worker="w1", state="refused", reason="damaged")
    found = operation(mode="immediate", total=2, workers=(Outcome(worker="w0", state="pending"), refused))

    assert happened(found) == ["  w1: refused: damaged"]
    tell_failed(found)
    assert "op-42 failed" in capsys.readouterr().err


def test_a_route_that_serves_nothing_any_more_is_told_so(capsys):
    tell_done(operation(state="succeeded", model="", version=None, message="exact at 1 partition", cuts=cuts(3)))

    assert capsys.readouterr().out.startswith("op-42: wine is served by nothing: exact at 1 partition.")


def test_the_screen_has_a_line_for_each_worker_and_each_partition():
    console = Console(width=100, record=True, file=io.StringIO())
    workers = (Outcome(worker="w0", is_live=True, state="pending"), Outcome(worker="w1", is_live=True, state="pending"))

    console.print(_view(operation(ready=("w0",), cuts=cuts(5, None), workers=workers, message="waits for w1 to load")))

    shown = [" ".join(line.split()) for line in console.export_text().splitlines() if line.strip()]
    assert shown == [
        "op-42 running, prepared: workers load it",
        "waits for w1 to load",
        "w0 ready",
        "w1 loads it",
        "records/0 w0: begins at offset 5",
        "records/1 w1: has not promised yet",
    ]
