"""Does what the recipes hand out: `python worker.py`. It needs nothing but the SDK."""

from __future__ import annotations

import os
from typing import TypedDict

import hallward

URL = os.environ.get("HALLWARD_URL", "mqtt://localhost:1883")

worker = hallward.Worker(URL, agent="recipes-worker", room="newsroom", capacity=4)


class Query(TypedDict):
    query: str


class Brief(TypedDict):
    title: str


@worker.task("research")
async def research(task: hallward.Task[Query]) -> str:
    """Here an agent would search and read; this one knows one thing."""
    if task.payload["query"] != "tides":
        raise hallward.Fatal(f"nothing is known about {task.payload['query']}")
    return "The moon pulls, the water follows."


@worker.task("draft")
async def draft(task: hallward.Task[Brief]) -> dict[str, str]:
    """Here a model would write."""
    return {"title": task.payload["title"], "text": f"All about {task.payload['title']}."}


if __name__ == "__main__":
    worker.run()
