"""CrewAI: a tool whose work is done by whichever worker in a room can do it.

    pip install hallward crewai==1.15.30
    python worker.py
    python crewai_tool.py tides

The crew waits for the result as for that of any other tool. The worker may be another program, in
another language, on another machine, and may be started after the question was asked.
"""

from __future__ import annotations

import os
import sys

from crewai import Agent, Crew, Task
from crewai.tools import BaseTool, ToolFailure
from pydantic import BaseModel, Field, PrivateAttr

import hallward
import hallward.sync
from stub_crewai import StubModel

URL = os.environ.get("HALLWARD_URL", "mqtt://localhost:1883")


class Query(BaseModel):
    query: str = Field(description="what to look up")


class Research(BaseTool):
    name: str = "research"
    description: str = "Looks something up, and returns facts about it."
    args_schema: type[BaseModel] = Query
    _room: hallward.sync.Room = PrivateAttr()

    def __init__(self, room: hallward.sync.Room) -> None:
        super().__init__()
        self._room = room

    def _run(self, query: str) -> str | ToolFailure:
        """A failure is returned: CrewAI would run a tool that raises again, six times in all."""
        try:
            result = self._room.handoff.run("research", {"query": query}, ttl="5m")
        except hallward.HallwardError as error:
            return ToolFailure(message=str(error))
        return str(result.value)


def crew(room: hallward.sync.Room, topic: str) -> Crew:
    researcher = Agent(
        role="researcher",
        goal="Know what there is to know.",
        backstory="You ask those who can look it up.",
        tools=[Research(room)],
        llm=StubModel(model="stub", tool="research", arguments={"query": topic}),  # yours goes here
    )
    task = Task(
        description=f"Find out about {topic}.", expected_output="a sentence", agent=researcher
    )
    return Crew(agents=[researcher], tasks=[task])


def main(topic: str) -> None:
    with hallward.sync.connect(URL, agent="crew") as me:
        print(crew(me.join("newsroom"), topic).kickoff())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tides")
