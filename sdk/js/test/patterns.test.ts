import assert from "node:assert/strict";
import { describe, it } from "node:test";

import {
  type Change,
  type GatewayEvent,
  type HallwardAgents,
  Malformed,
  type PendingApproval,
  SessionTaken,
  Undecodable,
} from "hallward";

import { MemoryLogger, Program, Seen, agent, fresh, gate, soon, testGateway } from "./harness.js";

const gateway = await testGateway();

async function two() {
  const name = fresh("room");
  const [ann, ben] = [await agent(gateway, "ann"), await agent(gateway, "ben")];
  return { ann, ben, name, here: ann.joinRoom(name), there: ben.joinRoom(name) };
}

/** Reads an iterator in the background until the test is over. */
function read<T>(items: AsyncIterable<T>): Seen<T> {
  const seen = new Seen<T>();
  void (async () => {
    for await (const item of items) seen.add(item);
  })().catch(() => {});
  return seen;
}

describe("a message that is no JSON", () => {
  for (const [what, bytes] of [
    ["text", "Lunch?"],
    ["text that is not ASCII", "Über Mittag?"],
  ] as const) {
    it(`${what} is an error with a type, passed over and logged`, async () => {
      const logger = new MemoryLogger();
      const me = await agent(gateway, "me", { logger });
      const other = await agent(gateway, "other");
      const name = fresh("room");
      const room = me.joinRoom(name);
      const caught = new Seen<unknown>();
      const decoded = new Seen<unknown>();
      room.inbox.onMessage(({ text, data }) => {
        decoded.add(text && data);
      });
      room.inbox.onMessage((message) => {
        try {
          message.data;
        } catch (error) {
          caught.add(error);
          assert.equal(message.text, bytes);
        }
      });
      const { inbox } = other.joinRoom(name);
      await inbox.send(me.agent, new TextEncoder().encode(bytes));
      await inbox.send(me.agent, "behind it");
      await decoded.find((one) => one === "behind it");
      const [error] = await caught.count(1);
      assert.ok(error instanceof Undecodable && error instanceof Malformed);
      assert.match(error.message, /neither JSON nor CBOR .*`text` and `bytes`/);
      await unacked(me, 0);
      const line = logger.lines.find((one) => one.includes("passed over")) ?? "";
      assert.match(line, new RegExp(`${name}/inbox \\(from ${other.agent}, packet \\d+\\)`));
    });
  }
});

describe("a handler that keeps failing", () => {
  it("holds the acknowledgements of others back for so many attempts only", async () => {
    const logger = new MemoryLogger();
    const me = await agent(gateway, "me", { logger });
    const name = fresh("room");
    const room = me.joinRoom(name);
    const seen = new Seen<number>();
    room.inbox.onMessage(
      ({ data }) => {
        seen.add(data as number);
        if (data === 1) throw new Error("never this one");
      },
      { maxAttempts: 2 },
    );
    for (const number of [1, 2, 3]) await room.inbox.send(me.agent, number);
    await seen.count(4);
    await unacked(me, 0);
    assert.deepEqual([...seen.items].sort(), [1, 1, 2, 3]);
    assert.match(logger.lines.join("\n"), /passed over after 2 attempts .*never this one/);
    const worker = room.worker();
    worker.task("draft", () => "done");
    await worker.start();
    const failed = new Seen<string>();
    room.handoff.onResult(
      (result) => {
        failed.add(result.task);
        throw new Error("nor this");
      },
      { maxAttempts: 1 },
    );
    await room.handoff.dispatch({ type: "draft", id: "lead" });
    await failed.count(1);
    await unacked(me, 0);
    const line = logger.lines.find((one) => one.includes("handoff/result"));
    assert.match(line ?? "", /of lead, packet \d+\), which is passed over after 1 attempts/);
  });
});

/** Waits until so many messages are not acknowledged: each round trip gives handlers a turn. */
async function unacked(me: HallwardAgents, count: number): Promise<void> {
  const room = me.joinRoom(fresh("turn"));
  for (let turn = 0; me.unacked !== count; turn += 1) {
    assert.ok(turn < 1_000, `${me.unacked} messages are not acknowledged`);
    await room.agents();
  }
}

describe("the inbox", () => {
  it("carries JSON, text and bytes, and says who sent them", async () => {
    const { here, there, ann, ben } = await two();
    const seen = new Seen<{ from: string; text: string; bytes: Uint8Array }>();
    there.inbox.onMessage((message) => seen.add(message));
    await here.inbox.send(ben.agent, { lunch: [12, 30] });
    await here.inbox.send(ben.agent, new TextEncoder().encode("plain"));
    await here.inbox.send(ben.agent, new Uint8Array([0, 255]));
    const [json, text, bytes] = await seen.count(3);
    assert.equal(json?.from, ann.agent);
    assert.equal(json?.text, '{"lunch":[12,30]}');
    assert.equal(text?.text, "plain");
    assert.deepEqual([...(bytes?.bytes ?? [])], [0, 255]);
  });

  it("keeps messages for who is away, in their order", async () => {
    const { here, name } = await two();
    const carl = fresh("carl");
    for (let i = 0; i < 10; i += 1) await here.inbox.send(carl, i);
    const back = await gateway.connect(carl);
    const seen: number[] = [];
    for await (const message of back.joinRoom(name).inbox) {
      seen.push(message.data as number);
      if (seen.length === 10) break;
    }
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("acknowledges after the handler: what a killed program had not done comes again", async () => {
    const { here, name } = await two();
    const reader = fresh("reader");
    for (const text of ["first", "second", "third"]) await here.inbox.send(reader, text);
    const program = new Program("inbox.mjs", [gateway.url, reader, name, "2"]);
    await program.said.find((line) => line.got === "second");
    await program.kill();
    const again = new Program("inbox.mjs", [gateway.url, reader, name, "0"]);
    await again.said.find((line) => line.got === "third");
    const got = again.said.items.filter((line) => "got" in line).map((line) => line.got);
    assert.deepEqual(got, ["second", "third"]);
    await again.kill();
  });

  it("acknowledges in the order of receipt, whatever ends first", async () => {
    const { here, there, ben } = await two();
    const [first, second] = [gate(), gate()];
    const handled = new Seen<string>();
    there.inbox.onMessage(async (message) => {
      await (message.data === "first" ? first.promise : second.promise);
      handled.add(message.data);
    });
    await here.inbox.send(ben.agent, "first");
    await here.inbox.send(ben.agent, "second");
    second.open();
    await handled.find((text) => text === "second");
    assert.equal(ben.unacked, 2);
    first.open();
    await handled.count(2);
    await soon(there.agents());
    assert.equal(ben.unacked, 0);
  });

  it("gives what an iterator had in hand to the next one", async () => {
    const { here, there, ben } = await two();
    for (const text of ["one", "two"]) await here.inbox.send(ben.agent, text);
    for await (const message of there.inbox) {
      assert.equal(message.data, "one");
      break; // Not done: the loop did not ask for the next one.
    }
    for await (const message of there.inbox) {
      assert.equal(message.data, "one");
      message.ack();
      break;
    }
  });
});

describe("the blackboard", () => {
  it("sets, gets, merges and deletes with versions", async () => {
    const { here, there } = await two();
    assert.deepEqual(await here.blackboard.set("plan/a", { x: 1 }), { version: 1, revision: 1 });
    await here.blackboard.set("plan/a", { y: 2 }, { merge: true, ifVersion: 1 });
    assert.deepEqual(await there.blackboard.get("plan/a"), { x: 1, y: 2 });
    const entry = await there.blackboard.fetch("plan/a");
    assert.deepEqual([entry?.version, entry?.value], [2, { x: 1, y: 2 }]);
    await here.blackboard.delete("plan/a", { ifVersion: 2 });
    assert.equal(await there.blackboard.fetch("plan/a"), undefined);
    assert.equal(await there.blackboard.get("never"), undefined);
    const versions = await here.blackboard.history("plan/a");
    assert.deepEqual(
      versions.map((one) => one.deleted ?? one.value),
      [{ x: 1 }, { x: 1, y: 2 }, true],
    );
  });

  it("refuses a stale writer, and shows what is there", async () => {
    const { here } = await two();
    await here.blackboard.set("mood", "good");
    const stale = here.blackboard.set("mood", "bad", { ifVersion: 7 });
    await assert.rejects(stale, (error: any) => {
      assert.equal(error.kind, "Conflict");
      assert.equal(error.current.value, "good");
      return true;
    });
  });

  it("updates without losing a write of somebody else", async () => {
    const { here, there } = await two();
    const add = (count: number | undefined) => (count ?? 0) + 1;
    await Promise.all(
      [here, there, here, there].map((room) => room.blackboard.update<number>("count", add)),
    );
    assert.equal((await here.blackboard.fetch("count"))?.value, 4);
  });

  it("writes several keys or none", async () => {
    const { here } = await two();
    await here.blackboard.set("a", 1);
    const { versions } = await here.blackboard.txn([
      { op: "check", key: "a", ifVersion: 1 },
      { op: "set", key: "b", value: 2, ifVersion: 0 },
    ]);
    assert.deepEqual(versions, [{ key: "b", version: 1 }]);
    const wrong = here.blackboard.txn([
      { op: "delete", key: "a" },
      { op: "set", key: "b", value: 3, ifVersion: 0 },
    ]);
    await assert.rejects(wrong, { kind: "Conflict", path: "ops[1]" });
    const { entries } = await here.blackboard.snapshot();
    assert.deepEqual(
      entries.map(({ key, value }) => [key, value]),
      [
        ["a", 1],
        ["b", 2],
      ],
    );
  });

  it("is watched: what is there first, then each change", async () => {
    const { here, there } = await two();
    await here.blackboard.set("plan/a", 1);
    await here.blackboard.set("other", 1);
    const changes = read<Change>(there.blackboard.watch("plan"));
    await changes.find((change) => change.key === "plan/a");
    await here.blackboard.set("plan/b", 2);
    await here.blackboard.delete("plan/a");
    await changes.find((change) => change.deleted);
    assert.deepEqual(
      changes.items.map((change) => [change.key, change.value]),
      [
        ["plan/a", 1],
        ["plan/b", 2],
        ["plan/a", undefined],
      ],
    );
  });

  it("has as many keys as anybody wants", async () => {
    const { here, there } = await two();
    await Promise.all(Array.from({ length: 450 }, (_, i) => here.blackboard.set(`k/${i}`, i)));
    assert.equal(await there.blackboard.get("k/449"), 449);
    let count = 0;
    for await (const line of there.blackboard.keys({ prefix: "k" })) if (line) count += 1;
    assert.equal(count, 450);
  });

  it("lends locks, whose token fences off who held them before", async () => {
    const { here, there, ann, ben } = await two();
    const mine = await here.blackboard.lock("press");
    assert.equal(mine.holder, ann.agent);
    await assert.rejects(there.blackboard.lock("press"), (error: any) => {
      assert.equal(error.lock.holder, ann.agent);
      return error.kind === "Conflict";
    });
    await here.blackboard.set("page", 1, { fence: mine });
    const next = there.blackboard.lock("press", { wait: "20s" });
    await mine.release();
    const theirs = await soon(next);
    assert.equal(theirs.holder, ben.agent);
    assert.ok(theirs.token > mine.token && mine.signal.aborted);
    await assert.rejects(here.blackboard.set("page", 2, { fence: mine }), { kind: "Conflict" });
    await theirs.release();
  });

  it("renews a lock until it is lost, and says that it is", async () => {
    const { here, there } = await two();
    const lock = await here.blackboard.lock("press", { ttl: "300ms" });
    // Somebody who waits longer than the lease does not get it.
    await assert.rejects(there.blackboard.lock("press", { wait: "900ms" }), { kind: "Expired" });
    assert.equal(lock.signal.aborted, false);
    const lost = gate();
    lock.signal.addEventListener("abort", () => lost.open());
    await here.blackboard.unlock("press");
    await soon(lost.promise);
  });

  it("refuses a key that is none before it is sent", async () => {
    const { here } = await two();
    await assert.rejects(here.blackboard.set("a//b", 1), { kind: "Malformed" });
  });
});

describe("an approval", () => {
  it("waits for somebody's yes, who may edit what it is about", async () => {
    const { here, there, ben } = await two();
    there.approve.onRequest((request) =>
      request.approve({ edit: { title: "Moon" }, reason: "ok" }),
    );
    const approval = await here.approve.request({ action: "publish", content: { title: "Tides" } });
    assert.equal(approval.approved, true);
    assert.deepEqual(approval.content, { title: "Moon" });
    assert.equal(approval.edited, true);
    assert.deepEqual(approval.by, [ben.agent]);
  });

  it("is refused by a no, and by nobody's yes in time", async () => {
    const { here, there } = await two();
    const stop = there.approve.onRequest((request) => request.reject({ reason: "typo" }));
    const no = await here.approve.request({ action: "publish" });
    assert.deepEqual([no.approved, no.reason], [false, "typo"]);
    stop();
    const late = await here.approve.request({ action: "publish", timeout: "20ms" });
    assert.deepEqual([late.approved, late.timedOut], [false, true]);
  });

  it("is decided by those who may, and only on what they saw", async () => {
    const { here, there, ben } = await two();
    await there.announce({ role: "chief" });
    const id = fresh("go");
    const asked = here.approve.request({ id, action: "publish", approvers: ["role:chief"] });
    const { value } = await soon(there.approve.pending().next());
    const pending = value as PendingApproval;
    await assert.rejects(here.approve.decide(id, "approve"), { kind: "Forbidden" });
    const other = there.approve.decide(id, "approve", { digest: "0".repeat(64) });
    await assert.rejects(other, { kind: "Conflict" });
    await pending.defer("1h");
    await pending.approve();
    assert.deepEqual((await asked).by, [ben.agent]);
    const trail: string[] = [];
    for await (const one of here.approve.audit({ approval: id })) {
      trail.push(...one.trail.map((line) => line.act));
    }
    assert.deepEqual(trail, ["requested", "deferred", "approved"]);
  });

  it("can be taken back", async () => {
    const { here, there } = await two();
    const id = fresh("go");
    const changes = read(there.approve.watch());
    const asked = here.approve.request({ id, action: "print" });
    await changes.find((change) => change.pending !== undefined);
    await here.approve.cancel(id, { reason: "out of paper" });
    const decision = await asked;
    assert.deepEqual([decision.approved, decision.cancelled], [false, true]);
    await changes.find((change) => change.pending === undefined);
  });

  it("stands when nobody waits any more, and the same id waits again", async () => {
    const { here, there } = await two();
    const id = fresh("go");
    const abort = new AbortController();
    const spec = { id, action: "publish", content: 1 };
    const first = here.approve.request({ ...spec, signal: abort.signal });
    const { value } = await soon(there.approve.pending().next());
    abort.abort(new Error("gone"));
    await assert.rejects(first, /gone/);
    await (value as PendingApproval).approve();
    assert.equal((await here.approve.request(spec)).approved, true);
  });
});

describe("observing", () => {
  it("hears the gateway and other agents", async () => {
    const { here, there, ann } = await two();
    const seen = new Seen<{ source: string; what?: string | undefined; payload: any }>();
    there.observe.on("*", (event) => seen.add(event));
    await there.observe.listening();
    await here.observe.emit("log", { text: "coffee" }, { severity: "warning" });
    await here.blackboard.set("mood", "good");
    const said = await seen.find((event) => event.source === ann.agent);
    assert.deepEqual(said.payload, { severity: "warning", payload: { text: "coffee" } });
    await seen.find((event) => event.what === "blackboard.set");
  });

  it("hears only what was asked for", async () => {
    const { here, there, ann } = await two();
    const [kind, category, one] = [new Seen<string>(), new Seen<string>(), new Seen<string>()];
    there.observe.on("blackboard.deleted", (event) => kind.add(event.what as string));
    there.observe.on("blackboard", (event) => category.add(event.what as string));
    there.observe.on(`${ann.agent}/log`, (event) => one.add(event.category));
    await there.observe.listening();
    await here.observe.emit("other", 1);
    await here.observe.emit("log", 1);
    await here.blackboard.set("a", 1);
    await here.blackboard.delete("a");
    await category.count(2);
    await one.count(1);
    assert.deepEqual(kind.items, ["blackboard.deleted"]);
    assert.deepEqual(category.items, ["blackboard.set", "blackboard.deleted"]);
    assert.deepEqual(one.items, ["log"]);
  });

  it("replays the past, and follows it without a gap or a repeat", async () => {
    const { here, there } = await two();
    for (let i = 0; i < 5; i += 1) await here.blackboard.set("count", i);
    const past: number[] = [];
    for await (const event of there.observe.replay({ category: "blackboard" }))
      past.push(event.seq);
    assert.equal(past.length, 5);
    const live = gate();
    const events = read<GatewayEvent>(
      there.observe.events({ fromSeq: 1, category: "blackboard" }, { onLive: () => live.open() }),
    );
    await soon(live.promise);
    for (let i = 5; i < 10; i += 1) await here.blackboard.set("count", i);
    await events.count(10);
    const numbers = events.items.map((event) => event.seq);
    assert.deepEqual(
      numbers,
      [...new Set(numbers)].sort((a, b) => a - b),
    );
    assert.deepEqual(numbers.slice(0, 5), past);
  });
});

describe("a tool", () => {
  const spell = {
    description: "finds misspelt words",
    inputSchema: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
    outputSchema: { type: "object", properties: { wrong: { type: "array" } }, required: ["wrong"] },
  };

  it("is called, checked and answered", async () => {
    const { here, there, ann } = await two();
    const worker = there.worker();
    worker.tool<{ text: string }>("spell", spell, async ({ text }, call) => {
      assert.equal(call.caller, ann.agent);
      await call.progress({ read: text.length });
      return { wrong: [text] };
    });
    await worker.start();
    await here.tools.available("spell");
    const parts: unknown[] = [];
    const stream = here.tools.stream("spell", { text: "helo" });
    let step = await stream.next();
    for (; !step.done; step = await stream.next()) parts.push(step.value);
    assert.deepEqual(parts, [{ read: 4 }]);
    assert.deepEqual(step.value, { wrong: ["helo"] });
    await assert.rejects(here.tools.call("spell", {}), { kind: "Invalid", path: /text|arguments/ });
  });

  it("that nobody provides is refused at once", async () => {
    const { here } = await two();
    await assert.rejects(soon(here.tools.call("nothing")), { kind: "Unavailable" });
  });

  it("that fails, or answers what it should not, throws ToolError", async () => {
    const { here, there } = await two();
    const worker = there.worker();
    worker.tool("fails", {}, () => {
      throw new Error("no dictionary");
    });
    worker.tool("spell", spell, () => ({ right: [] }));
    await worker.start();
    await here.tools.available("spell");
    await here.tools.available("fails");
    await assert.rejects(here.tools.call("fails"), { kind: "ToolError", reason: "no dictionary" });
    await assert.rejects(here.tools.call("spell", { text: "" }), { kind: "ToolError" });
  });

  it("is told when nobody waits for its answer any more", async () => {
    const { here, there } = await two();
    const [began, stopped] = [gate(), gate<unknown>()];
    const worker = there.worker();
    worker.tool("slow", {}, async (_args, call) => {
      call.signal.addEventListener("abort", () => stopped.open(call.signal.reason));
      began.open();
      await new Promise(() => {});
    });
    await worker.start();
    await here.tools.available("slow");
    const abort = new AbortController();
    const called = here.tools.call("slow", {}, { signal: abort.signal });
    await soon(began.promise);
    abort.abort(new Error("found it"));
    await assert.rejects(called, /found it/);
    assert.match(String(await soon(stopped.promise)), /cancelled/);
  });

  it("called under an id of one's own gives its answer again", async () => {
    const { here, there } = await two();
    let calls = 0;
    const worker = there.worker();
    worker.tool("count", {}, () => {
      calls += 1;
      return { calls };
    });
    await worker.start();
    await here.tools.available("count");
    assert.deepEqual(await here.tools.call("count", {}, { id: "once" }), { calls: 1 });
    assert.deepEqual(await here.tools.call("count", {}, { id: "once" }), { calls: 1 });
    assert.equal((await here.tools.get("once")).state, "success");
  });

  it("is withdrawn when its provider stops", async () => {
    const { here, there } = await two();
    const worker = there.worker({ grace: "1s" });
    worker.tool("spell", spell, () => ({ wrong: [] }));
    await worker.start();
    const cards = read(here.tools.watch());
    await cards.find((change) => change.card?.providers.length === 1);
    await worker.drain();
    await cards.find((change) => change.card === undefined);
  });
});

describe("presence", () => {
  it("tells who is here and what they can do", async () => {
    const { here, there, ben } = await two();
    const changes = read(here.presence.watch());
    await there.announce({ name: "Ben", role: "writer", capabilities: ["draft"], capacity: 2 });
    await there.announce({ load: 0.5 });
    await changes.find((change) => change.presence?.load === 0.5);
    const [writer] = await here.agents({ role: "writer" });
    assert.deepEqual([writer?.agent, writer?.name, writer?.capacity], [ben.agent, "Ben", 2]);
    assert.deepEqual((await here.capabilities()).get("draft"), [ben.agent]);
    await there.leave();
    await changes.find((change) => change.agent === ben.agent && change.presence === undefined);
    const departed = await here.presence.departed();
    assert.ok(departed.some((one) => one.agent === ben.agent));
  });

  it("is watched in all rooms at once", async () => {
    const { ann, there, ben, name } = await two();
    const changes = read(ann.watchPresence());
    await there.announce({ role: "writer" });
    await changes.find((change) => change.room === name && change.agent === ben.agent);
  });
});

describe("a mailbox", () => {
  it("is looked into, and emptied", async () => {
    const { here } = await two();
    const away = fresh("away");
    for (const text of ["a", "b"]) await here.inbox.send(away, text);
    const kinds: string[] = [];
    for await (const mail of here.mailbox.list({ of: away })) kinds.push(mail.kind);
    assert.deepEqual(kinds, ["inbox", "inbox"]);
    assert.equal(await here.mailbox.purge({ all: true }, { of: away }), 2);
  });
});

describe("a room", () => {
  it("can be closed and opened again", async () => {
    const { here } = await two();
    await here.blackboard.set("box", 1);
    await here.close({ reason: "cleared" });
    const refused = here.blackboard.set("box", 2, { timeout: "50ms" });
    await assert.rejects(refused, { kind: "Unavailable" });
    await here.open();
    assert.equal(await here.blackboard.fetch("box"), undefined);
  });

  it("takes what there is no method for", async () => {
    const { here, ann } = await two();
    const topic = `blackboard/set/${ann.agent}/raw`;
    const reply = await here.publish(topic, { value: 1 }, { reply: true });
    assert.equal(reply?.version, 1);
  });
});

describe("another program of the same name", () => {
  it("takes over, and the first one stops for good", async () => {
    const { ann, here } = await two();
    const waiting = here.handoff.task(fresh("task")).result();
    const statuses = read(ann.status());
    const events = assert.rejects(
      soon(here.observe.events().next()),
      (error) => error instanceof SessionTaken,
    );
    waiting.catch(() => {});
    await statuses.count(1);
    const second = await gateway.connect(ann.agent);
    await events;
    assert.equal(statuses.items.at(-1)?.status, "taken");
    await assert.rejects(here.blackboard.set("a", 1), { kind: "SessionTaken" });
    assert.equal(second.connected, true);
    assert.equal(ann.connected, false);
  });
});
