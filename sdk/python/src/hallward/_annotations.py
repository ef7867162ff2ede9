"""Between a handler's types and what JSON can say.

`plain` turns values into JSON's, `convert` turns JSON's into what an annotation asks for, and
`schema` writes the JSON Schema of an annotation. Known are the built-in types, dataclasses,
TypedDict, NamedTuple, Enum, Literal, unions; and pydantic and msgspec, which do it themselves.
Nothing of theirs is imported unless the program has done so.
"""

# It is all about types that nobody can know before.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnnecessaryCast=false

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from .errors import Invalid

Schema = dict[str, Any]


def plain(value: Any) -> Any:
    """A value that JSON has no word for, as one that it has. For ``json.dumps(default=…)``."""
    from ._message import Message

    if isinstance(value, Message):
        return value.write()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if (dump := getattr(value, "model_dump", None)) is not None:
        return dump(mode="json", by_alias=True)
    if hasattr(value, "__struct_fields__"):
        return sys.modules["msgspec"].to_builtins(value)
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    raise TypeError(f"{type(value).__name__} is nothing that JSON can say: {value!r:.80}")


def convert(value: Any, annotation: Any, path: str = "") -> Any:
    """What JSON said, as the annotation wants it. Raises ``Invalid`` with the ``path``."""
    if annotation in (Any, object, inspect.Parameter.empty) or isinstance(
        annotation, typing.TypeVar
    ):
        return value
    annotation = _without_extras(annotation)
    for known in (_convert_foreign, _convert_generic, _convert_class, _convert_builtin):
        result = known(value, annotation, path)
        if result is not _UNKNOWN:
            return result
    return value


_UNKNOWN = object()


def _wrong(path: str, value: Any, wanted: str) -> Invalid:
    return Invalid(f"expected {wanted}, got {value!r:.80}", code=422, path=path or None)


def _without_extras(annotation: Any) -> Any:
    """`Annotated[int, …]`, `Required[int]`: int."""
    while get_origin(annotation) in _WRAPPERS:
        annotation = get_args(annotation)[0]
    return annotation


_WRAPPERS = tuple(
    getattr(typing, name)
    for name in ("Annotated", "Required", "NotRequired", "ReadOnly")
    if hasattr(typing, name)
)


def _convert_foreign(value: Any, annotation: Any, path: str) -> Any:
    """Pydantic models and msgspec structs."""
    try:
        if hasattr(annotation, "model_validate"):
            return annotation.model_validate(value)
        if hasattr(annotation, "__struct_fields__"):
            return sys.modules["msgspec"].convert(value, annotation)
    except Exception as error:
        raise Invalid(str(error), code=422, path=path or None) from error
    return _UNKNOWN


def _convert_generic(value: Any, annotation: Any, path: str) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        if value in arguments:
            return value
        raise _wrong(path, value, " or ".join(map(repr, arguments)))
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments, path)
    if origin in (list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable):
        if not isinstance(value, list):
            raise _wrong(path, value, "an array")
        inner = arguments[0] if arguments else Any
        items = [convert(item, inner, f"{path}/{index}") for index, item in enumerate(value)]
        return origin(items) if origin in (set, frozenset) else items
    if origin is tuple:
        return _convert_tuple(value, arguments, path)
    if origin in (dict, collections.abc.Mapping, collections.abc.MutableMapping):
        if not isinstance(value, dict):
            raise _wrong(path, value, "an object")
        inner = arguments[1] if len(arguments) > 1 else Any
        return {
            key: convert(item, inner, f"{path}/{key}")
            for key, item in cast("dict[str, Any]", value).items()
        }
    return _UNKNOWN


def _convert_union(value: Any, arguments: tuple[Any, ...], path: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    failed: list[Invalid] = []
    for one in arguments:
        if one is not type(None):
            try:
                return convert(value, one, path)
            except Invalid as error:
                failed.append(error)
    raise failed[0] if len(failed) == 1 else _wrong(path, value, " or ".join(map(_name, arguments)))


def _convert_tuple(value: Any, arguments: tuple[Any, ...], path: str) -> Any:
    if not isinstance(value, list):
        raise _wrong(path, value, "an array")
    items: list[Any] = value
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(convert(item, arguments[0], f"{path}/{i}") for i, item in enumerate(items))
    if len(items) != len(arguments):
        raise _wrong(path, value, f"{len(arguments)} elements")
    pairs = enumerate(zip(items, arguments))
    return tuple(convert(item, one, f"{path}/{i}") for i, (item, one) in pairs)


def _convert_class(value: Any, annotation: Any, path: str) -> Any:
    if not isinstance(annotation, type):
        return _UNKNOWN
    if issubclass(annotation, enum.Enum):
        try:
            return annotation(value)
        except ValueError:
            members = cast("list[enum.Enum]", list(annotation))
            raise _wrong(path, value, " or ".join(repr(one.value) for one in members)) from None
    if issubclass(annotation, (datetime, date)):
        try:
            return annotation.fromisoformat(value)
        except (TypeError, ValueError):
            raise _wrong(path, value, f"a {annotation.__name__} (ISO 8601)") from None
    fields = _fields(annotation)
    if fields is None:
        return _UNKNOWN
    if not isinstance(value, dict):
        raise _wrong(path, value, "an object")
    given = cast("dict[str, Any]", value)
    found: dict[str, Any] = {}
    for name, (kind, needed) in fields.items():
        if name in given:
            found[name] = convert(given[name], kind, f"{path}/{name}")
        elif needed:
            raise Invalid(f"{name!r} is missing", code=422, path=f"{path}/{name}")
    return found if typing.is_typeddict(annotation) else annotation(**found)


def _fields(annotation: type) -> dict[str, tuple[Any, bool]] | None:
    """Name, type, and whether it must be there, of what has named fields; else ``None``."""
    if dataclasses.is_dataclass(annotation):
        hints = get_type_hints(annotation, include_extras=True)
        missing = dataclasses.MISSING
        return {
            one.name: (
                hints[one.name],
                one.default is missing and one.default_factory is missing,
            )
            for one in dataclasses.fields(annotation)
            if one.init
        }
    if typing.is_typeddict(annotation):
        hints = get_type_hints(annotation, include_extras=True)
        required: frozenset[str] = getattr(annotation, "__required_keys__", frozenset())
        return {name: (kind, name in required) for name, kind in hints.items()}
    if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        hints = get_type_hints(annotation, include_extras=True)
        defaults = cast("dict[str, Any]", getattr(annotation, "_field_defaults", {}))
        return {name: (kind, name not in defaults) for name, kind in hints.items()}
    return None


_BUILTIN: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    str: ((str,), "a string"),
    list: ((list,), "an array"),
    dict: ((dict,), "an object"),
    type(None): ((type(None),), "null"),
}


def _convert_builtin(value: Any, annotation: Any, path: str) -> Any:
    if annotation is None:
        annotation = type(None)
    kinds, wanted = _BUILTIN.get(annotation, ((), ""))
    if not kinds:
        return _UNKNOWN
    if annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)  # the gateway takes 3.0 for an integer, and so do we
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise _wrong(path, value, wanted)
    return float(cast(float, value)) if annotation is float else value


def _name(annotation: Any) -> str:
    return "null" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


# JSON Schema


def schema(annotation: Any) -> Schema:
    """The JSON Schema of an annotation; ``{}``, which is anything, for what has none."""
    described = _description(annotation)
    annotation = _without_extras(annotation)
    found = _schema_of(annotation)
    return {**found, "description": described} if described else found


def _description(annotation: Any) -> str | None:
    """``Annotated[str, "what it is"]``: what it is."""
    if get_origin(annotation) is typing.Annotated:
        return next((one for one in get_args(annotation)[1:] if isinstance(one, str)), None)
    return None


_SCHEMAS: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    list: {"type": "array"},
    dict: {"type": "object"},
    type(None): {"type": "null"},
    None: {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
}


def _schema_of(annotation: Any) -> Schema:
    try:
        if annotation in _SCHEMAS:
            return dict(_SCHEMAS[annotation])
    except TypeError:  # unhashable
        return {}
    if hasattr(annotation, "model_json_schema"):
        return cast(Schema, annotation.model_json_schema())
    if hasattr(annotation, "__struct_fields__"):
        return cast(Schema, sys.modules["msgspec"].json.schema(annotation))
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema(one) for one in arguments]}
    if origin in (list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable):
        unique = {"uniqueItems": True} if origin in (set, frozenset) else {}
        return {"type": "array", "items": schema(arguments[0]) if arguments else {}, **unique}
    if origin is tuple:
        return _schema_of_tuple(arguments)
    if origin in (dict, collections.abc.Mapping, collections.abc.MutableMapping):
        return {"type": "object", "additionalProperties": schema(arguments[1])}
    if isinstance(annotation, type):
        if issubclass(annotation, enum.Enum):
            return {"enum": [one.value for one in cast("list[enum.Enum]", list(annotation))]}
        fields = _fields(annotation)
        if fields is not None:
            return _object({name: kind for name, (kind, _) in fields.items()}, fields)
    return {}


def _schema_of_tuple(arguments: tuple[Any, ...]) -> Schema:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": schema(arguments[0])}
    items = [schema(one) for one in arguments]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


def _object(kinds: Mapping[str, Any], fields: Mapping[str, tuple[Any, bool]]) -> Schema:
    required = [name for name, (_, needed) in fields.items() if needed]
    properties = {name: schema(kind) for name, kind in kinds.items()}
    found: Schema = {"type": "object", "properties": properties}
    return {**found, "required": required} if required else found


def parameters(function: Callable[..., Any]) -> dict[str, tuple[Any, bool]]:
    """Name, type, and whether it must be given, of what a function takes."""
    hints = get_type_hints(function, include_extras=True)
    found: dict[str, tuple[Any, bool]] = {}
    for name, one in inspect.signature(function).parameters.items():
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise TypeError(f"{function.__name__}: {one} cannot be given by name")
        found[name] = (hints.get(name, Any), one.default is one.empty)
    return found


def object_schema(fields: Mapping[str, tuple[Any, bool]]) -> Schema:
    """The schema of an object with such fields."""
    return _object({name: kind for name, (kind, _) in fields.items()}, fields)


def return_type(function: Callable[..., Any]) -> Any:
    """What a function is annotated to return; ``Any`` if it is not."""
    return get_type_hints(function, include_extras=True).get("return", Any)
