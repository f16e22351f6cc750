"""The commands of the control plane against a real control API on a real Kafka."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_processes import PMML, Replica
from driver_worker import DutifulWorker
from structlog.testing import capture_logs
from typer.testing import CliRunner

from sluice import Client
from sluice.cli import app

pytestmark = pytest.mark.kafka


@pytest.fixture(autouse=True)
def _log_apart_from_the_commands_output() -> Iterator[None]:
    """The replica is a thread of this process, whose standard output is the command's."""
    with capture_logs():
        yield


@pytest.fixture
def replica(place: Any) -> Replica:
    """A replica with a model `tree` of three versions that nothing is routed to."""
    made: Replica = place.replica()
    with Client(made.url) as client:
        for _ in range(3):
            client.publish(PMML, for_="wine", name="tree", mode="none")
    return made


@pytest.fixture
def worker(place: Any) -> Iterator[DutifulWorker]:
    """A worker that keeps the protocol."""
    started = DutifulWorker(place.kafka, place.control_topic, place.data_topic, place.group, "w1")
    yield started
    started.stop()


def sluice(replica: Replica, *arguments: str, is_fine: bool = True) -> Any:
    done = CliRunner().invoke(
        app(), [*arguments, "--api", replica.url], prog_name="sluice", env={"SLUICE_ACTOR": "anna"}
    )
    assert (done.exit_code == 0) == is_fine, done.output
    return done


def said(text: str) -> str:
    """Without the line breaks and the frame that a terminal's width makes."""
    return " ".join(text.replace("│", " ").split())


def test_a_model_is_described_and_found_by_its_tag(replica: Replica) -> None:
    sluice(replica, "models", "set", "tree", "--owner", "cellar", "--tag", "team=a", "--approvals", "1")

    assert "cellar" in sluice(replica, "models", "list", "--filter", "tags.team = 'a'").stdout
    shown = sluice(replica, "models", "show", "tree").stdout
    assert "team=a" in shown
    assert "1 approval" in shown
    assert "No model is like that" in sluice(replica, "models", "list", "--filter", "tags.team = 'b'").stdout


def test_a_version_is_approved_retired_and_deleted(replica: Replica) -> None:
    approved = sluice(replica, "versions", "approve", "tree", "3", "--reason", "tested").stdout
    retired = sluice(replica, "versions", "retire", "tree", "2").stdout
    dry = sluice(replica, "versions", "delete", "tree", "2", "--dry-run").stdout
    sluice(replica, "versions", "delete", "tree", "2")

    assert "approved by anna" in approved
    assert retired == "tree version 2 is retired.\n"
    assert dry == "tree version 2 would be deleted; nothing was written.\n"
    versions = json.loads(sluice(replica, "versions", "list", "tree", "--json").stdout)
    assert [version["version"] for version in versions] == ["3", "1"]


def test_an_alias_moves_and_says_which_routes_follow_it(replica: Replica) -> None:
    assert "Nothing was written" in sluice(replica, "alias", "set", "tree", "champion", "1", "--dry-run").stdout
    sluice(replica, "alias", "set", "tree", "champion", "1")
    sluice(replica, "route", "set", "wine", "--model", "tree", "--alias", "champion", "--no-wait")

    moved = sluice(replica, "alias", "set", "tree", "champion", "2", "--reason", "better").stdout

    assert "points to version 2, before version 1" in moved
    assert "Routes that follow it are moved now: wine" in moved
    assert sluice(replica, "alias").stdout.splitlines()[1].split() == ["tree", "champion", "2"]
    refused = sluice(replica, "alias", "delete", "tree", "champion", is_fine=False)
    assert refused.exit_code == 1
    assert "wine" in refused.stderr


def test_without_a_worker_nobody_waits_for_one(replica: Replica) -> None:
    done = sluice(replica, "route", "set", "wine", "--model", "tree", "--version", "1")

    assert "No worker is running: it takes effect when one starts" in done.stdout


def test_a_dry_run_of_a_route_shows_the_difference_and_writes_nothing(replica: Replica) -> None:
    arguments = (
        "route",
        "set",
        "wine",
        "--model",
        "tree",
        "--version",
        "1",
        "--arm",
        "canary=tree:2:10",
        "--dark",
        "tree:3",
    )

    shown = sluice(replica, *arguments, "--dry-run").stdout

    assert "+  - {name: primary, model: tree, version: '1', weight: 90}" in shown
    assert "+  - {name: canary, model: tree, version: '2', weight: 10}" in shown
    assert "+  - {model: tree, version: '3'}" in shown
    assert "wine would go over immediately; 100 % of the entities" in shown
    assert "Nothing was written" in shown
    assert json.loads(sluice(replica, "routes", "list", "--json").stdout) == []


def test_an_exact_change_is_followed_line_by_line_to_its_cuts(
    place: Any, replica: Replica, worker: DutifulWorker
) -> None:
    sluice(replica, "route", "set", "wine", "--model", "tree", "--version", "1")

    done = sluice(replica, "route", "set", "wine", "--model", "tree", "--version", "2", "--reason", "better")

    lines = done.stdout.splitlines()
    assert f"  {place.data_topic}/0: w1 begins at offset 100" in lines
    assert any(
        line.endswith("wine is served by its new plan (primary tree version 2): exact at 2 partitions.")
        for line in lines
    )
    assert f"  from {place.data_topic} ({place.group}) 0@100, 1@100" in lines
    shown = sluice(replica, "routes", "show", "wine").stdout
    assert "serves    tree v2" in shown
    assert "better" in shown
    where = sluice(replica, "decisions", place.data_topic, "0", "100", "--data-type", "wine").stdout
    assert "tree version 2" in where
    assert "by anna" in where


def test_a_change_that_is_given_up_is_exit_status_one_with_the_reason_and_what_serves_on(
    replica: Replica, worker: DutifulWorker
) -> None:
    sluice(replica, "route", "set", "wine", "--model", "tree", "--version", "1")
    worker.is_ready = False

    failed = sluice(
        replica, "route", "set", "wine", "--model", "tree", "--version", "2", "--deadline", "1", is_fine=False
    )

    assert failed.exit_code == 1
    assert "w1 has not loaded it within 1 s" in failed.stderr
    assert "What served wine before serves on" in failed.stderr


def test_a_change_that_takes_too_long_to_watch_goes_on_and_can_be_aborted(
    replica: Replica, worker: DutifulWorker
) -> None:
    sluice(replica, "route", "set", "wine", "--model", "tree", "--version", "1")
    worker.is_ready = False

    pending = sluice(
        replica, "route", "set", "wine", "--model", "tree", "--version", "2", "--timeout", "0.2", is_fine=False
    )
    operation = pending.stderr.split("sluice operations abort ")[1].split()[0]
    aborted = sluice(replica, "operations", "abort", operation, "--reason", "not tonight")
    shown = sluice(replica, "operations", "show", operation, "--wait", is_fine=False)

    assert pending.exit_code == 5
    assert f"{operation} is given up" in aborted.stdout
    assert (shown.exit_code, "not tonight" in shown.stderr) == (1, True)


def test_a_route_is_rolled_back_and_taken_away(replica: Replica) -> None:
    for version in ("1", "2"):
        sluice(replica, "route", "set", "wine", "--model", "tree", "--version", version, "--no-wait")

    assert (
        "+  - {name: primary, model: tree, version: '1'"
        in sluice(replica, "route", "rollback", "wine", "--dry-run").stdout
    )
    sluice(replica, "route", "rollback", "wine", "--no-wait", "--reason", "worse")
    (route,) = json.loads(sluice(replica, "routes", "list", "--json").stdout)
    sluice(replica, "route", "delete", "wine", "--yes", "--no-wait")

    assert route["plan"]["arms"][0]["version"] == "1"
    assert "No model is published for any data type" in sluice(replica, "routes").stdout


def test_a_rollout_is_begun_shown_paused_and_taken_back(replica: Replica, worker: DutifulWorker) -> None:
    sluice(replica, "route", "set", "wine", "--model", "tree", "--version", "1")
    start = ("rollout", "start", "wine", "--model", "tree", "--version", "2", "--steps", "dark:10m,100%", "--no-guards")

    dry = sluice(replica, *start, "--dry-run").stdout
    sluice(replica, *start, "--no-wait", "--reason", "try it")
    sluice(replica, "rollout", "pause", "wine")
    shown = sluice(replica, "rollout", "show", "wine").stdout
    back = sluice(replica, "rollout", "abort", "wine", "--reason", "enough").stdout

    assert "Nothing was written" in dry
    assert "to tree v2: paused" in shown
    assert "1. dark for 600 s" in shown
    assert "to tree v2: aborted" in back
    assert sluice(replica, "rollout", "list", "wine").stdout.splitlines()[1].split()[3] == "aborted"


def written(folder: Path, version: str, more: str = "") -> str:
    path = folder / "wine.yaml"
    path.write_text(
        f"kind: Route\nkey: wine\narms:\n  - {{model: tree, version: {version}}}\nmode: immediate\n{more}",
        encoding="utf-8",
    )
    return str(path)


def test_files_are_planned_approved_and_applied(replica: Replica, tmp_path: Path) -> None:
    file = written(tmp_path, "1", "reason: begin\n")

    planned = sluice(replica, "plan", "-f", file).stdout
    digest = planned.split("plan digest: ")[1].strip()
    other = sluice(replica, "apply", "-f", file, "--yes", "--plan-digest", "0" * 16, is_fine=False)
    sluice(replica, "apply", "-f", file, "--yes", "--plan-digest", digest, "--no-wait")

    assert "wine: to be created, immediate" in planned
    assert (other.exit_code, f"the plan is {digest}, not {'0' * 16}" in other.stderr) == (1, True)
    assert "wine: unchanged (tree v1)" in sluice(replica, "plan", "-f", file).stdout
    (route,) = json.loads(sluice(replica, "routes", "list", "--json").stdout)
    assert (route["entries"][0]["reason"], route["entries"][0]["actor"]) == ("begin", "anna")


def test_applying_shows_what_changes_and_prunes_only_if_asked(replica: Replica, tmp_path: Path) -> None:
    sluice(replica, "route", "set", "beer", "--model", "tree", "--version", "3", "--no-wait")
    sluice(replica, "apply", "-f", written(tmp_path, "1"), "--yes", "--no-wait")
    file = written(tmp_path, "2")

    kept = sluice(replica, "plan", "-f", file).stdout
    pruned = json.loads(sluice(replica, "plan", "-f", file, "--prune", "--json").stdout)
    sluice(replica, "apply", "-f", file, "--prune", "--yes", "--no-wait")

    assert "-  - {name: primary, model: tree, version: '1', weight: 100}" in kept
    assert "+  - {name: primary, model: tree, version: '2', weight: 100}" in kept
    assert "1 changed." in kept
    assert [(each["key"], each["action"]) for each in pruned["routes"]] == [("wine", "change"), ("beer", "delete")]
    (route,) = json.loads(sluice(replica, "routes", "list", "--json").stdout)
    assert (route["key"], route["plan"]["arms"][0]["version"]) == ("wine", "2")


def test_nothing_is_applied_unasked_or_from_a_file_that_is_wrong(replica: Replica, tmp_path: Path) -> None:
    unasked = sluice(replica, "apply", "-f", written(tmp_path, "1"), is_fine=False)
    file = written(tmp_path, "1", "modus: exact\n")
    wrong = sluice(replica, "apply", "-f", file, "--yes", is_fine=False)

    assert (unasked.exit_code, "--yes applies it unasked" in unasked.stderr) == (1, True)
    assert wrong.exit_code == 1
    assert f"{file}:6: a route has no member 'modus'" in wrong.stderr
    assert json.loads(sluice(replica, "routes", "list", "--json").stdout) == []


def test_exported_routes_are_what_is_served(replica: Replica, tmp_path: Path) -> None:
    arguments = (
        "--arm",
        "canary=tree:2:12.5",
        "--pin",
        "c-1=canary",
        "--rule",
        "alcohol > 12=>canary",
        "--fallback",
        "tree:3",
    )
    sluice(replica, "route", "set", "wine", "--model", "tree", "--version", "1", *arguments, "--no-wait")
    sluice(replica, "route", "set", "wine-*", "--model", "tree", "--version", "2", "--no-wait")

    names = sluice(replica, "routes", "export", "-o", str(tmp_path / "routes")).stdout.split()

    assert [Path(name).name for name in names] == ["wine.yaml", "wine-_any_.yaml"]
    again = sluice(replica, "plan", "-f", str(tmp_path / "routes"), "--prune").stdout
    assert "2 unchanged." in again


def test_publishing_says_before_and_after_what_it_does(replica: Replica, tmp_path: Path) -> None:
    path = tmp_path / "tree.pmml"
    path.write_bytes(PMML)
    publish = ("publish", str(path), "--for", "wine", "--reference", "run_id=r-7")

    dry = sluice(replica, *publish, "--dry-run").stdout
    only = sluice(replica, *publish, "--mode", "none").stdout
    served = sluice(replica, *publish).stdout

    assert "tree would get version 4" in dry
    assert "nothing is routed to it" in only
    assert "is published for wine" in served
    assert "run_id" in sluice(replica, "versions", "show", "tree", "4").stdout
    assert "tree v5" in sluice(replica, "routes").stdout


def test_a_policy_that_is_not_met_is_exit_status_one_with_its_reason(replica: Replica) -> None:
    with Client(replica.url) as client:
        client.set_policy("tree", approvals=1)

    refused = sluice(replica, "route", "set", "wine", "--model", "tree", "--version", "1", is_fine=False)

    assert refused.exit_code == 1
    assert "not allowed to serve yet" in refused.stderr


def test_a_backtest_is_asked_for_and_given_up(replica: Replica, worker: DutifulWorker) -> None:
    start = ("backtest", "start", "tree:2", "--stream", "wine", "--range", "0:0-100", "--max-error-rate", "0.1")

    dry = sluice(replica, *start, "--dry-run").stdout
    asked = json.loads(sluice(replica, *start, "--no-wait", "--json").stdout)
    cancelled = sluice(replica, "backtest", "cancel", asked["operation"], "--reason", "enough").stdout

    assert "0:0-100" in dry
    assert "Nothing was written" in dry
    assert "cancelled" in cancelled
    assert sluice(replica, "backtest", "list").stdout.splitlines()[1].split()[:5] == [
        asked["id"], "tree", "2", "wine", "cancelled",
    ]  # fmt: skip
    assert "No correction" in sluice(replica, "correct", "list").stdout
