"""openai-agents: tools with `needs_approval` wait for somebody's yes in a room.

    pip install hallward openai-agents==0.24.0
    python openai_agents_approval.py issue-7

The state of the interrupted run is on the room's blackboard, and the question at the gateway. So
this program may end while it waits; started again, it goes on with the same call of the tool.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from agents import Agent, RunConfig, Runner, RunState, ToolApprovalItem, function_tool

import hallward
from stub_openai_agents import StubModel

URL = os.environ.get("HALLWARD_URL", "mqtt://localhost:1883")
QUIET = RunConfig(tracing_disabled=True)


@function_tool(needs_approval=True)
async def publish(title: str) -> str:
    """Puts an article on the front page."""
    return f"published: {title}"


publisher = Agent(
    name="publisher",
    instructions="Publish what is ready.",
    model=StubModel("publish", title="Tides"),  # yours goes here: model="gpt-…"
    tools=[publish],
)


async def decide(room: hallward.Room, run: str, state: RunState, call: ToolApprovalItem) -> None:
    """Has one call decided. Its id in the room is made of the run's name and its own."""
    arguments = json.loads(call.arguments or "{}")
    answer = await room.approve.request(
        f"call {call.name}", arguments, id=f"{run}-{call.call_id}", timeout="1h"
    )
    if not answer.approved:
        reason = answer.reason or ("nobody said yes in time" if answer.timed_out else "no")
        state.reject(call, rejection_message=f"Not approved: {reason}")
    elif answer.edited:  # a call cannot be changed, but the model can make another one
        wanted = json.dumps(answer.content)
        state.reject(call, rejection_message=f"Only approved with these arguments: {wanted}")
    else:
        state.approve(call)


async def run(room: hallward.Room, name: str, request: str) -> str:
    """Runs the agent to its end, from where it stands. `name` is the run's, in this room."""
    key = f"runs/{name}"
    stored = await room.blackboard.get(key) or {}
    if "output" in stored:
        return str(stored["output"])
    start = await RunState.from_json(publisher, stored["state"]) if stored else request
    while True:
        result = await Runner.run(publisher, start, run_config=QUIET)
        if not result.interruptions:
            await room.blackboard.set(key, {"output": str(result.final_output)}, ttl="7d")
            return str(result.final_output)
        state = result.to_state()
        await room.blackboard.set(key, {"state": state.to_json()})
        for call in result.interruptions:
            await decide(room, name, state, call)
        start = state


async def main(name: str) -> None:
    async with hallward.connect(URL, agent="openai-agents") as me:
        print(await run(await me.join("newsroom"), name, "Publish the article on tides."))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "issue-7"))
