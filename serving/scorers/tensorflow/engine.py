"""The two TensorFlow engines. They share one child process for rehearsals; the C library, once opened, stays open."""

from __future__ import annotations

from serving.scorers.base import Artifact, LoadLimits
from serving.scorers.tensorflow.frozen import read_frozen_graph
from serving.scorers.tensorflow.quickening import rewritten
from serving.scorers.tensorflow.rehearsal import Rehearsal
from serving.scorers.tensorflow.saved_model import read_saved_model
from serving.scorers.tensorflow.scorer import TensorFlowScorer
from serving.scorers.tensorflow.servable import ServableGraph
from serving.scorers.tensorflow.warm_up import warm_scorer

_REHEARSAL = Rehearsal()


class FrozenGraphEngine:
    """Model type `TENSORFLOW`: a serialized GraphDef whose variables are constants."""

    def load(self, artifact: Artifact) -> TensorFlowScorer:
        """See `Engine.load`."""
        return _load(read_frozen_graph(artifact), artifact.limits)

    def close(self) -> None:
        """See `Engine.close`. Ends the child process; the other engine would start it again."""
        _REHEARSAL.close()


class SavedModelEngine:
    """Model type `TENSORFLOWSAVED`: one signature of a SavedModel, given as a directory, a zip or a tar."""

    def load(self, artifact: Artifact) -> TensorFlowScorer:
        """See `Engine.load`."""
        return _load(read_saved_model(artifact), artifact.limits)

    def close(self) -> None:
        """See `FrozenGraphEngine.close`."""
        _REHEARSAL.close()


def _load(graph: ServableGraph, limits: LoadLimits) -> TensorFlowScorer:
    found = _REHEARSAL.hold(graph, limits)
    better = rewritten(graph) if found.is_rewritten else None
    return warm_scorer(better or graph, limits, better is not None, found.pace)
