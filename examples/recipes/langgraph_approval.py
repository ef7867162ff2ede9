"""LangGraph: what `interrupt()` waits for is decided in a room, by whoever may.

    pip install hallward langgraph==1.2.24 langgraph-checkpoint-sqlite==3.1.2
    python langgraph_approval.py tides

The graph is checkpointed in a file, the question waits at the gateway, and both know it by the
same id, the interrupt's own. So this program may end at any time and be started again: nobody is
asked twice, nothing is written twice, and a decision that was made meanwhile counts.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, TypedDict

from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Interrupt, interrupt

import hallward

URL = os.environ.get("HALLWARD_URL", "mqtt://localhost:1883")
CHECKPOINTS = os.environ.get("CHECKPOINTS", "articles.db")

model = FakeListChatModel(responses=["The moon pulls, the water follows."])  # yours goes here


class Article(TypedDict, total=False):
    title: str
    text: str
    outcome: str


async def write(state: Article) -> Article:
    print("writing", flush=True)
    answer = await model.ainvoke(f"Write on {state['title']}.")
    return {"text": str(answer.content)}


async def publish(state: Article) -> Article:
    """What stands before an interrupt runs again when the graph goes on: so let it come first."""
    decision = interrupt({"action": "publish", "content": state})
    if not decision["approved"]:
        return {"outcome": f"not published: {decision['reason']}"}
    edited: Article = decision["content"]
    return {**edited, "outcome": "published"}


def articles() -> StateGraph[Article]:
    graph = StateGraph(Article)
    graph.add_node(write)
    graph.add_node(publish)
    graph.add_edge(START, "write")
    graph.add_edge("write", "publish")
    graph.add_edge("publish", END)
    return graph


async def decided(room: hallward.Room, waiting: Interrupt) -> tuple[str, dict[str, Any]]:
    """The decision on one interrupt; with the same id it is always the same one."""
    answer = await room.approve.request(**waiting.value, id=waiting.id, timeout="1h")
    reason = answer.reason or ("nobody said yes in time" if answer.timed_out else answer.decision)
    return waiting.id, {
        "approved": answer.approved,
        "content": answer.content,
        "reason": reason,
    }


async def run(
    graph: CompiledStateGraph[Any, Any, Any, Any], thread: str, start: Any, room: hallward.Room
) -> dict[str, Any]:
    """Runs a thread to its end, from where it stands."""
    config: RunnableConfig = {"configurable": {"thread_id": thread}}
    state = await graph.aget_state(config)
    if state.created_at is None or (state.next and not state.interrupts):
        await graph.ainvoke(start if state.created_at is None else None, config)
        state = await graph.aget_state(config)
    while state.interrupts:
        answers = await asyncio.gather(*(decided(room, one) for one in state.interrupts))
        await graph.ainvoke(Command(resume=dict(answers)), config)
        state = await graph.aget_state(config)
    return dict(state.values)


async def main(title: str) -> None:
    async with (
        AsyncSqliteSaver.from_conn_string(CHECKPOINTS) as checkpoints,
        hallward.connect(URL, agent="langgraph") as me,
    ):
        graph = articles().compile(checkpointer=checkpoints)
        article = await run(graph, title, {"title": title}, await me.join("newsroom"))
        print(f"{article['outcome']}: {article.get('text', '')}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "tides"))
