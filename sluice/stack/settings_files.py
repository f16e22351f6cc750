"""The settings files of the worker and the control API that a stack writes into its data folder.

The files are complete, so that a further worker can be started on them by hand. One that was edited is left alone: the
stack hands the addresses, which change, to its own processes by environment variables, which win over the file.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from sluice.stack.errors import SettingsFileError
from sluice.stack.topics import Topic, control_topic, dead_letter_topic

DATA_PARTITIONS = 4
CONTROL_TOPIC = "sluice.control"
DEAD_LETTER_TOPIC = "sluice.dead-letters"

WINE_MESSAGE = "wine.v1.WineRecord"
WINE_FEATURES = (
    "fixed_acidity",
    "volatile_acidity",
    "citric_acid",
    "residual_sugar",
    "chlorides",
    "free_sulfur_dioxide",
    "total_sulfur_dioxide",
    "density",
    "ph",
    "sulphates",
    "alcohol",
)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers of a stack are, and its data folder."""

    bootstrap: str
    redis_url: str
    api_port: int
    folder: Path


def wine_descriptor_set() -> Path:
    """The descriptor set of the demo's record type, in the installed package."""
    return Path(str(files("sluice.demo") / "wine.desc"))


def worker_settings(addresses: Addresses) -> str:
    """The text of `worker.yaml`: one stream, the demo's wine."""
    stream = {
        "name": "wine",
        "topic": "wine.records",
        "start": "earliest",
        "format": {"type": "protobuf", "message": WINE_MESSAGE, "descriptor_set": str(wine_descriptor_set())},
        "route": {"field": "data_type"},
        "features": list(WINE_FEATURES),
        "results": {"topic": "wine.results", "format": "protobuf", "headers": "none"},
    }
    settings = {
        "kafka": {"bootstrap": addresses.bootstrap},
        "group": "sluice",
        "control_topic": {"name": CONTROL_TOPIC},
        "dead_letter_topic": DEAD_LETTER_TOPIC,
        "redis_url": addresses.redis_url,
        "artifacts": {
            "cache_dir": str(addresses.folder / "artifacts"),
            "file_roots": [str(addresses.folder / "models")],
        },
        "streams": [stream],
    }
    heading = (
        "# Settings of the workers of this stack. Written by `sluice up` as long as it is not edited;\n"
        "# after that it is yours, and `sluice up --config FILE` takes one from elsewhere.\n"
    )
    return heading + yaml.safe_dump(settings, sort_keys=False)


def worker_environment(addresses: Addresses, worker_id: str, metrics_port: int) -> Mapping[str, str]:
    """What the stack decides for a worker, whatever its settings file says."""
    return {
        "SERVING_KAFKA__BOOTSTRAP": addresses.bootstrap,
        "SERVING_REDIS_URL": addresses.redis_url,
        "SERVING_WORKER_ID": worker_id,
        "SERVING_METRICS__HOST": "127.0.0.1",
        "SERVING_METRICS__PORT": str(metrics_port),
    }


def api_settings(addresses: Addresses, worker: Mapping[str, Any]) -> str:
    """The text of `api.yaml`, for the control log and dead letters that the workers' settings name."""
    settings = {
        "host": "127.0.0.1",
        "port": addresses.api_port,
        "kafka": {"bootstrap": addresses.bootstrap},
        "control_topic": worker.get("control_topic") or {"name": CONTROL_TOPIC},
        "dead_letter_topic": worker.get("dead_letter_topic") or DEAD_LETTER_TOPIC,
        "redis_url": addresses.redis_url,
        "artifacts": {"dir": str(addresses.folder / "uploads")},
    }
    return "# Settings of the control API of this stack. Written anew by each `sluice up`.\n" + yaml.safe_dump(
        settings, sort_keys=False
    )


def read_worker_settings(path: Path) -> Mapping[str, Any]:
    """The settings file of the workers, as far as the stack must understand it (the workers check all of it).

    Raises:
        SettingsFileError: It cannot be read or is no YAML mapping with `streams`.
    """
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise SettingsFileError(f"{path} cannot be used as the workers' settings: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("streams"), list):
        raise SettingsFileError(f"{path} cannot be used as the workers' settings: it has no list `streams`.")
    return found


def topics_of(worker: Mapping[str, Any]) -> list[Topic]:
    """The topics that workers with these settings need.

    Raises:
        SettingsFileError: A stream names no topic, or no topic for its results.
    """
    control = (worker.get("control_topic") or {}).get("name") or CONTROL_TOPIC
    wanted = [control_topic(control), dead_letter_topic(worker.get("dead_letter_topic") or DEAD_LETTER_TOPIC)]
    for stream in worker["streams"]:
        try:
            names = (stream["topic"], stream["results"]["topic"])
        except (KeyError, TypeError) as error:
            raise SettingsFileError(
                f"A stream of the workers' settings lacks `topic` or `results.topic`: {stream}"
            ) from error
        wanted.extend(Topic(name, DATA_PARTITIONS) for name in names)
    return wanted


def write_unless_edited(path: Path, text: str, last_written_sha256: str) -> str:
    """Write `text` to `path` if that is absent or still what was written last; returns the digest to remember."""
    if path.exists() and _sha256(path.read_text()) != last_written_sha256:
        return last_written_sha256
    path.write_text(text)
    return _sha256(text)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
