import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Fatal, NotFound, Question, Retry, Task, type TaskResult } from "hallward";

import { MemoryLogger, Program, Seen, agent, fresh, gate, soon, testGateway } from "./harness.js";

const gateway = await testGateway();

/** A dispatcher's and a worker's view of a room of their own. */
async function pair(capacity = 4) {
  const name = fresh("room");
  const editor = await agent(gateway, "editor");
  const writer = await agent(gateway, "writer");
  const room = editor.joinRoom(name);
  const worker = writer.joinRoom(name).worker({ capacity, grace: "1s" });
  return { editor, writer, room, worker, name };
}

describe("a task", () => {
  it("comes back with its worker's result", async () => {
    const { room, worker, writer } = await pair();
    worker.task<{ title: string }>("draft", (task) => ({ text: `On ${task.payload.title}` }));
    await worker.start();
    const result = await room.handoff.run<{ text: string }>("draft", { title: "Tides" });
    assert.deepEqual(result.data, { text: "On Tides" });
    assert.equal(result.worker, writer.agent);
    assert.equal(result.taskType, "draft");
    const view = await room.handoff.get(result.task, { payload: true });
    assert.equal(view.state, "succeeded");
    assert.deepEqual(view.result, { text: "On Tides" });
  });

  it("waits for a worker, which need not be there", async () => {
    const { room, worker } = await pair();
    const handle = await room.handoff.dispatch({ type: "draft", payload: 1 });
    worker.task("draft", (task) => task.payload + 1);
    await worker.start();
    assert.equal((await handle.result()).data, 2);
  });

  it("is matched by capability, whatever its type", async () => {
    const { room, worker } = await pair();
    worker.task("publish", { capabilities: ["publishing"] }, (task) => `${task.type}ed`);
    await worker.start();
    const result = await room.handoff.run({ type: "publish", capabilities: ["publishing"] });
    assert.equal(result.data, "published");
    const other = await room.handoff.run({ type: "print", capabilities: ["publishing"] });
    assert.equal(other.data, "printed");
  });

  it("streams partial results before the final one", async () => {
    const { room, worker } = await pair();
    worker.task("draft", async (task) => {
      for (const done of [1, 2, 3]) await task.progress({ done });
      return "whole";
    });
    await worker.start();
    const parts: unknown[] = [];
    for await (const part of room.handoff.stream({ type: "draft" })) {
      assert.ok(!(part instanceof Question));
      parts.push([part.final, part.part, part.data]);
    }
    assert.deepEqual(parts, [
      [false, 1, { done: 1 }],
      [false, 2, { done: 2 }],
      [false, 3, { done: 3 }],
      [true, undefined, "whole"],
    ]);
  });

  it("is tried again after an error, and knows what was said last", async () => {
    const { room, worker } = await pair();
    worker.task("draft", async (task) => {
      if (task.attempt > 1) return { attempt: task.attempt, last: task.lastProgress };
      await task.progress({ page: 7 });
      throw new Retry("out of ink", { code: "ink" });
    });
    await worker.start();
    const backoff = { initial: 1, factor: 1, max: 1 };
    const result = await room.handoff.run({ type: "draft", backoff });
    assert.deepEqual(result.data, { attempt: 2, last: { page: 7 } });
    const { history } = await room.handoff.get(result.task);
    assert.deepEqual(
      history?.map((one) => one.outcome),
      ["failed", "succeeded"],
    );
  });

  it("that fails for good throws TaskFailed with the worker's words", async () => {
    const { room, worker } = await pair();
    worker.task("draft", () => {
      throw new Fatal("no such book", { code: "missing" });
    });
    await worker.start();
    await assert.rejects(room.handoff.run("draft"), (error: any) => {
      assert.equal(error.kind, "TaskFailed");
      assert.deepEqual(error.error, { message: "no such book", code: "missing", retryable: false });
      assert.equal(error.attempts, 1);
      return true;
    });
  });

  it("whose result is too large fails with the gateway's words", async () => {
    const { room, worker } = await pair();
    worker.task("draft", () => "x".repeat(300_000));
    await worker.start();
    await assert.rejects(room.handoff.run({ type: "draft", maxAttempts: 1 }), {
      kind: "TaskFailed",
      message: /262144|larger|limit/,
    });
  });

  it("that expires throws TaskExpired", async () => {
    const { room } = await pair();
    await assert.rejects(room.handoff.run({ type: "nobody", ttl: "10ms" }), {
      kind: "TaskExpired",
    });
  });

  it("is refused at once where nobody online can do it", async () => {
    const { room } = await pair();
    const asked = room.handoff.dispatch({ type: "nobody", requireOnline: true });
    await assert.rejects(soon(asked), { kind: "Unavailable", code: 503 });
  });

  it("that is too large is refused before it is anywhere", async () => {
    const { room } = await pair();
    const payload = "x".repeat(300_000);
    await assert.rejects(room.handoff.dispatch({ type: "draft", payload }), { kind: "TooLarge" });
  });

  it("that is cancelled stops its handler at once", async () => {
    const { room, worker } = await pair();
    const began = gate<Task>();
    const stopped = gate<unknown>();
    worker.task("draft", async (task, { signal }) => {
      signal.addEventListener("abort", () => stopped.open(signal.reason));
      began.open(task);
      await new Promise(() => {});
    });
    await worker.start();
    const handle = await room.handoff.dispatch({ type: "draft" });
    const task = await soon(began.promise);
    await handle.cancel({ reason: "not needed" });
    await assert.rejects(handle.result(), { kind: "TaskCancelled", message: /not needed/ });
    const reason = (await soon(stopped.promise)) as { kind: string };
    assert.equal(reason.kind, "TaskCancelled");
    await assert.rejects(task.progress(1), { kind: "TaskCancelled" });
  });

  it("keeps its worker as long as that is at it", async () => {
    const { room, worker } = await pair();
    const events = new Seen<string>();
    room.observe.on("*", (event) => events.add(event.what as string));
    await room.observe.listening();
    const end = gate();
    worker.task("draft", async (task) => {
      await end.promise;
      return task.attempt;
    });
    await worker.start();
    const handle = await room.handoff.dispatch({ type: "draft", lease: "300ms" });
    await events.find((what) => what === "handoff.assigned");
    // A lock that nobody renews tells when three leases are over.
    await room.blackboard.lock("clock", { ttl: "900ms", renew: false });
    await events.find((what) => what === "blackboard.unlocked");
    end.open();
    assert.equal((await handle.result()).data, 1);
    assert.ok(!events.items.includes("handoff.lost"));
  });

  it("with a time limit in its handler fails when that is over", async () => {
    const { room, worker } = await pair();
    const stopped = gate();
    worker.task("draft", { timeout: "20ms" }, async (_task, { signal }) => {
      signal.addEventListener("abort", () => stopped.open());
      await new Promise(() => {});
    });
    await worker.start();
    await assert.rejects(room.handoff.run({ type: "draft", maxAttempts: 1 }), {
      kind: "TaskFailed",
      message: /within 20 ms/,
    });
    await soon(stopped.promise);
  });

  it("is given back by whoever has no handler for it", async () => {
    const { room, name, worker } = await pair();
    const stranger = await agent(gateway, "stranger");
    // It has said that it can draft, and subscribes; its next program does not know how.
    const old = stranger.joinRoom(name).worker();
    old.task("draft", () => "old");
    old.task("print", () => "old");
    await old.start();
    worker.task("draft", () => "new");
    await worker.start();
    const results = await Promise.all(Array.from({ length: 6 }, () => room.handoff.run("draft")));
    assert.ok(results.every((result) => result.data === "new" || result.data === "old"));
  });

  it("carries a trace from its dispatcher to its worker", async () => {
    const { room, worker } = await pair();
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    worker.task("draft", (task) => task.traceparent);
    await worker.start();
    const result = await room.handoff.run({ type: "draft", traceparent });
    assert.equal(result.data, traceparent);
  });
});

describe("results", () => {
  it("reach every handler, also of what failed", async () => {
    const { room, worker } = await pair();
    const seen = new Seen<TaskResult>();
    room.handoff.onResult((result) => seen.add(result));
    worker
      .task("draft", () => "text")
      .task("print", () => {
        throw new Fatal("no paper");
      });
    await worker.start();
    await room.handoff.dispatch({ type: "draft" });
    await room.handoff.dispatch({ type: "print" });
    const draft = await seen.find((result) => result.taskType === "draft");
    assert.equal(draft.data, "text");
    const print = await seen.find((result) => result.taskType === "print");
    assert.equal(print.status, "dead");
    assert.equal(print.error?.message, "no paper");
  });

  it("come again until their handler has not failed", async () => {
    const { room, worker, editor } = await pair();
    let calls = 0;
    const handled = gate();
    room.handoff.onResult(() => {
      calls += 1;
      if (calls === 1) throw new Error("the first time");
      handled.open();
    });
    worker.task("draft", () => "text");
    await worker.start();
    await room.handoff.dispatch({ type: "draft" });
    await soon(handled.promise);
    assert.equal(calls, 2);
    assert.equal(editor.unacked, 0);
  });

  it("wait, unacknowledged, for the handler that is still to come", async () => {
    const { room, worker, name, editor } = await pair();
    worker.task("draft", (task) => task.payload);
    await worker.start();
    await room.handoff.run("draft", 1);
    await room.handoff.dispatch({ id: fresh("task"), type: "draft", payload: 2 });
    await editor.close();
    const again = await gateway.connect(editor.agent);
    const seen = new Seen<TaskResult>();
    again.joinRoom(name).handoff.onResult((result) => seen.add(result));
    assert.equal((await seen.find((result) => result.data === 2)).data, 2);
  });

  it("are read one by one by an iterator, which acknowledges with its next step", async () => {
    const { room, worker, editor } = await pair();
    worker.task("draft", (task) => task.payload);
    await worker.start();
    const results = room.handoff.results<number>();
    for (const payload of [1, 2]) await room.handoff.dispatch({ type: "draft", payload });
    const seen = [(await results.next()).value.data, (await results.next()).value.data];
    assert.deepEqual(seen.sort(), [1, 2]);
    assert.equal(editor.unacked, 1);
    await results.return?.();
  });

  it("of a program that was killed go to its next run by the task's id", async () => {
    const { worker, name } = await pair();
    const end = gate();
    worker.task("draft", async (task) => {
      await end.promise;
      return task.payload + 1;
    });
    await worker.start();
    const name1 = fresh("asker");
    const first = new Program("request.mjs", [gateway.url, name1, name]);
    await first.said.find((line) => line.waiting);
    const chief = (await agent(gateway, "chief")).joinRoom(name);
    const { value: pending } = await soon(chief.approve.pending().next());
    await first.kill();
    end.open();
    await pending?.approve();
    const second = new Program("request.mjs", [gateway.url, name1, name]);
    assert.equal((await second.said.find((line) => "result" in line)).result, 2);
    assert.equal((await second.said.find((line) => "approved" in line)).approved, true);
    await second.kill();
    // And once more, when both were acknowledged already.
    const third = new Program("request.mjs", [gateway.url, name1, name]);
    assert.equal((await third.said.find((line) => "result" in line)).result, 2);
    assert.equal((await third.said.find((line) => "approved" in line)).approved, true);
    await third.kill();
  });
});

describe("many tasks", () => {
  it("are listed page by page", async () => {
    const { room } = await pair();
    const ids = new Set<string>();
    for (let i = 0; i < 60; i += 1) ids.add((await room.handoff.dispatch({ type: "later" })).id);
    const listed: string[] = [];
    for await (const task of room.handoff.list({ type: "later" })) listed.push(task.task);
    assert.deepEqual(new Set(listed), ids);
    assert.equal(listed.length, 60);
  });

  it("are gathered in a group", async () => {
    const { room, worker } = await pair();
    worker.task("count", (task) => task.payload);
    await worker.start();
    const votes = room.handoff.group("votes");
    await votes.dispatch({ type: "count", payload: 5, groupSize: 2 });
    await votes.dispatch({ type: "count", payload: 7 });
    const result = await soon(votes.result());
    assert.deepEqual(
      result.tasks.map((task) => task.result),
      [5, 7],
    );
    assert.equal(result.complete, true);
  });

  it("that are dead are given another chance", async () => {
    const { room, worker } = await pair();
    let paper = 0;
    worker.task("print", () => {
      if (paper === 0) throw new Error("no paper");
      return "printed";
    });
    await worker.start();
    const handles = await Promise.all(
      [1, 2, 3].map(() => room.handoff.dispatch({ type: "print", maxAttempts: 1 })),
    );
    for (const handle of handles) await assert.rejects(handle.result(), { kind: "TaskFailed" });
    paper = 1;
    const [first] = handles;
    await room.handoff.redrive((first as { id: string }).id);
    const { redriven } = await room.handoff.redriveAll("print");
    assert.equal(redriven, 2);
    const seen = new Seen<TaskResult>();
    room.handoff.onResult((result) => seen.add(result));
    await seen.count(3);
  });

  it("all arrive, hundreds at a time", async () => {
    const { room, worker } = await pair(64);
    worker.task("echo", (task) => task.payload);
    await worker.start();
    const results = await Promise.all(
      Array.from({ length: 500 }, (_, i) => room.handoff.run<number>("echo", i)),
    );
    assert.deepEqual(
      results.map((result) => result.data),
      results.map((_, i) => i),
    );
  });
});

describe("waiting", () => {
  it("ends at its time limit or by its signal, and the task goes on", async () => {
    const { room, worker } = await pair();
    const handle = await room.handoff.dispatch({ type: "draft" });
    await assert.rejects(handle.result({ timeout: 10 }), { kind: "Timeout" });
    const abort = new AbortController();
    const waiting = handle.result({ signal: abort.signal });
    abort.abort(new Error("changed my mind"));
    await assert.rejects(waiting, /changed my mind/);
    worker.task("draft", () => "done");
    await worker.start();
    assert.equal((await handle.result()).data, "done");
  });

  it("for a task that nobody knows is NotFound", async () => {
    const { room } = await pair();
    await assert.rejects(room.handoff.task("never").result(), (error) => error instanceof NotFound);
  });

  it("is no part of the handle: that is not a promise", async () => {
    const { room } = await pair();
    const handle = await room.handoff.dispatch({ type: "draft" });
    assert.ok(!("then" in handle));
  });
});

describe("a handler that waits for other mail", () => {
  it("is not stuck behind messages that wait for it", async () => {
    const { name, worker, room: other } = await pair();
    worker.task("draft", () => "text");
    await worker.start();
    const me = await agent(gateway, "busy", { window: 4 });
    const room = me.joinRoom(name);
    const results = new Seen<unknown>();
    // The whole window is inbox messages, and each of their handlers wants a result.
    room.inbox.onMessage(async () => {
      results.add((await room.handoff.run("draft")).data);
    });
    await Promise.all(Array.from({ length: 8 }, (_, i) => other.inbox.send(me.agent, i)));
    await results.count(8);
    assert.deepEqual(new Set(results.items), new Set(["text"]));
  });
});

describe("errors of handlers", () => {
  it("are logged", async () => {
    const name = fresh("room");
    const logger = new MemoryLogger();
    const writer = await gateway.connect(fresh("writer"), { logger });
    const worker = writer.joinRoom(name).worker();
    worker.task("draft", () => {
      throw new Fatal("broken pencil");
    });
    await worker.start();
    const editor = (await agent(gateway, "editor")).joinRoom(name);
    await assert.rejects(editor.handoff.run("draft"), { kind: "TaskFailed" });
    assert.match(logger.lines.join("\n"), /broken pencil/);
  });
});
