"""Two ways to write it without thinking of speed, by what runs the model: see `TUNING.md`."""

from __future__ import annotations

from functools import partial

from benchmarks.peer import Peer
from benchmarks.peers.python import environment

PEERS = (
    Peer(
        name="naive-faust-pypmml",
        title="Naive Faust 0.15.3, pypmml 1.5.8 with its default gateway (py4j)",
        models=("linear", "tree", "forest"),
        install=partial(environment.install, requirements="naive_faust/requirements-pypmml.txt"),
        command=partial(environment.program, module="benchmarks.peers.naive_faust.with_pypmml"),
        is_slow=True,
    ),
    Peer(
        name="naive-faust-tensorflow",
        title="Naive Faust 0.15.3, TensorFlow 2.21.0 imported",
        models=("graph",),
        install=partial(environment.install, requirements="naive_faust/requirements-tensorflow.txt"),
        command=partial(environment.program, module="benchmarks.peers.naive_faust.with_tensorflow"),
        is_slow=True,
    ),
)
