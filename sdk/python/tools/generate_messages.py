"""Writes `src/hallward/messages.py` from the gateway's JSON Schemas.

python tools/generate_messages.py            # write it
python tools/generate_messages.py --check    # exit 1 if it is stale
"""

from __future__ import annotations

import json
import keyword
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCHEMAS = HERE.parents[2] / "schemas"
TARGET = HERE.parent / "src/hallward/messages.py"
WIDTH = 100

HEAD = '''"""The messages of the wire, one class each.

Written by `tools/generate_messages.py` from the gateway's JSON Schemas: do not edit.
"""

# ruff: noqa: E501, RUF012

from __future__ import annotations

from typing import Any, Literal, Union

from ._message import Message
'''


def snake(name: str) -> str:
    """The Python name of a field: ``createdAt`` is ``created_at``, ``from`` is ``from_``."""
    spelt = re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: "_" + found[1].lower(), name)
    return spelt + "_" if keyword.iskeyword(spelt) else spelt


def words(text: str, indent: str = "    ") -> str:
    """A docstring."""
    text = re.sub(r"\s*\n\s*(?!\n)", " ", text.strip()).replace("\\", "\\\\")
    one = f'{indent}"""{text}"""'
    if len(one) <= WIDTH:
        return one
    filled = textwrap.wrap(text, WIDTH - len(indent))
    return "\n".join(
        [f'{indent}"""{filled[0]}', *(indent + line for line in filled[1:]), f'{indent}"""']
    )


class Schemas:
    """All schemas, and the definitions that they share."""

    def __init__(self, folder: Path) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.files: dict[str, str] = {}
        self.defs: dict[str, dict[str, Any]] = {}
        for path in sorted(folder.glob("*.schema.json")):
            schema = json.loads(path.read_text())
            self.messages[schema["title"]] = schema
            self.files[path.name.removesuffix(".schema.json")] = schema["title"]
            self.defs.update(schema.get("$defs", {}))
        for name in self.messages:
            self.defs.pop(name, None)

    def classes(self) -> dict[str, dict[str, Any]]:
        """Every object: parts first, then whole messages."""
        parts = {name: one for name, one in self.defs.items() if one.get("type") == "object"}
        return {**dict(sorted(parts.items())), **self.messages}

    def literals(self) -> dict[str, dict[str, Any]]:
        return {name: one for name, one in sorted(self.defs.items()) if "oneOf" in one}

    def kind(self, schema: dict[str, Any]) -> tuple[str, str | None, bool]:
        """The Python type of a field, the message in it if there is one, and if it may be null."""
        if "$ref" in schema:
            return self.named(schema["$ref"].rsplit("/", 1)[1])
        if "anyOf" in schema:
            kinds = [self.kind(one) for one in schema["anyOf"]]
            types = dict.fromkeys(kind for kind, _, null in kinds if not null)
            null = any(null for _, _, null in kinds)
            inner = next((inner for _, inner, _ in kinds if inner), None)
            return " | ".join(types), inner, null
        named = schema.get("type")
        if isinstance(named, list):
            kind, inner, _ = self.kind({**schema, "type": named[0]})
            return kind, inner, "null" in named
        if named == "array":
            kind, inner, _ = self.kind(schema["items"])
            return f"list[{kind}]", inner, False
        plain = {
            "string": "str",
            "integer": "int",
            "number": "float",
            "boolean": "bool",
            "null": "None",
        }
        return plain.get(named or "", "Any"), None, named == "null"

    def named(self, name: str) -> tuple[str, str | None, bool]:
        if name in self.classes():
            return name, name, False
        if name in self.literals():
            return name, None, False
        return self.kind(self.defs[name])


def literal(name: str, schema: dict[str, Any]) -> str:
    values = ", ".join(json.dumps(one["const"]) for one in schema["oneOf"])
    line = f"{name} = Literal[{values}]"
    if len(line) > WIDTH:
        values = "".join(f"    {json.dumps(one['const'])},\n" for one in schema["oneOf"])
        line = f"{name} = Literal[\n{values}]"
    return f"{line}\n{words(schema.get('description', name), '')}"


def table(name: str, rows: list[tuple[str, str]]) -> str:
    """A class variable, on one line if it fits."""
    pairs = [f"{key}: {value}" for key, value in rows]
    line = f"    {name} = {{{', '.join(pairs)}}}"
    if len(line) <= WIDTH:
        return line
    inner = "".join(f"        {pair},\n" for pair in pairs)
    return f"    {name} = {{\n{inner}    }}"


def message(name: str, schema: dict[str, Any], schemas: Schemas) -> str:
    required = set(schema.get("required", []))
    properties = schema.get("properties", {})
    ordered = sorted(properties, key=lambda one: (one not in required, one))
    nested: list[tuple[str, str]] = []
    fields: list[str] = []
    for wire in ordered:
        kind, inner, null = schemas.kind(properties[wire])
        if inner:
            nested.append((json.dumps(snake(wire)), inner))
        default = ""
        if wire not in required:
            default = " = None"
            if kind != "Any":
                kind = f"{kind} | None"
        elif null:
            kind = f"{kind} | None"
        fields.append(f"    {snake(wire)}: {kind}{default}")
        if described := properties[wire].get("description"):
            fields.append(words(described))
    parts = [f"class {name}(Message):", words(schema.get("description", name))]
    if nested:
        parts += ["", table("_nested", nested)]
    return "\n".join([*parts, "", *fields]) if fields else "\n".join(parts)


def generate(folder: Path) -> str:
    schemas = Schemas(folder)
    classes = schemas.classes()
    names = {snake(wire): wire for one in classes.values() for wire in one.get("properties", {})}
    rows = "".join(f"    {json.dumps(key)}: {json.dumps(names[key])},\n" for key in sorted(names))
    body = [
        HEAD,
        f"NAMES: dict[str, str] = {{\n{rows}}}",
        words("Python name to wire name, of all fields.", ""),
        "Message._names = NAMES  # pyright: ignore[reportPrivateUsage]",
        "",
    ]
    body += [literal(name, one) for name, one in schemas.literals().items()]
    body.append("")
    done: set[str] = set()

    def add(name: str) -> None:
        """A class after those that its tables name."""
        if name in done:
            return
        done.add(name)
        for one in classes[name].get("properties", {}).values():
            inner = schemas.kind(one)[1]
            if inner:
                add(inner)
        body.append(message(name, classes[name], schemas) + "\n\n")

    for name in classes:
        add(name)
    files = "".join(f"    {json.dumps(key)}: {value},\n" for key, value in schemas.files.items())
    body.append(
        f"\nBY_SCHEMA: dict[str, type[Message]] = {{\n{files}}}\n"
        + words("Each message by the name of its schema's file.", "")
        + "\n"
    )
    text = "\n".join(body)
    if "Union[" not in text:
        text = text.replace("Literal, Union", "Literal")
    return text


def main() -> int:
    text = generate(SCHEMAS)
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() == text:
            return 0
        print(f"{TARGET.name} is stale: run tools/generate_messages.py", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
