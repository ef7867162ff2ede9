"""FastAPI: one connection for as long as the app lives; requests hand out tasks and look at them.

    pip install hallward fastapi==0.165.0 uvicorn==0.54.0
    python worker.py
    uvicorn fastapi_lifespan:app
    curl -i localhost:8000/articles -H 'content-type: application/json' -d '{"title": "Tides"}'

No request waits for a worker, and the app keeps nothing: a task waits at the gateway, and so does
what came of it, for a day. Give each process an agent's name of its own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Depends, FastAPI, Header, HTTPException, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

import hallward

URL = os.environ.get("HALLWARD_URL", "mqtt://localhost:1883")
AGENT = os.environ.get("HALLWARD_AGENT", "web")
NAME = r"^[A-Za-z0-9_.-]{1,64}$"

log = logging.getLogger("uvicorn.error")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with hallward.connect(URL, agent=AGENT) as me:
        app.state.room = await me.join("newsroom")
        app.state.room.handoff.on_result(finished)
        yield


async def finished(result: hallward.Result) -> None:
    """Results are mail, and mail wants to be taken in. Here one could tell a browser."""
    if result.final:
        log.info("%s %s %s", result.task_type, result.task, result.status)


def newsroom(request: Request) -> hallward.Room:
    room: hallward.Room = request.app.state.room
    return room


Room = Annotated[hallward.Room, Depends(newsroom)]
app = FastAPI(lifespan=lifespan)


class Brief(BaseModel):
    title: str


class Article(BaseModel):
    id: str
    state: str
    article: Any = None
    error: str | None = None


@app.post("/articles", status_code=202)
async def order(
    brief: Brief,
    room: Room,
    response: Response,
    idempotency_key: Annotated[str | None, Header(pattern=NAME)] = None,
) -> Article:
    """Hands out the writing. A repeat with the same `Idempotency-Key` is the same article."""
    task = await room.handoff.dispatch("draft", brief, id=idempotency_key or uuid4().hex)
    response.headers["Location"] = f"/articles/{task.id}"
    return Article(id=task.id, state="waiting")


@app.get("/articles/{id}")
async def article(id: Annotated[str, Path(pattern=NAME)], room: Room) -> Article:
    """Where it stands, and the article once it is written."""
    task = await room.handoff.get(id)
    if task.type != "draft":
        raise HTTPException(404, "no such article")
    error = task.error.message if task.error else None
    return Article(id=id, state=task.state, article=task.result, error=error)


@app.exception_handler(hallward.HallwardError)
async def refused(request: Request, error: hallward.HallwardError) -> JSONResponse:
    """The gateway's codes are those of HTTP. Without one it was not reached, or not in time."""
    return JSONResponse({"detail": error.reason}, status_code=error.code or 503)
