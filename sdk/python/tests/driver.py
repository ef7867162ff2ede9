"""A driver for the conformance list: this SDK behind lines of JSON.

See `sdk/conformance/README.md` for what each request means.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import hallward
from hallward import messages
from hallward._codec import decode
from hallward._runs import Run, TaskRun, ToolRun

Request = dict[str, Any]
Reply = Any


def emit(document: Any) -> None:
    sys.stdout.write(json.dumps(document, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def event(name: str, **fields: Any) -> None:
    emit({"event": name, **{key: value for key, value in fields.items() if value is not None}})


def written(value: Any) -> Any:
    return value.write() if isinstance(value, messages.Message) else value


class Held:
    """Handlers that wait to be told how to end."""

    def __init__(self) -> None:
        self.futures: dict[str, asyncio.Future[Any]] = {}
        self.tasks: dict[str, Any] = {}

    async def wait(self, name: str, task: Any) -> Any:
        self.futures[name] = asyncio.get_running_loop().create_future()
        self.tasks[name] = task
        return await self.futures[name]


class Driver:
    def __init__(self) -> None:
        self.agent: hallward.Agent | None = None
        self.rooms: dict[str, hallward.Room] = {}
        self.last_room: hallward.Room | None = None
        self.held = Held()
        self.acks: dict[str, Callable[[], None]] = {}
        self.worker: hallward.Worker | None = None
        self.serving: asyncio.Task[None] | None = None
        self.handles: dict[str, hallward.TaskHandle] = {}
        self.known_answers: dict[Any, Any] = {}
        self.background: set[asyncio.Task[Any]] = set()

    # Requests

    async def answer(self, request: Request) -> None:
        operation = getattr(self, "op_" + request["op"].replace(".", "_"), None)
        try:
            if operation is None:
                raise NotImplementedError(request["op"])
            emit({"n": request["n"], "ok": await operation(request) or {}})
        except NotImplementedError as error:
            emit({"n": request["n"], "error": {"kind": "Unsupported", "reason": str(error)}})
        except Exception as error:
            if not isinstance(error, hallward.HallwardError):
                logging.exception("%s", request["op"])
            emit({"n": request["n"], "error": described(error)})

    def room(self, request: Request) -> hallward.Room:
        room = self.rooms[request["room"]] if request.get("room") else self.last_room
        assert room is not None, "join comes first"
        return room

    def spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def op_connect(self, request: Request) -> Reply:
        self.agent = await hallward.connect(
            request["url"],
            agent=request["agent"],
            protocol=request.get("protocol", "5"),
            encoding=request.get("encoding", "json"),
            ephemeral=request.get("ephemeral", False),
            window=request.get("window", 256),
            timeout=request.get("timeoutMs", 30_000),
        )
        self.spawn(self.follow_status(self.agent))

    async def follow_status(self, agent: hallward.Agent) -> None:
        first = True
        async for status in agent.status():
            if not first:
                event("status", status=status.state, resumed=status.resumed)
            first = False

    async def op_join(self, request: Request) -> Reply:
        assert self.agent is not None
        room = await self.agent.join(request["room"])
        self.rooms[request["room"]] = self.last_room = room

    async def op_announce(self, request: Request) -> Reply:
        await self.room(request).presence.announce_as(request["announcement"], **timeout(request))

    async def op_agents(self, request: Request) -> Reply:
        conditions = {key: request[key] for key in _CONDITIONS if key in request}
        found = await self.room(request).presence.agents(**conditions, **timeout(request))
        return {"agents": [one.write() for one in found]}

    async def op_presence_watch(self, request: Request) -> Reply:
        async def follow(stream: Any) -> None:
            async for seen in stream:
                if seen.presence is None:
                    event("presence", agent=seen.agent, gone=True)
                else:
                    emit({"event": "presence", **seen.presence.write()})

        self.spawn(follow(await self.room(request).presence.watch()))

    # Handoff

    async def op_dispatch(self, request: Request) -> Reply:
        type_, payload, options = task_options(request["task"])
        handle = await self.room(request).handoff.dispatch(
            type_, payload, **timeout(request), **options
        )
        self.handles[handle.id] = handle
        return {"task": handle.id}

    def handle(self, request: Request) -> hallward.TaskHandle:
        known = self.handles.get(request["task"])
        return known or self.room(request).handoff.task(request["task"])

    async def op_result(self, request: Request) -> Reply:
        return (await self.handle(request).result(**timeout(request))).write()

    async def op_run(self, request: Request) -> Reply:
        type_, payload, options = task_options(request["task"])
        handoff = self.room(request).handoff
        return (await handoff.run(type_, payload, **timeout(request), **options)).write()

    async def op_stream(self, request: Request) -> Reply:
        async for news in self.handle(request).stream(**timeout(request)):
            if isinstance(news, hallward.Question):
                event("question", **question_fields(news))
            elif news.final:
                return news.write()
            else:
                event("part", task=news.task, part=news.part, result=news.result)
        raise AssertionError("a stream ends with a final result")

    async def op_results(self, request: Request) -> Reply:
        async def handler(result: hallward.Result) -> None:
            emit({"event": "result", **result.write()})
            if request.get("hold"):
                done = asyncio.Event()
                self.acks[result.task] = done.set
                await done.wait()

        self.room(request).handoff.on_result(handler)
        await self.room(request).handoff._results.ready()

    async def op_results_ack(self, request: Request) -> Reply:
        self.acks.pop(request["task"])()

    async def op_get(self, request: Request) -> Reply:
        view = await self.room(request).handoff.get(
            request["task"], payload=request.get("payload", False), **timeout(request)
        )
        return view.write()

    async def op_list(self, request: Request) -> Reply:
        conditions = {snake(key): value for key, value in rest_of(request).items()}
        return (await self.room(request).handoff.page(**conditions)).write()

    async def op_cancel(self, request: Request) -> Reply:
        handoff, reason = self.room(request).handoff, request.get("reason")
        if "group" in request:
            await handoff.cancel_group(request["group"], reason)
        else:
            await handoff.cancel(request["task"], reason)

    async def op_redrive(self, request: Request) -> Reply:
        handoff = self.room(request).handoff
        if "task" in request:
            await handoff.redrive(request["task"])
            return {}
        return (await handoff.redrive_all(request["type"], limit=request.get("limit"))).write()

    async def op_group(self, request: Request) -> Reply:
        handoff = self.room(request).handoff
        return (await handoff.group(request["group"], **timeout(request))).write()

    # Working

    async def op_worker(self, request: Request) -> Reply:
        assert self.agent is not None
        room = self.room(request)
        self.worker = hallward.Worker(
            self.agent,
            room=room.name,
            capacity=request.get("capacity", 1),
            grace=request.get("graceMs", 30_000),
            **(request.get("announcement") or {}),
        )
        for name, spec in (request.get("tasks") or {}).items():
            spec = spec if isinstance(spec, dict) else {"does": spec}
            self.worker.task(name, capabilities=spec.get("capabilities"))(self.task(spec["does"]))
        for name, spec in (request.get("tools") or {}).items():
            spec = spec if isinstance(spec, dict) else {"does": spec}
            self.worker.tool(
                name,
                description=f"does {spec['does']}",
                input_schema=spec.get("inputSchema", {"type": "object"}),
                output_schema=spec.get("outputSchema"),
                idempotent=spec.get("idempotent", False),
                timeout=spec.get("timeoutMs"),
                approval=spec.get("approval"),
            )(self.tool(spec["does"]))
        self.worker.on_change(self.changed)
        ready = asyncio.Event()
        self.serving = asyncio.get_running_loop().create_task(self.worker.serve(ready=ready))
        waiting = asyncio.get_running_loop().create_task(ready.wait())
        await asyncio.wait({waiting, self.serving}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.serving.done():
            self.serving.result()

    @staticmethod
    def changed(run: Run, what: str) -> None:
        about: dict[str, Any] = {}
        if isinstance(run, TaskRun):
            about = {"task": run.assignment.task, "attempt": run.assignment.attempt}
        elif isinstance(run, ToolRun):
            about = {"call": run.call}
        if what == "over":
            event("cancelled", **about)
        elif what in ("returned", "raised", "cancelled"):
            event("ended", outcome=what, **about)

    def task(self, does: str) -> Callable[[hallward.Task[Any]], Awaitable[Any]]:
        async def handler(task: hallward.Task[Any]) -> Any:
            fields = {"task": task.id, "attempt": task.attempt, "type": task.type}
            emit(
                {
                    "event": "task",
                    **fields,
                    "payload": task.payload,
                    "lastProgress": task.last_progress,
                }
            )
            if does == "hold":
                return await self.held.wait(task.id, task)
            if does == "progress":
                await task.progress({"half": True})
            if does == "ask":
                return [await task.ask(one) for one in task.payload["questions"]]
            if does == "retry" and task.attempt == 1:
                raise hallward.Retry("once more")
            return ending(does, task.payload)

        return handler

    def tool(self, does: str) -> Callable[..., Awaitable[Any]]:
        async def handler(arguments: dict[str, Any], call: hallward.Call) -> Any:
            emit({"event": "task", "call": call.id, "arguments": arguments})
            if does == "hold":
                return await self.held.wait(call.id, call)
            if does == "progress":
                await call.partial({"half": True})
            if does == "ask":
                return {"answers": [await call.ask(one) for one in arguments["questions"]]}
            return ending(does, {"arguments": arguments})

        return handler

    async def op_finish(self, request: Request) -> Reply:
        self.held.futures[request["task"]].set_result(request.get("value"))

    async def op_fail(self, request: Request) -> Reply:
        kind = Exception if request.get("retryable", True) else hallward.Fatal
        self.held.futures[request["task"]].set_exception(kind(request["message"]))

    async def op_progress(self, request: Request) -> Reply:
        await self.held.tasks[request["task"]].progress(request.get("value"))

    async def op_drain(self, request: Request) -> Reply:
        await self.drain()

    async def drain(self) -> None:
        if self.worker is not None and self.serving is not None:
            self.worker.stop()
            await self.serving
        if self.agent is not None:
            await self.agent.close()

    # Inbox

    async def op_inbox_send(self, request: Request) -> Reply:
        message: Any = request.get("json")
        if "text" in request:
            message = request["text"].encode()
        elif "base64" in request:
            message = base64.b64decode(request["base64"])
        await self.room(request).inbox.send(request["to"], message, **timeout(request))

    async def op_inbox_listen(self, request: Request) -> Reply:
        count = 0

        async def handler(message: hallward.InboxMessage) -> None:
            nonlocal count
            count += 1
            token = str(count)
            done = asyncio.Event()
            if request.get("hold"):
                self.acks[token] = done.set
            emit({"event": "inbox", "from": message.sender, "token": token, **content(message)})
            if request.get("hold"):
                await done.wait()

        self.room(request).inbox.on_message(handler)

    async def op_inbox_ack(self, request: Request) -> Reply:
        self.acks.pop(request["token"])()

    # Blackboard

    async def op_blackboard_set(self, request: Request) -> Reply:
        stored = await self.room(request).blackboard.set(
            request["key"],
            request["value"],
            if_version=request.get("ifVersion"),
            merge=request.get("merge", False),
            ttl=request.get("ttlMs"),
            fence=fence(request),
            **timeout(request),
        )
        return stored._asdict()

    async def op_blackboard_delete(self, request: Request) -> Reply:
        await self.room(request).blackboard.delete(
            request["key"], if_version=request.get("ifVersion"), fence=fence(request)
        )

    async def op_blackboard_fetch(self, request: Request) -> Reply:
        return {"entry": written(await self.room(request).blackboard.fetch(request["key"]))}

    async def op_blackboard_snapshot(self, request: Request) -> Reply:
        snapshot = await self.room(request).blackboard.snapshot(
            request.get("prefix"), revision=request.get("revision")
        )
        return snapshot.write()

    async def op_blackboard_txn(self, request: Request) -> Reply:
        txn = self.room(request).blackboard.txn(fence=fence(request))
        for op in request["ops"]:
            if op["op"] == "set":
                txn.set(
                    op["key"],
                    op["value"],
                    if_version=op.get("ifVersion"),
                    merge=op.get("merge", False),
                    ttl=op.get("ttlMs"),
                )
            elif op["op"] == "delete":
                txn.delete(op["key"], if_version=op.get("ifVersion"))
            else:
                txn.check(op["key"], if_version=op["ifVersion"])
        return {"versions": [one.write() for one in await txn.commit()]}

    async def op_blackboard_history(self, request: Request) -> Reply:
        blackboard = self.room(request).blackboard
        versions = await blackboard.history(request["key"], limit=request.get("limit"))
        return {"versions": [one.write() for one in versions]}

    async def op_blackboard_lock(self, request: Request) -> Reply:
        lock = self.room(request).blackboard.lock(
            request["name"], ttl=request.get("ttlMs", 30_000), wait=request.get("waitMs")
        )
        await lock.acquire(**timeout(request))
        self.held.tasks["lock:" + request["name"]] = lock
        assert self.agent is not None
        return {"name": lock.name, "token": lock.token, "holder": self.agent.name}

    async def op_blackboard_unlock(self, request: Request) -> Reply:
        await self.held.tasks.pop("lock:" + request["name"]).release()

    async def op_blackboard_watch(self, request: Request) -> Reply:
        async def follow(stream: Any) -> None:
            async for change in stream:
                if change.entry is None:
                    event("key", key=change.key, deleted=True)
                else:
                    emit({"event": "key", **change.entry.write()})

        self.spawn(follow(await self.room(request).blackboard.watch(request.get("prefix"))))

    # Approve

    async def op_approve_request(self, request: Request) -> Reply:
        decision = await self.room(request).approve.request(
            request["action"],
            request.get("content"),
            id=request.get("id"),
            approvers=request.get("approvers"),
            quorum=request.get("quorum"),
            timeout=request.get("timeoutMs", 900_000),
            on_timeout=request.get("onTimeout"),
            escalate_to=request.get("escalateTo"),
        )
        return decision.write()

    async def op_approve_pending(self, request: Request) -> Reply:
        async def follow(stream: Any) -> None:
            async for one in stream:
                if isinstance(one, hallward.Decided):
                    event("decided", id=one.id)
                else:
                    emit({"event": "pending", **one.write()})

        self.spawn(follow(await self.room(request).approve.pending()))

    async def op_approve_decide(self, request: Request) -> Reply:
        edit = {"edit": request["edit"]} if "edit" in request else {}
        await self.room(request).approve.decide(
            request["approval"],
            request["decision"],
            reason=request.get("reason"),
            digest=request.get("digest"),
            defer=request.get("deferMs"),
            **edit,
        )

    async def op_approve_cancel(self, request: Request) -> Reply:
        await self.room(request).approve.cancel(request["approval"], request.get("reason"))

    async def op_approve_audit(self, request: Request) -> Reply:
        return (await self.room(request).approve.audit(request.get("approval"))).write()

    # Observe

    async def op_observe_emit(self, request: Request) -> Reply:
        await self.room(request).observe.emit(
            request["category"], request.get("payload"), severity=request.get("severity", "info")
        )

    async def op_observe_on(self, request: Request) -> Reply:
        async def follow(stream: Any) -> None:
            async for one in stream:
                event("observed", source=one.source, category=one.category, payload=one.body)

        self.spawn(follow(await self.room(request).observe.live(request.get("category", "*"))))

    async def op_observe_events(self, request: Request) -> Reply:
        events = await self.room(request).observe.events(
            from_seq=request.get("fromSeq"), category=request.get("category", "*")
        )

        async def follow() -> None:
            while True:
                try:
                    async for one in events:
                        emit({"event": "seen", **one.write()})
                    return
                except hallward.Gap as gap:
                    event("gap", fromSeq=gap.from_seq, toSeq=gap.to_seq)

        self.spawn(follow())

    # Tools

    async def op_tools_call(self, request: Request) -> Reply:
        return await self.op_tools_stream(request)

    async def op_tools_stream(self, request: Request) -> Reply:
        async for part in self.room(request).tools.stream(
            request["tool"],
            request.get("arguments"),
            id=request.get("id"),
            call_timeout=request.get("callTimeoutMs"),
            **timeout(request),
        ):
            if isinstance(part, hallward.ToolQuestion):
                event("question", call=part.call, ask=part.ask, question=part.question)
                self.spawn(self.answer_tool(part))
            elif part.final:
                return {"call": part.call, "result": part.value}
            else:
                event("part", call=part.call, result=part.value)
        raise AssertionError("a call ends with an answer")

    async def answer_tool(self, question: hallward.ToolQuestion) -> None:
        if question.question in self.known_answers:
            await question.answer(self.known_answers[question.question])

    # Questions

    async def op_questions(self, request: Request) -> Reply:
        self.known_answers = request.get("answers") or {}

        async def handler(question: hallward.Question) -> Any:
            event("question", **question_fields(question))
            return self.known_answers.get(question.question)

        self.room(request).handoff.on_question(handler)
        await self.room(request).handoff._results.ready()

    async def op_answer(self, request: Request) -> Reply:
        await self.room(request).handoff.answer(
            request["task"], request["attempt"], request["answer"], ask=request.get("ask")
        )

    # The rest

    async def op_golden(self, request: Request) -> Reply:
        document = decode(base64.b64decode(request["base64"]))
        return {"json": messages.BY_SCHEMA[request["type"]].read(document).write()}

    async def op_publish(self, request: Request) -> Reply:
        await self.room(request).raw.publish(request["topic"], request["json"])

    async def op_unacked(self, request: Request) -> Reply:
        assert self.agent is not None
        return {"unacked": self.agent.unacked}

    async def op_close(self, request: Request) -> Reply:
        if self.agent is not None:
            await self.agent.close()


_CONDITIONS = ("role", "status", "connection", "capability")


def ending(does: str, value: Any) -> Any:
    if does == "fail":
        raise ValueError("no luck")
    if does == "fatal":
        raise hallward.Fatal("no hope")
    return value


def timeout(request: Request) -> dict[str, Any]:
    return {"timeout": request["timeoutMs"]} if "timeoutMs" in request else {}


def rest_of(request: Request) -> Request:
    return {key: value for key, value in request.items() if key not in ("n", "op", "room")}


_SNAKE = {wire: name for name, wire in messages.NAMES.items()}


def snake(wire: str) -> str:
    return _SNAKE[wire]


def task_options(task: Request) -> tuple[str, Any, dict[str, Any]]:
    options: dict[str, Any] = {}
    for key, value in task.items():
        if key == "backoff":
            value = hallward.Backoff(value["initialMs"], value["factor"], value["maxMs"])
        if key not in ("type", "payload"):
            options[snake(key).removesuffix("_ms")] = value
    return task["type"], task.get("payload"), options


def fence(request: Request) -> hallward.Fence | None:
    given = request.get("fence")
    return hallward.Fence.read(given) if given else None


def content(message: hallward.InboxMessage) -> dict[str, Any]:
    try:
        return {"json": json.loads(message.payload)}
    except ValueError:
        pass
    try:
        return {"text": message.payload.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(message.payload).decode()}


def question_fields(question: hallward.Question) -> dict[str, Any]:
    return {
        "task": question.task,
        "attempt": question.attempt,
        "ask": question.ask,
        "question": question.question,
        "schema": question.schema,
    }


def described(error: Exception) -> dict[str, Any]:
    fields: dict[str, Any] = {"kind": type(error).__name__, "reason": str(error)}
    if isinstance(error, hallward.HallwardError):
        fields |= {"code": error.code, "reason": error.reason, "path": error.path}
    if isinstance(error, hallward.TaskError):
        fields |= {"task": error.result.task, "detail": error.result.write()}
    if isinstance(error, hallward.ToolError):
        detail = {"code": error.error_code, "message": error.reason, "data": error.data}
        fields["detail"] = detail
    if isinstance(error, hallward.Conflict):
        fields |= {"current": written(error.current), "lock": written(error.lock)}
    return {key: value for key, value in fields.items() if value is not None}


async def main() -> None:
    driver = Driver()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    async def terminated() -> None:
        await driver.drain()
        ended.set()

    loop.add_signal_handler(signal.SIGTERM, lambda: driver.spawn(terminated()))
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def serve() -> None:
        while line := await reader.readline():
            driver.spawn(driver.answer(json.loads(line)))
        ended.set()

    driver.spawn(serve())
    await ended.wait()
    sys.stdout.flush()
    os._exit(0)  # at once: nothing of what still runs is ended in good order


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    asyncio.run(main())
