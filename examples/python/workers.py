"""The workers of the pipeline: `python workers.py`, as often as you like, each under its own name.

Each takes what it can do, one task at a time. Stop one with Ctrl-C: it finishes what it has in
hand. Kill one: another takes over.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import hallward

URL = os.environ.get("HALLWARD_URL", "mqtt://localhost:1883")


@dataclass
class Query:
    query: str


@dataclass
class Facts:
    topic: str
    facts: list[str]


@dataclass
class Text:
    title: str
    body: str


worker = hallward.Worker(
    URL,
    agent=os.environ.get("HALLWARD_AGENT", f"worker-{os.getpid()}"),
    room="content-pipeline",
    role="writer",
)


@worker.task("research", timeout="5m")
async def research(task: hallward.Task[Query]) -> Facts:
    """Here an agent would search and read; this one knows two things."""
    found: list[str] = []
    for fact in ("The moon pulls.", "The water follows."):
        found.append(fact)
        await task.progress({"found": len(found)})
    return Facts(task.payload.query, found)


@worker.task("draft", timeout="5m")
async def draft(task: hallward.Task[Facts]) -> Text:
    """Here a model would write."""
    return Text(task.payload.topic.title(), " ".join(task.payload.facts))


@worker.task("review", timeout="5m")
def review(task: hallward.sync.Task[Text]) -> Text:
    """A plain function runs in a thread, so it may take its time."""
    body = task.payload.body
    return Text(task.payload.title, body if body.endswith(".") else body + ".")


@worker.task("publish", capabilities=["publishing"])
async def publish(task: hallward.Task[Text]) -> str:
    """What cannot be undone comes last, and only when somebody said yes."""
    return f"published: {task.payload.title}"


if __name__ == "__main__":
    worker.run()
