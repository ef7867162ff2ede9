"""Writes `src/hallward/sync.py`: the same names as the asynchronous API, without ``await``.

    python tools/generate_sync.py            # write it
    python tools/generate_sync.py --check    # exit 1 if it is stale

Every method of a class below gets a twin that calls it on the event loop; what it returns is
wrapped if it is one of these classes itself.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "src/hallward"
TARGET = SOURCES / "sync.py"

CLASSES = [
    ("_scope", "Listener"),
    ("_streams", "Stream"),
    ("task", "Task"),
    ("task", "Call"),
    ("questions", "Question"),
    ("handoff", "TaskHandle"),
    ("handoff", "Handoff"),
    ("inbox", "Inbox"),
    ("blackboard", "Transaction"),
    ("blackboard", "Lock"),
    ("blackboard", "Blackboard"),
    ("approve", "Approve"),
    ("observe", "Events"),
    ("observe", "Observe"),
    ("presence", "PresenceOf"),
    ("tools", "ToolQuestion"),
    ("tools", "Tools"),
    ("room", "Raw"),
    ("room", "Room"),
    ("agent", "Agent"),
]
WRAPPED = {name for _, name in CLASSES}
INTERNAL = {
    "Stream": {"put", "fail", "finish", "on_close"},
    "Question": {"of"},
    "Events": {"start"},
    "PresenceOf": {"take_leave"},
}
GENERIC = {"Stream": "T", "Task": "P"}
ALIASES = {"News": "Union[Result, Question]"}
"""Unions of which one part is wrapped."""
HANDED = {("Handoff", "on_question"): "Question"}
"""What a handler is called with, where that is wrapped."""

HEAD = '''"""The same API for plain code: the same names, without ``await``.

    with hallward.sync.connect("mqtt://localhost", agent="editor") as me:
        room = me.join("newsroom")
        facts = room.handoff.run("research", {"query": "tides"})

Written by `tools/generate_sync.py`: do not edit.
"""

# ruff: noqa: E501, I001
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

'''

BASE = '''

class _Twin:
    """What stands for an asynchronous object."""

    __slots__ = ("_inner", "_portal")

    def __init__(self, portal: Portal, inner: Any) -> None:
        self._portal = portal
        self._inner = inner

    def __repr__(self) -> str:
        return repr(self._inner)

    def _wrap(self, value: Any) -> Any:
        """Its own kind, for what is asynchronous; anything else as it is."""
        twin = _TWINS.get(type(value))  # pyright: ignore[reportUnknownArgumentType]
        return value if twin is None else twin(self._portal, value)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self._wrap(self._portal.call(work))
        except Timeout as late:
            late.handle = self._wrap(late.handle)
            raise

    def _run(self, function: Callable[[], Any]) -> Any:
        return self._wrap(self._portal.run(function))

    def _iterate(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        for item in self._portal.iterate(items):
            yield self._wrap(item)

    def _wrapping(self, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda argument: handler(self._wrap(argument))
'''


@dataclass
class Module:
    """A source file: its classes, and where its names come from."""

    tree: ast.Module
    origins: dict[str, str]


def load(name: str) -> Module:
    tree = ast.parse((SOURCES / f"{name}.py").read_text())
    origins: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            origins.update({alias.asname or alias.name: module for alias in node.names})
        elif isinstance(node, ast.Import):
            origins.update({alias.name: "" for alias in node.names})
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            origins[node.name] = f".{name}"
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            origins[node.targets[0].id] = f".{name}"
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            origins[node.target.id] = f".{name}"
    return Module(tree, origins)


def plain_words(text: str) -> str:
    """A docstring, as plain code reads it."""
    for old, new in (
        (r"async with await ", "with "),
        (r"async (with|for|def)", r"\1"),
        (r"\bawait ", ""),
    ):
        text = re.sub(old, new, text)
    return text


class Twin:
    """Writes the twin of one class."""

    def __init__(self, name: str, module: Module, used: set[str]) -> None:
        self.name = name
        self.module = module
        self.used = used
        self.node = next(
            one for one in module.tree.body if isinstance(one, ast.ClassDef) and one.name == name
        )

    def text(self) -> str:
        base = f"_Twin, Generic[{GENERIC[self.name]}]" if self.name in GENERIC else "_Twin"
        lines = ["", "", f"class {self.name}({base}):"]
        if docs := ast.get_docstring(self.node):
            lines.append(self.docs(docs, "    "))
        lines += ["", "    __slots__ = ()"]
        if self.name in ("Task", "Call"):
            inner = f"_task.{self.name}" + ("[P]" if self.name == "Task" else "")
            lines += [
                "",
                "    @classmethod",
                f"    def of(cls, inner: {inner}) -> {self.name}{'[P]' if 'P' in inner else ''}:",
                '        """For a plain handler that an asynchronous worker calls in a thread."""',
                "        return cls(Portal.here(), inner)",
            ]
        lines += self.attributes()
        for one in self.node.body:
            if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines += self.method(one)
        return "\n".join(lines)

    def docs(self, text: str, indent: str) -> str:
        lines = plain_words(text).split("\n")
        last = '"""' if len(lines) == 1 else f'\n{indent}"""'
        body = "\n".join((indent + line).rstrip() if i else line for i, line in enumerate(lines))
        return f'{indent}"""{body}{last}'

    def attributes(self) -> list[str]:
        """What ``__init__`` gives a public name."""
        lines: list[str] = []
        init = next(
            (
                one
                for one in self.node.body
                if isinstance(one, ast.FunctionDef) and one.name == "__init__"
            ),
            None,
        )
        for node in ast.walk(init) if init else ():
            targets: list[tuple[ast.expr, ast.expr | None, ast.expr | None]] = []
            if isinstance(node, ast.Assign):
                targets = [(node.targets[0], None, node.value)]
            elif isinstance(node, ast.AnnAssign):
                targets = [(node.target, node.annotation, node.value)]
            for target, annotation, value in targets:
                if isinstance(target, ast.Attribute) and not target.attr.startswith("_"):
                    lines += self.attribute(target.attr, annotation, value)
        return lines

    def attribute(
        self, name: str, annotation: ast.expr | None, value: ast.expr | None
    ) -> list[str]:
        made = (
            value.func.id
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name)
            else ""
        )
        if made in WRAPPED:
            kind = made
        elif annotation is not None:
            kind = self.kind(annotation)
        elif name == "payload":
            kind = "P"
        elif name in ("name",):
            kind = "str"
        else:
            return []
        return [
            "",
            "    @property",
            f"    def {name}(self) -> {kind}:",
            f"        return self._wrap(self._inner.{name})",
        ]

    def kind(self, annotation: ast.expr | None) -> str:
        """An annotation, in words of this module."""
        if annotation is None:
            return "None"
        text = ast.unparse(annotation)
        for name in re.findall(r"[A-Za-z_][A-Za-z0-9_]*", text):
            if name not in WRAPPED and name not in ALIASES and name in self.module.origins:
                self.used.add(f"{self.module.origins[name]}:{name}")
        return text

    def method(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
        name = node.name
        special = {
            "__aenter__": self.enter,
            "__aexit__": self.leave,
            "__anext__": self.following,
            "__aiter__": self.iterating,
        }
        if name in special:
            return special[name](node)
        if name.startswith("_") or name in INTERNAL.get(self.name, set()):
            return []
        if any(isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list):
            kind = self.kind(node.returns)
            return self.written(
                ["@property", f"def {name}(self) -> {kind}:"],
                node,
                f"return self._wrap(self._inner.{name})",
            )
        head = self.signature(node)
        call = f"self._inner.{name}({self.passed(node)})"
        returned = ast.unparse(node.returns) if node.returns else "None"
        if re.match(r"Async(Iterator|Generator)\[", returned):
            return self.written([head], node, f"return self._iterate({call})")
        how = (
            f"self._call({call})"
            if isinstance(node, ast.AsyncFunctionDef)
            else f"self._run(lambda: {call})"
        )
        if self.name == "Agent" and name == "close":
            return self.written([head], node, how, "self._portal.close()")
        if returned == "None":
            return self.written([head], node, how)
        chained = returned == self.name and self.name == "Transaction"
        if chained:
            return self.written([head], node, how, "return self")
        return self.written([head], node, f"return {how}")

    def written(
        self, head: list[str], node: ast.FunctionDef | ast.AsyncFunctionDef, *body: str
    ) -> list[str]:
        lines = ["", *("    " + line for line in head)]
        if docs := ast.get_docstring(node):
            lines.append(self.docs(docs, "        "))
        return lines + ["        " + line for line in body]

    def signature(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        arguments = node.args
        parts = ["self"]
        positional = arguments.args[1:]
        defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
        parts += [self.parameter(one, default) for one, default in zip(positional, defaults)]
        if arguments.kwonlyargs:
            parts.append("*")
            pairs = zip(arguments.kwonlyargs, arguments.kw_defaults)
            parts += [self.parameter(one, default) for one, default in pairs]
        if arguments.kwarg:
            parts.append(f"**{arguments.kwarg.arg}: {self.kind(arguments.kwarg.annotation)}")
        returned = self.kind(node.returns)
        returned = re.sub(r"AsyncGenerator\[(.*), None\]", r"Iterator[\1]", returned)
        returned = returned.replace("AsyncIterator[", "Iterator[")
        one_line = f"def {node.name}({', '.join(parts)}) -> {returned}:"
        if len(one_line) + 4 <= 100:
            return one_line
        inner = "".join(f"        {part},\n" for part in parts)
        return f"def {node.name}(\n{inner}    ) -> {returned}:"

    def parameter(self, one: ast.arg, default: ast.expr | None) -> str:
        kind = self.kind(one.annotation)
        if default is None:
            return f"{one.arg}: {kind}"
        text = ast.unparse(default)
        if text in self.module.origins:
            self.used.add(f"{self.module.origins[text]}:{text}")
        return f"{one.arg}: {kind} = {text.replace(chr(39), chr(34))}"

    def passed(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        wrapped = HANDED.get((self.name, node.name))
        parts = [
            f"self._wrapping({one.arg})" if wrapped and one.arg == "handler" else one.arg
            for one in node.args.args[1:]
        ]
        parts += [f"{one.arg}={one.arg}" for one in node.args.kwonlyargs]
        if node.args.kwarg:
            parts.append(f"**{node.args.kwarg.arg}")
        return ", ".join(parts)

    def own(self) -> str:
        return f"{self.name}[{GENERIC[self.name]}]" if self.name in GENERIC else self.name

    def enter(self, node: ast.AsyncFunctionDef) -> list[str]:
        return [
            "",
            f"    def __enter__(self) -> {self.own()}:",
            "        self._portal.call(self._inner.__aenter__())",
            "        return self",
        ]

    def leave(self, node: ast.AsyncFunctionDef) -> list[str]:
        for one in ("TracebackType",):
            self.used.add(f"types:{one}")
        lines = [
            "",
            "    def __exit__(",
            "        self,",
            "        kind: type[BaseException] | None,",
            "        error: BaseException | None,",
            "        trace: TracebackType | None,",
            "    ) -> None:",
            "        self._portal.call(self._inner.__aexit__(kind, error, trace))",
        ]
        return [*lines, "        self._portal.close()"] if self.name == "Agent" else lines

    def following(self, node: ast.AsyncFunctionDef) -> list[str]:
        kind = self.kind(node.returns)
        return [
            "",
            f"    def __next__(self) -> {kind}:",
            "        try:",
            "            return self._call(self._inner.__anext__())",
            "        except StopAsyncIteration:",
            "            raise StopIteration from None",
        ]

    def iterating(self, node: ast.FunctionDef) -> list[str]:
        return ["", f"    def __iter__(self) -> {self.own()}:", "        return self"]


def connect(module: Module, used: set[str]) -> str:
    node = next(
        one
        for one in module.tree.body
        if isinstance(one, ast.FunctionDef) and one.name == "connect"
    )
    writer = Twin("Agent", module, used)
    node.args.args.insert(0, ast.arg("self"))  # as in a method
    head = writer.signature(node).replace("self, ", "", 1).replace("        self,\n", "", 1)
    del node.args.args[0]
    head = (
        head.replace("-> Connecting", "-> Agent")
        .replace("\n        ", "\n    ")
        .replace("\n    )", "\n)")
    )
    used.discard(".agent:Connecting")
    docs = writer.docs(
        (ast.get_docstring(node) or "").replace(
            "``async with connect(…) as me:``, or ``me = await connect(…)``",
            "``with connect(…) as me:``, or ``me = connect(…)``",
        ),
        "    ",
    )
    passed = ", ".join(
        [one.arg for one in node.args.args]
        + [f"{one.arg}={one.arg}" for one in node.args.kwonlyargs]
    )
    return f"""

{head}
{docs}
    connecting = _agent.connect({passed})
    portal = Portal.start()
    try:
        return Agent(portal, portal.call(_connected(connecting)))
    except BaseException:
        portal.close()
        raise


async def _connected(connecting: Any) -> Any:
    return await connecting
"""


def imported(module: str, names: set[str]) -> str:
    line = f"from {module} import {', '.join(sorted(names))}"
    if len(line) <= 100:
        return line
    return f"from {module} import (\n" + "".join(f"    {one},\n" for one in sorted(names)) + ")"


def imports(used: set[str]) -> str:
    modules: dict[str, set[str]] = {
        "collections.abc": {"AsyncIterator", "Callable", "Coroutine", "Iterator"},
        "typing": {"Any", "Generic", "TypeVar", "TYPE_CHECKING", "Union"},
        "._portal": {"Portal"},
        ".errors": {"Timeout"},
        ".worker": {"Worker"},
    }
    plain: set[str] = set()
    checked: set[str] = set()
    for one in used:
        module, name = one.split(":")
        if module == "":
            plain.add(name)
        elif module == "typing_extensions":
            checked.add(name)
        elif name not in ("AsyncGenerator",) and len(name) > 1:
            modules.setdefault(module, set()).add(name)
    modules["collections.abc"].discard("AsyncGenerator")
    lines = [f"import {name}" for name in sorted(plain)]
    outside = sorted(one for one in modules if not one.startswith("."))
    inside = sorted(one for one in modules if one.startswith("."))
    lines += [imported(one, modules[one]) for one in outside]
    lines += ["", "ALIASES"]
    lines += [imported(one, modules[one]) for one in inside]
    lines += ["", "if TYPE_CHECKING:"]
    lines += [f"    from typing_extensions import {name}" for name in sorted(checked)]
    return "\n".join(lines) + '\n\nT = TypeVar("T")\nP = TypeVar("P")\n'


def generate() -> str:
    used: set[str] = set()
    modules = {name: load(name) for name, _ in CLASSES}
    twins = [Twin(name, modules[module], used).text() for module, name in CLASSES]
    opened = connect(modules["agent"], used)
    rows = "".join(
        f"    _{name}: {name},\n" if module.startswith("_") else f"    _{module}.{name}: {name},\n"
        for module, name in CLASSES
    )
    sources = sorted({module for module, _ in CLASSES if not module.startswith("_")})
    aliases = "".join(f"from . import {one} as _{one}\n" for one in sources)
    aliases += (
        "from ._scope import Listener as _Listener\nfrom ._streams import Stream as _Stream\n"
    )
    table = f"\n\n_TWINS: dict[type[Any], Callable[[Portal, Any], Any]] = {{\n{rows}}}\n"
    exported = sorted({"Worker", "connect", *WRAPPED})
    names = "\n__all__ = [\n" + "".join(f'    "{one}",\n' for one in exported) + "]\n"
    head = imports(used).replace("ALIASES\n", aliases)
    aliases = "".join(f"\n\n{name} = {union}\n" for name, union in ALIASES.items())
    classes = "".join(one + "\n" for one in twins)
    return HEAD + head + names + BASE + classes + aliases + opened + table


def main() -> int:
    text = generate()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() == text:
            return 0
        print(f"{TARGET.name} is stale: run tools/generate_sync.py", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
