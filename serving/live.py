"""The models that are loaded here: the one object of a worker that changes under the stream.

A batch takes the models it needs once (`lease`) and gives them back when its results are made; a model that is no longer
needed is closed when its last lease is given back, off the loop. Which of them scores which record is not said here but
by the plans of the routes (`routing`).

`LiveModels` belongs to the event loop's thread. Scorers run where the pipeline puts them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from serving.core.binding import Binding
from serving.scorers.base import Scorer


@dataclass(slots=True)
class LiveModel:
    """A loaded version.

    Attributes:
        model: Registered name.
        version: As every reader of the log counts it.
        version_offset: Control offset of the version: its identity.
        sha256: Digest of the artifact, 32 bytes.
        scorer: Loaded, checked, warm.
        bindings: Stream name -> how its fields fill the model's slots. A stream that cannot fill them is not in it.
        unbound: Stream name -> why it cannot.
        turn: Held while a thread scores with it: one batch at a time.
        leases: Batches that hold it.
        is_removed: Its last lease closes it.
    """

    model: str
    version: int
    version_offset: int
    sha256: bytes
    scorer: Scorer
    bindings: Mapping[str, Binding]
    unbound: Mapping[str, str] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    leases: int = 0
    is_removed: bool = False

    def __str__(self) -> str:
        return f"{self.model} v{self.version}"


class LiveModels:
    """Version -> the model that is loaded of it."""

    def __init__(self, close: Callable[[LiveModel], None]) -> None:
        """`close` is called on the loop's thread for each model that was removed, after its last batch."""
        self._close = close
        self._by_version: Mapping[int, LiveModel] = MappingProxyType({})

    @property
    def by_version(self) -> Mapping[int, LiveModel]:
        """A snapshot that never changes; by control offset of the version."""
        return self._by_version

    def add(self, model: LiveModel) -> None:
        """From here on `model` can be leased."""
        self._by_version = MappingProxyType({**self._by_version, model.version_offset: model})

    def remove(self, version_offset: int) -> LiveModel | None:
        """From here on the version cannot be leased. Returns the model, if there was one."""
        old = self._by_version.get(version_offset)
        if old is None:
            return None
        kept = {offset: model for offset, model in self._by_version.items() if offset != version_offset}
        self._by_version = MappingProxyType(kept)
        old.is_removed = True
        if old.leases == 0:
            self._close(old)
        return old

    def lease(self, version_offset: int) -> LiveModel | None:
        """The model of a version, kept open until it is given back."""
        model = self._by_version.get(version_offset)
        if model is not None:
            model.leases += 1
        return model

    def give_back(self, model: LiveModel) -> None:
        """End a lease; the last lease of a removed model closes it."""
        model.leases -= 1
        if model.is_removed and model.leases == 0:
            self._close(model)
