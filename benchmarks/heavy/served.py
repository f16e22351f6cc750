"""MLServer with a runtime of our own for the SavedModel, asked by gRPC with raw tensors: its quickest way in.

`python -m benchmarks.heavy.served MODEL` behaves as `contender` does, and runs in MLServer's environment. The CPU time is that
of the server alone, one process on one core; encoding and decoding in the client is not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.heavy.models import STEPS, VALUES, WINDOWS, expected, made, window

try:
    import mlserver
    from mlserver.codecs import NumpyCodec
    from mlserver.types import InferenceRequest, InferenceResponse
except ImportError as error:
    raise ImportError("this module runs in the environment made of benchmarks/heavy/requirements.txt") from error


class SavedModelRuntime(mlserver.MLModel):  # type: ignore[misc]  # MLServer is not among our own dependencies
    """A signature, called in the server's own process, as the documentation's custom runtimes do."""

    async def load(self) -> bool:
        """Load the SavedModel that the settings name."""
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self._tf = tf
        self._loaded = tf.saved_model.load(self.settings.parameters.uri)
        self._signature = self._loaded.signatures["serving_default"]
        (self._input,) = self._signature.structured_input_signature[1]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One window in, eight numbers out."""
        taken = NumpyCodec.decode_input(payload.inputs[0])
        (answer,) = self._signature(**{self._input: self._tf.constant(taken)}).values()
        output = NumpyCodec.encode_output("scores", answer.numpy())
        return InferenceResponse(model_name=self.name, outputs=[output])


def _main(model: str) -> None:
    with tempfile.TemporaryDirectory(prefix="sluice-mlserver-") as folder:
        port = _write_settings(Path(folder), made() / model)
        core = min(os.sched_getaffinity(0))
        server = subprocess.Popen(
            [sys.executable, "-m", "mlserver.cli.main", "start", folder],
            stdout=sys.stderr,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            _answer(_Client(port, model), server.pid, model)
        finally:
            server.terminate()
            server.wait(30)


def _answer(client: _Client, server: int, model: str) -> None:
    wanted = expected(model)
    windows = [window(index)[None] for index in range(WINDOWS)]
    for each in windows:
        client.score(each)
    print("ready", flush=True)
    for line in sys.stdin:
        passed, difference = [], 0.0
        cpu, turns = _cpu_seconds(server), int(line)
        for turn in range(turns):
            clock = time.perf_counter()
            answer = client.score(windows[turn % WINDOWS])
            passed.append((time.perf_counter() - clock) * 1e3)
            difference = max(difference, float(np.abs(answer - wanted[turn % WINDOWS]).max()))
        spent = (_cpu_seconds(server) - cpu) / turns * 1e3
        print(json.dumps({"cpu_ms": [spent], "wall_ms": passed, "difference": difference}), flush=True)


class _Client:
    """Asks by gRPC; the first time, until the server has loaded the model."""

    def __init__(self, port: int, model: str) -> None:
        import grpc
        from mlserver.grpc import dataplane_pb2, dataplane_pb2_grpc

        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._pb: Any = dataplane_pb2
        self._stub = dataplane_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}", options))
        self._model = model
        deadline = time.monotonic() + 240
        while True:
            try:
                if self._stub.ModelReady(self._pb.ModelReadyRequest(name=model), timeout=5).ready:
                    return
            except grpc.RpcError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def score(self, taken: np.ndarray) -> np.ndarray:
        """float32 (1, 10080, 8) -> (1, 8)."""
        inputs = self._pb.ModelInferRequest.InferInputTensor(name="window", datatype="FP32", shape=[1, STEPS, VALUES])
        request = self._pb.ModelInferRequest(
            model_name=self._model, inputs=[inputs], raw_input_contents=[taken.tobytes()]
        )
        answer = self._stub.ModelInfer(request, timeout=60)
        if answer.raw_output_contents:
            return np.frombuffer(answer.raw_output_contents[0], np.float32)
        return np.array(answer.outputs[0].contents.fp32_contents)


def _write_settings(folder: Path, artifact: Path) -> int:
    import socket

    with socket.socket() as free, socket.socket() as other:
        free.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, http_port = free.getsockname()[1], other.getsockname()[1]
    settings = {
        "debug": False, "host": "127.0.0.1", "http_port": http_port, "grpc_port": port, "metrics_endpoint": None,
        "parallel_workers": 0, "grpc_max_message_length": 8 << 20,
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    place = folder / artifact.name
    place.mkdir()
    model = {
        "name": artifact.name,
        "implementation": "benchmarks.heavy.served.SavedModelRuntime",
        "parameters": {"uri": str(artifact)},
    }
    (place / "model-settings.json").write_text(json.dumps(model))
    return port


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    _main(sys.argv[1])
