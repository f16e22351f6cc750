"""How the peers on the JVM are installed, as far as it needs neither a network nor a Java."""

from pathlib import Path

import pytest

from benchmarks.peers.flink.peer import PROGRAM as FLINK
from benchmarks.peers.java_loop.peer import PROGRAM as JAVA_LOOP
from benchmarks.peers.jvm.program import Program
from benchmarks.peers.kafka_streams.peer import PROGRAM as KAFKA_STREAMS
from sluice.stack.jars import parse_lock

PROGRAMS = [JAVA_LOOP, KAFKA_STREAMS, FLINK]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A program of one source and no jars."""
    folder = tmp_path / "peer"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "Main.java").write_text("class Main {}")
    (folder / "jars.lock").write_text("# none\n")
    return Program("Main", folder, ("-Xmx64m",))


def test_an_installed_program_is_not_installed_again(program: Program, tmp_path: Path):
    program.classes(tmp_path).mkdir()

    program.install(tmp_path)

    assert not (tmp_path / "compiler").exists()


def test_another_source_asks_for_another_install(program: Program, tmp_path: Path):
    before = program.classes(tmp_path)

    (program.folder / "src" / "Main.java").write_text("class Main { }")

    assert program.classes(tmp_path) != before


def test_another_jar_asks_for_another_install(program: Program, tmp_path: Path):
    before = program.classes(tmp_path)

    (program.folder / "jars.lock").write_text("# still none\n")

    assert program.classes(tmp_path) != before


def test_the_options_come_before_the_class(program: Program, tmp_path: Path):
    command = program.command(tmp_path)

    assert command.index("-Xmx64m") < command.index("-cp") < command.index("Main") == len(command) - 1


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.main)
def test_every_locked_jar_has_a_digest_and_a_size(program: Program):
    jars = parse_lock((program.folder / "jars.lock").read_text())

    assert jars
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in jars)


def test_all_flink_modules_have_one_version():
    jars = parse_lock((FLINK.folder / "jars.lock").read_text())
    modules = [
        jar
        for jar in jars
        if jar.group == "org.apache.flink" and "shaded" not in jar.artifact and "kafka" not in jar.artifact
    ]

    assert {jar.version for jar in modules} == {"2.2.1"}
