"""The two TensorFlow engines. Both are stateless: the C library, once opened, stays open for the life of the process."""

from __future__ import annotations

from serving.scorers.base import Artifact
from serving.scorers.tensorflow.frozen import read_frozen_graph
from serving.scorers.tensorflow.saved_model import read_saved_model
from serving.scorers.tensorflow.scorer import TensorFlowScorer
from serving.scorers.tensorflow.warm_up import warm_scorer


class FrozenGraphEngine:
    """Model type `TENSORFLOW`: a serialized GraphDef whose variables are constants."""

    def load(self, artifact: Artifact) -> TensorFlowScorer:
        """See `Engine.load`."""
        return warm_scorer(read_frozen_graph(artifact), artifact.limits)

    def close(self) -> None:
        """See `Engine.close`. There is nothing to stop."""


class SavedModelEngine:
    """Model type `TENSORFLOWSAVED`: one signature of a SavedModel, given as a directory, a zip or a tar."""

    def load(self, artifact: Artifact) -> TensorFlowScorer:
        """See `Engine.load`."""
        return warm_scorer(read_saved_model(artifact), artifact.limits)

    def close(self) -> None:
        """See `Engine.close`. There is nothing to stop."""
