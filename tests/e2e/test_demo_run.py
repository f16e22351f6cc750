"""The main job, as a person starts it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ACCOUNT = {
    "sent",
    "results",
    "dead_letters",
    "lost",
    "duplicated",
    "swaps",
    "refused",
    "results_by_version",
    "worst_swap_ms",
    "seconds",
    "cut_overs",
    "cut_violations",
    "canary_entities",
}


@pytest.mark.slow
def test_the_demo_brings_everything_up_and_its_account_balances(tmp_path):
    program = Path(sys.executable).with_name("sluice")
    command = [program, "demo", "--seconds", "5", "--rate", "1000", "--json", "--data", "stack"]

    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)

    assert ran.returncode == 0, ran.stderr[-4_000:]
    account = json.loads(ran.stdout.splitlines()[-1])
    assert set(account) == ACCOUNT
    assert account["sent"] == account["results"] + account["dead_letters"]
    assert account["sent"] >= 5_000
    assert account["dead_letters"] == 3
    assert (account["lost"], account["duplicated"]) == (0, 0)
    assert account["refused"] == 1
    assert account["swaps"] == 5
    assert account["cut_overs"] == 8
    assert account["cut_violations"] == 0
    assert account["canary_entities"] > 0
    assert sum(account["results_by_version"].values()) == account["results"]
