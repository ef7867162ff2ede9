"""What a worker can do: handlers, and what their signatures say."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from ._annotations import convert, object_schema, parameters, return_type, schema
from ._handlers import Handlers, is_coroutine_function
from .errors import Fatal, Invalid
from .task import Call, Task

if TYPE_CHECKING:
    from ._runs import TaskRun, ToolRun


@dataclass(frozen=True)
class TaskDefinition:
    """A handler of tasks of a type."""

    type: str
    capabilities: tuple[str, ...]
    handler: Callable[..., Any]
    timeout: float | None
    payload: Any
    """The annotation of its payload."""

    @classmethod
    def of(
        cls,
        handler: Callable[..., Any],
        type: str,
        capabilities: tuple[str, ...],
        timeout: float | None,
    ) -> TaskDefinition:
        return cls(type, capabilities, handler, timeout, payload_type(handler))

    async def run(self, run: TaskRun, handlers: Handlers) -> Any:
        """Calls the handler with a task of its kind."""
        try:
            payload = convert(run.assignment.payload, self.payload, "payload")
        except Invalid as error:
            raise Fatal(f"{error.reason} ({error.path})", code="payload") from error
        task: Any = Task[Any](run, payload)
        if not is_coroutine_function(self.handler):
            from .sync import Task as SyncTask

            task = SyncTask[Any].of(task)
        return await handlers.call(self.handler, task)


def payload_type(handler: Callable[..., Any]) -> Any:
    """``Facts`` of a handler whose parameter is a ``Task[Facts]``; else anything."""
    for annotation in _annotations(handler).values():
        origin = get_origin(annotation)
        if isinstance(origin, type) and origin.__name__ == "Task":
            return get_args(annotation)[0]
    return Any


def _annotations(handler: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        hints = get_type_hints(handler, include_extras=True)
    except NameError as unknown:
        raise TypeError(
            f"{handler.__name__}: {unknown}: its types must be known where it is defined"
        ) from unknown
    hints.pop("return", None)
    return hints


@dataclass(frozen=True)
class ToolDefinition:
    """A handler of a tool's calls, and the tool's registration."""

    name: str
    handler: Callable[..., Any]
    timeout: float | None
    registration: dict[str, Any]
    fields: Mapping[str, tuple[Any, bool]]
    call_parameter: str | None
    whole: bool
    """The handler takes all arguments as one mapping."""

    async def run(self, run: ToolRun, handlers: Handlers) -> Any:
        arguments: dict[str, Any] = run.document.get("arguments") or {}
        named: dict[str, Any] = {}
        if self.call_parameter is not None:
            named[self.call_parameter] = self._call(run)
        if self.whole:
            name = next(iter(self.fields))
            return await handlers.call(self.handler, **{name: arguments}, **named)
        try:
            for name, (kind, _) in self.fields.items():
                if name in arguments:
                    named[name] = convert(arguments[name], kind, f"/arguments/{name}")
        except Invalid as error:
            raise Fatal(f"{error.reason} ({error.path})", code="arguments") from error
        return await handlers.call(self.handler, **named)

    def _call(self, run: ToolRun) -> Any:
        call: Any = Call(run)
        if not is_coroutine_function(self.handler):
            from .sync import Call as SyncCall

            call = SyncCall.of(call)
        return call


def tool_definition(
    handler: Callable[..., Any],
    *,
    name: str,
    description: str | None,
    input_schema: Mapping[str, Any] | None,
    output_schema: Mapping[str, Any] | None,
    timeout: float | None,
    extra: Mapping[str, Any],
) -> ToolDefinition:
    """A tool from its function: parameters become the ``inputSchema``, the docstring the
    description, an object that it returns the ``outputSchema``.
    """
    described = description or inspect.getdoc(handler)
    if not described:
        raise TypeError(f"the tool {name} needs a docstring, or a description")
    fields = parameters(handler)
    call_parameter = next((key for key, (kind, _) in fields.items() if _is_call(kind)), None)
    fields.pop(call_parameter or "", None)
    whole = input_schema is not None and len(fields) == 1
    registration: dict[str, Any] = {
        "description": described,
        "inputSchema": dict(input_schema or object_schema(fields)),
        **extra,
    }
    output = output_schema if output_schema is not None else schema(return_type(handler))
    if output.get("type") == "object" and (output_schema is not None or "properties" in output):
        registration["outputSchema"] = dict(output)
    return ToolDefinition(name, handler, timeout, registration, fields, call_parameter, whole)


def _is_call(kind: Any) -> bool:
    return isinstance(kind, type) and kind.__name__ == "Call"
