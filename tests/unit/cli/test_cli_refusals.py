"""What a person is told when the API refuses, and the help of every command of a group."""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from sluice.cli import SUBCOMMANDS, app
from sluice.cli.apply import _check_unmoved, differences, served
from sluice.cli.connection import connected
from sluice.cli.route_files import RouteFile
from sluice.client import ApiError, Arm, Client, ConflictError, Plan, StaleError
from sluice.client.answers import Route

GROUPS = {
    "models": ("list", "show", "set", "delete"),
    "versions": ("list", "show", "set", "retire", "restore", "delete", "approve", "refuse"),
    "alias": ("list", "set", "delete"),
    "routes": ("list", "show", "export"),
    "route": ("set", "rollback", "delete"),
    "rollout": ("start", "list", "show", "watch", "pause", "resume", "promote", "abort"),
    "operations": ("show", "abort"),
    "backtest": ("start", "show", "list", "cancel"),
    "correct": ("start", "show", "list", "cancel"),
}
READS = ("list", "show", "export", "watch")


def ended_by(error: Exception, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    with pytest.raises(SystemExit) as ended, connected("http://127.0.0.1:9", Path()):
        raise error
    return ended.value.code, capsys.readouterr().err


def test_whoever_was_second_is_told_so_and_that_nothing_was_written(capsys):
    error = StaleError(412, "It has changed meanwhile", "by now wine has revision 9")
    error.revision = 9

    status, said = ended_by(error, capsys)

    assert status == 1
    assert "by now wine has revision 9" in said
    assert "Somebody else was first, and nothing was written. It is at revision 9 now." in said


@pytest.mark.parametrize(
    ("error", "status"), [(ConflictError(409, "It may not be done now", "why"), 1), (ApiError(500, "Internal"), 4)]
)
def test_a_refusal_is_status_one_and_another_problem_is_status_four(error, status, capsys):
    assert ended_by(error, capsys)[0] == status


def test_the_table_of_groups_is_complete():
    assert {name for name, subcommand in SUBCOMMANDS.items() if subcommand.is_group} == set(GROUPS)


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, names in GROUPS.items() for name in names])
def test_every_command_explains_itself_and_every_write_can_be_tried_first(group, name):
    done = CliRunner().invoke(app(), [group, name, "--help"], prog_name="sluice", env={"COLUMNS": "200"})

    assert done.exit_code == 0, done.output
    assert f"Usage: sluice {group} {name}" in done.output
    for option in ("--dry-run", "--reason", "--actor"):
        assert (option in done.output) == (name not in READS), option


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("route", "set", "wine", "--model", "tree"), "either --version or --alias"),
        (("route", "set", "wine", "--model", "tree", "--version", "x"), "expected a number"),
        (("route", "set", "wine", "--model", "t", "--version", "1", "--rule", "a > 1"), "expected 'CEL=>ARM'"),
        (("route", "set", "wine", "--model", "t", "--version", "1", "--pin", "a"), "expected ENTITY=ARM"),
        (("route", "set", "wine", "--model", "t", "--version", "1", "--mode", "now"), "expected exact or immediate"),
        (("route", "rollback", "wine", "--to", "tree:champion"), "expected previous or MODEL:VERSION"),
        (("rollout", "start", "wine", "--model", "t", "--version", "1", "--steps", "5%"), "the last is 100 %"),
        (("rollout", "start", "wine", "--model", "t", "--version", "1", "--guard", "psi"), "expected SIGNAL<=LIMIT"),
        (("models", "set", "tree"), "say what is to be set"),
        (("alias", "set", "tree", "champion", "latest"), "expected the number of a version"),
        (("backtest", "start", "tree:1", "--stream", "wine"), "say which records"),
        (("publish", "x.pb", "--for", "wine", "--mode", "later"), "expected exact or immediate or none"),
        (("routes", "wine"), "No such command 'wine'"),
    ],
)
def test_a_wrong_command_line_is_told_before_anything_is_asked(arguments, complaint):
    done = CliRunner().invoke(
        app(), [*arguments, "--api", "http://127.0.0.1:9"], prog_name="sluice", env={"COLUMNS": "300"}
    )

    assert done.exit_code == 2, done.output
    assert complaint in done.stderr


def routes_client(*revisions: int) -> Client:
    """A client that finds the route `wine` on these revisions, one a look."""
    left = list(revisions)
    plan = Plan(arms=(Arm(model="tree", version="1"),))

    def respond(request: httpx.Request) -> httpx.Response:
        route = Route(key="wine", plan=plan, revision=left.pop(0))
        return httpx.Response(200, content=msgspec.json.encode({"deployments": [route], "next_page_token": None}))

    return Client("http://api.test", transport=httpx.MockTransport(respond))


@pytest.mark.parametrize(("later", "is_refused"), [(5, False), (6, True)])
def test_a_route_that_moved_while_the_plan_was_read_is_not_applied(later, is_refused, capsys):
    files = {"wine": RouteFile("wine.yaml:1", "wine", Plan(arms=(Arm(model="tree", version="2"),)))}
    with routes_client(5, later) as client:
        shown = differences(files, served(client, files), False)
        if not is_refused:
            _check_unmoved(client, shown, files, False)
            return
        with pytest.raises(SystemExit) as ended:
            _check_unmoved(client, shown, files, False)

    assert ended.value.code == 1
    assert "changed since the plan was shown: wine." in capsys.readouterr().err
