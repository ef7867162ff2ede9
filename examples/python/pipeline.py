"""A team writes, reviews and publishes an article; a person says yes before it goes out.

    hallward serve                 # a gateway
    python workers.py              # workers, as many as you like
    python pipeline.py tides       # this

Every step is a task that waits for whoever can do it, and survives the end of anybody: kill this
program half-way and start it again, and it goes on where it was, for its tasks and its request for
approval have names of their own.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

import hallward

URL = os.environ.get("HALLWARD_URL", "mqtt://localhost:1883")
STEPS = ["research", "draft", "review", "publish"]
NEXT = {"research": "draft", "draft": "review"}


async def pipeline(query: str) -> str:
    """Runs the whole pipeline for one query. Returns what the publisher said; raises what a step
    came to that failed.
    """
    async with hallward.connect(URL, agent="orchestrator") as me:
        room = await me.join("content-pipeline")
        published: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        # Everything that anybody does in the room.
        room.observe.on("*", lambda seen: print(f"  {seen.source}: {seen.category} {told(seen)}"))

        for step in STEPS:  # what failed in an earlier run gets another chance
            with suppress(hallward.NotFound, hallward.Conflict):
                await room.handoff.redrive(f"{query}-{step}")
        with suppress(hallward.NotFound):  # an earlier run came that far: its result is ours
            return str((await room.handoff.task(f"{query}-publish").result()).value)

        # What everybody sees the same way.
        await room.blackboard.set(f"plan/{query}", {"steps": STEPS, "current": 0})

        async def next_step(result: hallward.Result) -> None:
            """Called with every result; acknowledged when it has returned. What it raises would be
            tried again, so a step that failed ends the program another way.
            """
            if not result.final or not result.task.startswith(f"{query}-"):
                return
            try:
                value = result.or_raise().value
            except hallward.TaskError as failed:
                published.set_exception(failed)
                return
            await room.blackboard.set(
                f"plan/{query}", {"current": STEPS.index(result.task_type) + 1}, merge=True
            )
            if result.task_type in NEXT:
                step = NEXT[result.task_type]
                await room.handoff.dispatch(step, value, id=f"{query}-{step}")
            elif result.task_type == "review":
                # A person decides. After a restart this asks nobody a second time.
                answer = await room.approve.request("publish", value, id=f"{query}-approval")
                if answer.approved:
                    await room.handoff.dispatch(
                        "publish",
                        answer.content,
                        id=f"{query}-publish",
                        capabilities=["publishing"],
                    )
                else:
                    published.set_result(f"not published: {answer.reason or answer.decision}")
            elif not published.done():
                published.set_result(value)

        room.handoff.on_result(next_step)
        await room.handoff.dispatch(
            "research", {"query": query}, id=f"{query}-research", capabilities=["research"]
        )
        return await published


def told(seen: hallward.Observed) -> str:
    """An event in a few words."""
    if seen.event is not None:
        return f"{seen.event.what} {seen.event.subject}"
    return str(seen.payload)


def main() -> None:
    try:
        print(asyncio.run(pipeline(sys.argv[1] if len(sys.argv) > 1 else "tides")))
    except hallward.HallwardError as failed:
        sys.exit(str(failed))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
