"""MLServer: see `TUNING.md`."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.peer import Peer
from benchmarks.peers.mlserver.layout import MODEL, artifact_in
from benchmarks.peers.python import environment


def _swap(environment_of_run: Mapping[str, str], artifact: Path) -> None:
    """Put the artifact in the place of the one that serves and ask the V2 repository API to load the model again.

    Raises:
        OSError: MLServer does not answer, or refuses.
    """
    place = artifact_in(Path(environment_of_run["STATE"]))
    new = place.with_suffix(".new")
    new.write_bytes(artifact.read_bytes())
    new.replace(place)
    url = f"http://127.0.0.1:{environment_of_run['HTTP_PORT']}/v2/repository/models/{MODEL}/load"
    request = urllib.request.Request(url, json.dumps({}).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


PEER = Peer(
    name="mlserver",
    title="MLServer 1.7.1, its Kafka transport given a group and a bound, PMML4S 1.5.8 through JPype",
    models=("linear", "tree", "forest"),
    install=partial(environment.install, requirements="mlserver/requirements.txt"),
    command=partial(environment.program, module="benchmarks.peers.mlserver.program"),
    swaps=False,
    swap=_swap,
    wire="v2-json",
    is_slow=True,
)
