import pytest

from benchmarks.run import without_file


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["--quick"], ["--quick"]),
        (["--only", "worker", "--out", "/home/me/a.json", "--runs", "3"], ["--only", "worker", "--runs", "3"]),
        (["--out=/home/me/a.json", "--runs", "3"], ["--runs", "3"]),
        (["--runs", "3", "--out", "a.json"], ["--runs", "3"]),
        ([], []),
    ],
)
def test_figures_say_what_was_asked_for_and_not_where_they_were_kept(given: list[str], kept: list[str]) -> None:
    assert without_file(given) == kept
