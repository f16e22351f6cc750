"""The machine of a run, and what else it did meanwhile: figures without it mean nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from sluice.stack.jars import KAFKA_VERSION
from sluice.stack.java import JAVA_VERSION

_PROJECT = Path(__file__).parent.parent
_OURS = ("confluent-kafka", "numpy", "protobuf", "tensorflow-cpu", "pypmml")


@dataclass(frozen=True, slots=True)
class Weather:
    """What the whole machine did during a measurement.

    Attributes:
        load_average: Of one minute, at the end.
        steal: Share of the time that the host took away, 0 to 1.
        busy_cores: Cores that were busy on average, with the system, Kafka and everything else.
    """

    load_average: float
    steal: float
    busy_cores: float


class Watch:
    """Sees the machine from its making to `weather`."""

    def __init__(self) -> None:
        self._before, self._clock = psutil.cpu_times(), time.monotonic()

    def weather(self) -> Weather:
        """Of the time until now."""
        now, passed = psutil.cpu_times(), time.monotonic() - self._clock
        spent = {name: getattr(now, name) - getattr(self._before, name) for name in now._fields}
        total = sum(spent[name] for name in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"))
        busy = total - spent["idle"] - spent["iowait"] - spent["steal"]
        return Weather(
            round(os.getloadavg()[0], 2),
            round(spent["steal"] / max(total, 1e-9), 4),
            round(busy / max(passed, 1e-9), 2),
        )


def environment() -> dict[str, object]:
    """What a reader of the figures must know of the machine and the versions."""
    packages = {}
    for name in _OURS:
        try:
            packages[name] = version(name)
        except ImportError:
            packages[name] = "not installed"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": platform.release(),
        "system": platform.system(),
        "kafka": KAFKA_VERSION,
        "java": JAVA_VERSION,
        "python": platform.python_version(),
        "packages": packages,
        "commit": _git("rev-parse", "HEAD"),
        "changed_files": len(_git("status", "--porcelain", "--untracked-files=no").splitlines()),
        "weather_at_start": asdict(Watch().weather()) | {"load_average": round(os.getloadavg()[0], 2)},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(_PROJECT), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
