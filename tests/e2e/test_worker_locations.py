"""Models that come by location, and an engine of somebody else."""

import hashlib
import os
import subprocess
import sys
import zipfile

from deployment import SAVED, wine_values
from modelserving.v1.control_pb2 import ModelReport
from modelserving.v1.descriptor_pb2 import ModelDescriptor


def test_a_saved_model_directory_is_served_from_an_allowed_root(deployment, tmp_path):
    root = tmp_path / "models"
    with zipfile.ZipFile(SAVED) as archive:
        archive.extractall(root / "quality")
    deployment.settings["artifacts"] = {"cache_dir": str(tmp_path / "cache"), "file_roots": [str(root)]}
    folder = next(path.parent for path in root.rglob("saved_model.pb"))
    worker = deployment.start_worker()

    outside = _located(deployment, tmp_path / "elsewhere")
    refused = deployment.wait_for_report(outside, ModelReport.STATE_REFUSED)[0]
    inside = _located(deployment, folder)
    deployment.wait_for_report(inside, ModelReport.STATE_LIVE)

    assert refused.problem == "location"
    deployment.send(wine_values()[:8])
    assert {row.control_offset for row in deployment.read_results(8)} == {inside}
    assert worker.process.poll() is None


def test_an_artifact_with_another_digest_than_announced_is_refused(deployment, tmp_path):
    root = tmp_path / "models"
    root.mkdir()
    (root / "model.zip").write_bytes(SAVED.read_bytes())
    deployment.settings["artifacts"] = {"cache_dir": str(tmp_path / "cache"), "file_roots": [str(root)]}
    deployment.start_worker()

    wrong = _located(deployment, root / "model.zip", sha256=hashlib.sha256(b"other").digest())
    refused = deployment.wait_for_report(wrong, ModelReport.STATE_REFUSED)[0]
    right = _located(deployment, root / "model.zip", sha256=hashlib.sha256(SAVED.read_bytes()).digest())
    deployment.wait_for_report(right, ModelReport.STATE_LIVE)

    assert refused.problem == "integrity"


ENGINE = """
import json
import numpy as np
from model_store.core.signature import FeatureSlot, Signature, TensorSpec
from serving.core.columns import Predictions


class WeightsScorer:
    runs_elsewhere = False
    engine = "weights 1.0"

    def __init__(self, weights):
        self._weights = np.array(list(weights.values()))
        self.signature = Signature(
            tuple(TensorSpec(name, "float64") for name in weights),
            (TensorSpec("sum", "float64"),),
            tuple(FeatureSlot(name) for name in weights),
        )

    def score(self, features):
        return Predictions({"sum": features.matrix @ self._weights})

    def close(self):
        pass


class WeightsEngine:
    def load(self, artifact):
        return WeightsScorer(json.loads(artifact.payload))

    def close(self):
        pass
"""


def test_an_engine_of_a_third_party_serves_by_its_entry_point(deployment, tmp_path):
    package = tmp_path / "site"
    (package / "weights-1.0.dist-info").mkdir(parents=True)
    (package / "weights_engine.py").write_text(ENGINE)
    (package / "weights-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n")
    (package / "weights-1.0.dist-info" / "entry_points.txt").write_text(
        "[sluice.scorers]\nWEIGHTS = weights_engine:WeightsEngine\n"
    )
    deployment.start_worker(PYTHONPATH=os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]))

    offset = deployment.publish(b'{"alcohol": 2.0}', engine="WEIGHTS")

    deployment.wait_for_report(offset, ModelReport.STATE_LIVE)
    from sluice.demo.wine import make_wines

    deployment.send(wine_values()[:8])
    results = {(row.partition, row.offset): row.prediction for row in deployment.read_results(8)}
    alcohol = make_wines().matrix[:8, -1]
    assert [results[i % 4, i // 4] for i in range(8)] == [2.0 * value for value in alcohol]


def test_wrong_settings_are_named_and_the_exit_status_is_2(tmp_path):
    path = tmp_path / "worker.yaml"
    path.write_text("streams: []\nkafka: {bootstrapp: x}\n")

    ran = subprocess.run(
        [sys.executable, "-m", "serving", "--config", str(path)], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 2
    assert "bootstrapp" in ran.stderr
    assert "streams" in ran.stderr


def _located(deployment, path, **fields: object) -> int:
    descriptor = ModelDescriptor(
        name="wine", data_type="wine", modeltype=ModelDescriptor.TENSORFLOWSAVED, location=path.as_uri(), **fields
    )
    return deployment.send_control(descriptor.SerializeToString())
