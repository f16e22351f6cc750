"""The custom runtime: a PMML document, run by PMML4S in the server's process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.peers.python.pmml4s import Pmml4s


class PmmlRuntime(MLModel):  # type: ignore[misc]  # MLServer is not among our own dependencies
    """Loads what `parameters.uri` names."""

    async def load(self) -> bool:
        """Does not give way to others, as in the runtimes that come with MLServer: its Kafka server would take records while
        the first model is not ready, and answer them with errors, that is, lose them.
        """
        self._model = Pmml4s(Path(self.settings.parameters.uri).read_bytes())  # noqa: ASYNC240
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One row without numpy, several in one call; columns are in the order of the model's own inputs."""
        request = payload.inputs[0]
        rows, width = request.shape
        if rows == 1:
            found = self._model.of_row(request.data.root)
            scores = found if self._model.has_several_outputs else [found]
        else:
            scores = self._model.of_rows(np.array(request.data.root, np.float64).reshape(rows, width)).ravel().tolist()
        shape = [rows, len(scores) // rows]
        output = ResponseOutput(name="quality", shape=shape, datatype="FP64", data=scores)
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])
