"""Reading scenarios."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

VARIANTS: dict[str, dict[str, str]] = {
    "v5-json": {"protocol": "5", "encoding": "json"},
    "v311-json": {"protocol": "3.1.1", "encoding": "json"},
    "v5-cbor": {"protocol": "5", "encoding": "cbor"},
    "v311-cbor": {"protocol": "3.1.1", "encoding": "cbor"},
}
_NAMED = {
    "all": ["v5-json", "v311-cbor"],
    "v5": ["v5-json"],
    "v311": ["v311-json"],
    "every": list(VARIANTS),
}
_FIELDS = {"name", "why", "variants", "settings", "steps", "within", "needs"}


@dataclass(frozen=True)
class Scenario:
    """One document of a file. `settings` are the gateway's, by their keys; `needs` is a feature
    that the gateway must have.
    """

    name: str
    file: str
    variants: list[str]
    steps: list[dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)
    within: float = 10.0
    needs: str | None = None


def load(folder: Path) -> list[Scenario]:
    """All scenarios, by file and in order."""
    found: list[Scenario] = []
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document:
                found.append(_scenario(path.name, document))
    return found


def _scenario(file: str, document: dict[str, Any]) -> Scenario:
    if unknown := document.keys() - _FIELDS:
        raise ValueError(f"{file}: {document.get('name')}: no field {min(unknown)!r}")
    variants = document.get("variants", "all")
    if isinstance(variants, str):
        variants = _NAMED[variants]
    return Scenario(
        name=document["name"],
        file=file,
        variants=variants,
        steps=document["steps"],
        settings=document.get("settings", {}),
        within=document.get("within", 10.0),
        needs=document.get("needs"),
    )
