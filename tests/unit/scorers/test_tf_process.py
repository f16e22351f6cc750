"""The engine and its process: what it loads, what it leaves behind, and what it survives."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import psutil
import pytest
from tensorflow_models import case, corpus

from serving.core.errors import DamagedModelError, EngineUnavailableError
from serving.scorers.base import Artifact, LoadLimits
from serving.scorers.tensorflow.frozen import read_frozen_graph
from serving.scorers.tensorflow.rehearsal import Rehearsal
from serving.scorers.tensorflow.servable import ServableGraph, Tensor

TESTS = Path(__file__).parents[2]


def run(program: str, *arguments: str, **environment: str) -> str:
    """Run Python text in a fresh process that finds the test helpers; its standard output."""
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(program), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]), "TF_CPP_MIN_LOG_LEVEL": "3"}
        | environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def test_scoring_never_imports_tensorflow():
    modules = run("""
        import sys
        import numpy as np
        from tensorflow_scoring import load
        from serving.core.columns import Features
        load("resource_variables").score(Features(np.ones((3, 11))))
        print([name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras")])
        import hashlib, ssl, _hashlib
        print(hashlib.sha256(b"").hexdigest()[:8], ssl.create_default_context() is not None)
        """)

    assert modules.splitlines() == ["[]", "e3b0c442 True"]


@pytest.mark.slow
def test_tensorflow_can_be_imported_before_and_after():
    program = """
        import sys
        import numpy as np
        from tensorflow_scoring import load
        from serving.core.columns import Features
        from serving.scorers.tensorflow.blocks import BLOCK

        def ours():
            return load("wine").score(Features(np.ones((1, 11)))).columns["Sigmoid"]

        def theirs():
            import tensorflow as tf
            graph = tf.compat.v1.GraphDef.FromString(open(sys.argv[1], "rb").read())
            with tf.Graph().as_default(), tf.compat.v1.Session() as session:
                tf.import_graph_def(graph, name="")
                return session.run("Sigmoid:0", {"chemistry:0": np.ones((BLOCK, 11))})[:1]

        first, second, third = ours(), theirs(), ours()
        print(bool((first == second).all() and (second == third).all()))
        """

    assert run(program, str(case("wine").folder / "frozen.pb")) == "True"


@pytest.mark.slow
def test_five_hundred_loads_leave_no_memory_behind():
    """Both kinds of model, loaded, scored and closed; the slope is taken after the first hundred."""
    growth = run("""
        import ctypes, ctypes.util, gc, os
        import numpy as np
        from tensorflow_models import case
        from serving.core.columns import Features
        from serving.scorers.base import Artifact, LoadLimits
        from serving.scorers.tensorflow.frozen import read_frozen_graph
        from serving.scorers.tensorflow.saved_model import read_saved_model
        from serving.scorers.tensorflow.warm_up import warm_scorer

        libc = ctypes.CDLL(ctypes.util.find_library("c"))
        features = Features(np.ones((100, 11)))
        artifacts = (
            lambda: read_frozen_graph(Artifact(case("wine").frozen)),
            lambda: read_saved_model(Artifact(b"", directory=case("resource_variables").saved_model)),
        )

        def resident_kilobytes():
            gc.collect()
            getattr(libc, "malloc_trim", lambda _: 0)(0)
            return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1024

        for cycle in range(500):
            scorer = warm_scorer(artifacts[cycle % 2](), LoadLimits())
            scorer.score(features)
            scorer.close()
            if cycle == 100:
                before = resident_kilobytes()
        print((resident_kilobytes() - before) / 399, len(os.listdir("/proc/self/task")))
        """)

    kilobytes, threads = growth.split()
    assert float(kilobytes) < 6
    assert int(threads) < 20


def test_a_machine_without_tensorflow_says_what_to_install():
    message = run("""
        import sys
        sys.modules["tensorflow"] = None  # how Python notes that there is no such package
        from serving.core.errors import EngineUnavailableError
        from serving.scorers.base import Artifact
        from serving.scorers.tensorflow.engine import FrozenGraphEngine
        try:
            FrozenGraphEngine().load(Artifact(b""))
        except EngineUnavailableError as error:
            print(error)
        """)

    assert "tensorflow-cpu" in message


def wine_graph() -> ServableGraph:
    return read_frozen_graph(Artifact(case("wine").frozen))


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGABRT, DamagedModelError),
        (signal.SIGSEGV, DamagedModelError),
        (signal.SIGKILL, EngineUnavailableError),
    ],
)
def test_a_child_that_dies_of_a_model_refuses_it_and_serves_the_next(number, error):
    rehearsal = Rehearsal()
    rehearsal.hold(wine_graph(), LoadLimits())
    killer = threading.Thread(target=lambda: send_when_busy(rehearsal, number))
    killer.start()

    with pytest.raises(error, match=f"status -{int(number)}"):
        rehearsal.hold(endless_graph(), LoadLimits(load_seconds=60, score_seconds=60))
    killer.join()

    rehearsal.hold(wine_graph(), LoadLimits())
    rehearsal.close()


def send_when_busy(rehearsal: Rehearsal, number: int) -> None:
    child = rehearsal._child
    assert child is not None
    process = psutil.Process(child.pid)
    before = sum(process.cpu_times()[:2])
    while sum(process.cpu_times()[:2]) < before + 0.3:
        threading.Event().wait(0.01)
    child.send_signal(number)


def endless_graph() -> ServableGraph:
    return read_frozen_graph(Artifact((corpus() / "evil" / "endless_first_loop.pb").read_bytes()))


def test_an_unusable_interpreter_is_the_machines_fault(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    with pytest.raises(EngineUnavailableError, match="does not start"):
        Rehearsal().hold(wine_graph(), LoadLimits())


def test_a_tensor_that_the_graph_lacks_is_an_error_and_no_crash():
    graph = wine_graph()
    wrong = ServableGraph(graph.definition, graph.inputs, (Tensor("x", "nowhere:0", 1, None),), has_loops=False)
    rehearsal = Rehearsal()

    with pytest.raises(DamagedModelError, match="nowhere"):
        rehearsal.hold(wrong, LoadLimits())
    rehearsal.close()
