#!/usr/bin/env bash
# CrewAI 1.15.30 runs a tool that raises six times for one call of the model's.
#
# A stub in the place of a model asks for a tool once, and gives its answer after that. The tool
# raises each time; what it did before (an order, a mail) is done as often. Expected: one run, and
# the model is told of the error and decides. Where the model asks in text, in the form that
# CrewAI's prompt wants, there are three attempts, and in each of them a tool with arguments is run
# again after whatever error, with the same ones. The model is told of one error at the end. With
# native function calling (`supports_function_calling`) there is one run, and so there is if the
# tool returns a `ToolFailure` in place of raising. Seen:
#
#   in text, with an argument, raises: asked 1, run 6
#   in text, without arguments, raises: asked 1, run 3
#   in text, with an argument, returns a ToolFailure: asked 1, run 1
#   natively, with an argument, raises: asked 1, run 1
#
# Needs bash, python3 (3.10 to 3.13) with venv, PyPI, and 1 GB for a while; takes some minutes.
# Ends with 1 if the behaviour is another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check crewai==1.15.30

cat >"$work/try.py" <<'PYTHON'
import importlib.metadata
import json
import sys

from crewai import Agent, BaseLLM, Crew, Task
from crewai.tools import BaseTool, ToolFailure

runs = []


class Order(BaseTool):
    name: str = "order"
    description: str = "Orders something."

    def _run(self, what: str) -> str:
        runs.append(what)
        raise RuntimeError("sold out")


class OrderTheUsual(BaseTool):
    name: str = "order"
    description: str = "Orders the usual."

    def _run(self) -> str:
        runs.append("the usual")
        raise RuntimeError("sold out")


class OrderOrSay(BaseTool):
    name: str = "order"
    description: str = "Orders something."

    def _run(self, what: str) -> str | ToolFailure:
        runs.append(what)
        return ToolFailure(message="sold out")


class Stub(BaseLLM):
    native: bool
    arguments: dict[str, str]
    asked: int = 0

    def supports_function_calling(self) -> bool:
        return self.native

    def call(self, *_, **__):
        if self.asked:
            return "Thought: I know.\nFinal Answer: it failed"
        self.asked += 1
        arguments = json.dumps(self.arguments)
        if self.native:
            function = {"name": "order", "arguments": arguments}
            return [{"id": "one", "type": "function", "function": function}]
        return f"Thought: I order.\nAction: order\nAction Input: {arguments}"


def outcome(native, arguments, tool):
    runs.clear()
    llm = Stub(model="stub", native=native, arguments=arguments)
    agent = Agent(role="buyer", goal="Buy.", backstory="You buy.", tools=[tool], llm=llm)
    task = Task(description="Buy tea.", expected_output="a sentence", agent=agent)
    assert "it failed" in str(Crew(agents=[agent], tasks=[task]).kickoff())
    return f"asked {llm.asked}, run {len(runs)}"


tea = {"what": "tea"}
said = {
    "in text, with an argument, raises": outcome(False, tea, Order()),
    "in text, without arguments, raises": outcome(False, {}, OrderTheUsual()),
    "in text, with an argument, returns a ToolFailure": outcome(False, tea, OrderOrSay()),
    "natively, with an argument, raises": outcome(True, tea, Order()),
}
print("crewai", importlib.metadata.version("crewai"))
print("expected: run 1 each time")
for case, seen in said.items():
    print(f"{case}: {seen}")
sys.exit([*said.values()] != [f"asked 1, run {count}" for count in (6, 3, 1, 1)])
PYTHON
cd "$work"
export HOME=$work CREWAI_DISABLE_TELEMETRY=true CREWAI_TRACING_ENABLED=false OTEL_SDK_DISABLED=true
"$work/env/bin/python" "$work/try.py"
