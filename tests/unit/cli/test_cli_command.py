"""The command as a person meets it: the real program, without a stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sluice.cli import SUBCOMMANDS, app

SLUICE = Path(sys.executable).with_name("sluice")


def sluice(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SLUICE), *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "120", "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_lists_every_subcommand_and_the_exit_statuses(tmp_path):
    done = sluice("--help", folder=tmp_path)

    assert done.returncode == 0
    for name in SUBCOMMANDS:
        assert f" {name} " in done.stdout, name
    assert "3 the API is not reachable" in " ".join(done.stdout.replace("│", "").split())


def test_listing_the_subcommands_imports_none_of_them():
    code = (
        "import sys\n"
        "from sluice.cli import app\n"
        "try: app()(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'httpx', 'numpy', 'confluent_kafka', 'pydantic', 'sluice.client', 'sluice.stack', 'sluice.demo'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)

    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", [name for name, subcommand in SUBCOMMANDS.items() if not subcommand.hands_on])
def test_every_subcommand_is_there_and_explains_itself(name):
    done = CliRunner().invoke(app(), [name, "--help"], prog_name="sluice")

    assert done.exit_code == 0, done.output
    assert f"Usage: sluice {name}" in done.output


def test_without_a_stack_and_an_address_the_error_says_what_to_do(tmp_path):
    done = sluice("routes", folder=tmp_path)

    assert done.returncode == 3
    assert done.stdout == ""
    assert "no local stack is up in .sluice" in done.stderr
    assert "`sluice up` starts it" in done.stderr


@pytest.mark.parametrize("given", [("--api", "http://127.0.0.1:9"), ()])
def test_an_address_where_nothing_answers_is_named(given, tmp_path):
    environment = {} if given else {"SLUICE_API": "127.0.0.1:9"}

    done = sluice("models", *given, folder=tmp_path, **environment)

    assert done.returncode == 3
    assert "not reachable at http://127.0.0.1:9" in done.stderr
    assert "SLUICE_API names it" in done.stderr


def test_a_model_that_cannot_be_read_is_named(tmp_path):
    done = sluice("publish", "nothing.pb", "--for", "wine", "--api", "http://127.0.0.1:9", folder=tmp_path)

    assert done.returncode == 1
    assert "Cannot read nothing.pb: No such file or directory" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("publish", "x.pb"), "--for"),
        (("publish", "x.pb", "--for", "wine", "--feature", "a"), "expected FEATURE=FIELD"),
        (("demo", "--rate", "fast"), "expected records a second, or max"),
        (("stats", "--for", "a", "--model", "b", "--api", "http://127.0.0.1:9"), "either --for or --model"),
        (("serve",), "No such command 'serve'"),
    ],
)
def test_a_wrong_command_line_is_exit_status_two_with_the_reason(arguments, complaint, tmp_path):
    done = sluice(*arguments, folder=tmp_path)

    assert done.returncode == 2
    assert complaint in done.stderr


@pytest.mark.parametrize(("name", "module"), [("worker", "serving"), ("api", "control_api")])
def test_processes_get_their_arguments_as_they_came(name, module, tmp_path):
    done = sluice(name, "--help", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "--config" in done.stdout
    assert module in done.stdout


def test_the_shell_is_given_the_options_of_a_subcommand(tmp_path):
    done = sluice(
        folder=tmp_path,
        _SLUICE_COMPLETE="complete_bash",
        COMP_WORDS="sluice publish --",
        COMP_CWORD="2",
        _TYPER_COMPLETE_ARGS="sluice publish --",
    )

    assert "--for" in done.stdout.split()
    assert "--wait" in done.stdout.split()


def test_the_version_is_printed(tmp_path):
    assert sluice("version", folder=tmp_path).stdout.startswith("sluice 0.")


def test_status_for_machines_is_json_without_a_stack_too(tmp_path):
    done = sluice("status", "--json", folder=tmp_path)

    assert done.returncode == 1
    assert json.loads(done.stdout)["situation"] == "new"
