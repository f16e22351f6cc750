"""What models and versions can be searched and ordered by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from control_api.core.models import description_of, kept_versions, use_case_of
from control_api.core.outcomes import status_of
from control_api.core.search import Attributes
from control_api.core.snapshot import Snapshot
from model_store.core.versions import ModelVersion, RegisteredModel

VERSION_ALIASES: Final[Mapping[str, str]] = {"version_number": "version", "source_path": "source"}
"""What MLflow calls an attribute -> what it is called here."""


def model_attributes(snapshot: Snapshot) -> Attributes[RegisteredModel]:
    """Of registered models."""
    catalogue = snapshot.catalogue
    return Attributes(
        plain={
            "name": lambda model: model.name,
            "description": lambda model: description_of(catalogue, model),
            "owner": lambda model: model.owner,
            "use_case": lambda model: use_case_of(catalogue, model),
            "data_type": lambda model: sorted({version.data_type for version in kept_versions(catalogue, model)}),
            "type": lambda model: sorted({v.descriptor.model_type for v in kept_versions(catalogue, model)}),
            "alias": lambda model: sorted(model.aliases),
            "version_count": lambda model: len(kept_versions(catalogue, model)),
            "creation_timestamp": lambda model: model.created_at_ms,
            "last_updated_timestamp": lambda model: model.updated_at_ms,
        },
        mappings={"tags": lambda model, name: model.tags.get(name), "tag": lambda model, name: model.tags.get(name)},
    )


def version_attributes(snapshot: Snapshot) -> Attributes[ModelVersion]:
    """Of versions."""
    catalogue = snapshot.catalogue
    plain = {
        "name": lambda version: version.model,
        "version": lambda version: version.version,
        "description": lambda v: catalogue.notes_of(v).description or v.descriptor.description,
        "data_type": lambda version: version.data_type,
        "type": lambda version: version.descriptor.model_type,
        "use_case": lambda version: version.descriptor.use_case,
        "publisher": lambda version: version.descriptor.publisher,
        "source": lambda version: version.descriptor.location,
        "run_id": lambda version: version.references.get("run_id"),
        "sha256": lambda version: (version.descriptor.sha256 or b"").hex(),
        "stage": lambda version: catalogue.notes_of(version).stage.value,
        "status": lambda version: status_of(snapshot, version)[0],
        "alias": lambda v: sorted(a for a, n in catalogue.models[v.model].aliases.items() if n == v.version),
        "approved_by": lambda version: catalogue.notes_of(version).approved_by,
        "control_offset": lambda version: version.control_offset,
        "creation_timestamp": lambda version: version.published_at_ms,
    }
    known: Attributes[ModelVersion] = Attributes(
        plain=plain,
        mappings={
            "tags": lambda version, name: catalogue.notes_of(version).tags.get(name),
            "tag": lambda version, name: catalogue.notes_of(version).tags.get(name),
            "references": lambda version, name: version.references.get(name),
        },
    )
    return Attributes(
        {**known.plain, **{theirs: known.plain[ours] for theirs, ours in VERSION_ALIASES.items()}}, known.mappings
    )
