"""From a descriptor to a warm scorer: fetch, verify, screen, load, bind, check. Blocks; runs in the loader's threads.

The order is cheapest refusal first. Whatever goes wrong is an error that says which of two things it is: the model's
fault (`ModelRefusedError`, or an artifact that is not what was announced), for which trying again is useless, or this
machine's (`EngineUnavailableError`, `FetchFailedError`), for which it is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model_store.core.descriptor import Descriptor
from model_store.core.errors import (
    ArtifactError,
    ArtifactTooLargeError,
    DigestMismatchError,
    FetchFailedError,
    LocationRefusedError,
    StoreFailedError,
)
from model_store.core.signature import Signature
from model_store.fetch import Fetched
from serving.core.binding import Binding, bind
from serving.core.columns import Features, TextColumn
from serving.core.errors import (
    DamagedModelError,
    EngineUnavailableError,
    HostileModelError,
    ModelLimitError,
    ModelRefusedError,
    SignatureError,
    UnsupportedModelError,
)
from serving.core.golden import check_golden, golden_features
from serving.scorers.base import Artifact, Engine, LoadLimits, Scorer, Watched

WARM_UP_ROWS = (1, 256)


@dataclass(frozen=True, slots=True)
class StreamFields:
    """The columns that a stream offers to models.

    Attributes:
        name: Of the stream.
        numbers: Numeric fields, in column order.
        texts: Text fields, in column order.
    """

    name: str
    numbers: Sequence[str]
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to be swapped in.

    Attributes:
        scorer: Warm.
        bindings: Stream -> how its fields fill the model's slots.
        unbound: Stream -> why they cannot.
        sha256: Digest of the artifact, 32 bytes.
        size_bytes: Its size.
        seconds: What all of it took.
    """

    scorer: Scorer
    bindings: Mapping[str, Binding]
    unbound: Mapping[str, str]
    sha256: bytes
    size_bytes: int
    seconds: float


class Loader:
    """Loads models for the streams of one worker. Thread-safe."""

    def __init__(
        self,
        fetch: Callable[[Descriptor, int], Fetched],
        engine_of: Callable[[str], Engine],
        streams: Sequence[StreamFields],
        limits: LoadLimits,
    ) -> None:
        """`fetch(descriptor, control_offset)` brings an artifact; `engine_of(model_type)` finds who can load it."""
        self._fetch = fetch
        self._engine_of = engine_of
        self._streams = streams
        self._limits = limits

    def load(self, descriptor: Descriptor, control_offset: int) -> Loaded:
        """See the module.

        Raises:
            ModelRefusedError: The model cannot be served.
            ArtifactError: It cannot be had, or is not what was announced.
            EngineUnavailableError: This machine cannot run its engine now.
        """
        start = time.perf_counter()
        engine = self._engine_of(descriptor.model_type)
        fetched = self._fetch(descriptor, control_offset)
        if fetched.size_bytes > self._limits.artifact_bytes:
            raise ArtifactTooLargeError(
                f"the artifact of {descriptor.name}", fetched.size_bytes, self._limits.artifact_bytes
            )
        scorer = engine.load(self._artifact(descriptor, fetched))
        try:
            bindings, unbound = self._bind(scorer.signature, descriptor)
            self._check(scorer, descriptor)
        except BaseException:
            scorer.close()
            raise
        seconds = time.perf_counter() - start
        if seconds > self._limits.load_seconds:
            scorer.close()
            raise ModelLimitError(f"load and warm-up took {seconds:.1f} s; {self._limits.load_seconds:g} s are allowed")
        return Loaded(scorer, bindings, unbound, fetched.sha256, fetched.size_bytes, seconds)

    def _artifact(self, descriptor: Descriptor, fetched: Fetched) -> Artifact:
        return Artifact(
            fetched.payload,
            fetched.directory,
            descriptor.signature_name or None,
            descriptor.input_names,
            descriptor.output_names,
            self._limits,
        )

    def _bind(self, signature: Signature, descriptor: Descriptor) -> tuple[dict[str, Binding], dict[str, str]]:
        """Bind to every stream that can; a model that fits none is refused."""
        pairs = [(item.feature, item.field) for item in descriptor.feature_mapping]
        mapping = dict(pairs) if all(feature for feature, _ in pairs) else [field for _, field in pairs]
        bindings: dict[str, Binding] = {}
        unbound: dict[str, str] = {}
        for stream in self._streams:
            try:
                bindings[stream.name] = bind(signature, stream.numbers, stream.texts, mapping)
            except SignatureError as error:
                unbound[stream.name] = str(error)
        if not bindings:
            raise SignatureError("; ".join(f"stream {name}: {reason}" for name, reason in unbound.items()))
        return bindings, unbound

    def _check(self, scorer: Scorer, descriptor: Descriptor) -> None:
        """Warm up with plain rows, prove the shape of the outputs, and compare the golden rows."""
        for rows in WARM_UP_ROWS:
            _check_outputs(scorer, _plain_features(scorer.signature, rows))
        if descriptor.golden_rows:
            features = golden_features(scorer.signature, descriptor.golden_rows)
            if isinstance(scorer, Watched):
                scorer.agrees_on(features)
            check_golden(descriptor.golden_rows, scorer.score(features))


def problem_of(error: Exception) -> str:
    """The word for an error in a `ModelReport`; see `control.proto`. `unavailable` is worth another try."""
    match error:
        case DamagedModelError():
            return "damaged"
        case HostileModelError():
            return "hostile"
        case UnsupportedModelError():
            return "unsupported"
        case ModelLimitError() | ArtifactTooLargeError():
            return "limit"
        case SignatureError():
            return "signature"
        case DigestMismatchError():
            return "integrity"
        case LocationRefusedError():
            return "location"
        case FetchFailedError() | StoreFailedError() | EngineUnavailableError():
            return "unavailable"
        case ArtifactError():
            return "location"
        case ModelRefusedError():
            return "unsupported"
        case _:
            return "damaged"


def _plain_features(signature: Signature, rows: int) -> Features:
    """Zeros, and the first category of each text slot: enough to warm up, and to see the shapes of the outputs."""
    numbers = sum(not slot.is_text for slot in signature.slots)
    first = {spec.name: spec.categories[0] for spec in signature.inputs if spec.categories}
    texts = [
        TextColumn(np.zeros(rows, np.int64), (first.get(slot.name or "", ""),))
        for slot in signature.slots
        if slot.is_text
    ]
    return Features(np.zeros((rows, numbers)), tuple(texts))


def _check_outputs(scorer: Scorer, features: Features) -> None:
    predictions = scorer.score(features)
    if len(predictions.failures) == len(features):
        return  # a model may refuse such rows; that it has outputs, golden rows or records must show
    for output in scorer.signature.outputs:
        column = predictions.columns.get(output.name)
        if column is None:
            raise SignatureError(f"the model gave no output {output.name!r}, which its signature declares")
        length = len(column.codes) if isinstance(column, TextColumn) else len(column)
        if length != len(features):
            raise SignatureError(f"output {output.name!r} has {length} rows for {len(features)} records")
