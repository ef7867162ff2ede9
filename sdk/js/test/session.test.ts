import assert from "node:assert/strict";
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { after, describe, it } from "node:test";

import {
  type ConnectionStatus,
  type GatewayEvent,
  HallwardAgents,
  type TaskResult,
  connect,
} from "hallward";
import { startGateway } from "hallward/testing";

import { MemoryLogger, Seen, agent, fresh, gate, soon, testGateway } from "./harness.js";

const gateway = await testGateway();

/** A proxy before the gateway that can cut connections, and lose what the gateway sends. */
class Proxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  muted = false;
  refuses = false;

  constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#server = createServer((near) => {
      if (this.refuses) {
        near.destroy();
        return;
      }
      const far = dial(Number(port), hostname);
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          near.destroy();
          far.destroy();
        });
      }
      near.on("data", (data) => far.write(data));
      far.on("data", (data) => void (this.muted || near.write(data)));
    });
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const { port } = this.#server.address() as { port: number };
    return `mqtt://127.0.0.1:${port}`;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }
}

async function proxied(options = {}) {
  const proxy = new Proxy(gateway.url);
  const url = await proxy.listen();
  const me = await connect(url, { agent: fresh("me"), logger: new MemoryLogger(), ...options });
  after(async () => {
    await me.close();
    proxy.close();
  });
  const statuses = new Seen<ConnectionStatus>();
  me.onStatus((status) => statuses.add(status));
  return { me, proxy, statuses, name: fresh("room") };
}

for (const protocol of ["5", "3.1.1"] as const) {
  for (const encoding of ["json", "cbor"] as const) {
    describe(`MQTT ${protocol} with ${encoding}`, () => {
      it("speaks every pattern", async () => {
        const options = { protocol, encoding };
        const [ann, ben] = [await agent(gateway, "a", options), await agent(gateway, "b", options)];
        const name = fresh("room");
        const [here, there] = [ann.joinRoom(name), ben.joinRoom(name)];
        const worker = there.worker({ capacity: 2 });
        worker.task("echo", (task) => task.payload);
        worker.tool("echo", {}, (args) => ({ args }));
        await worker.start();
        const value = {
          text: "ä€😀",
          n: [0, -1, 1.5, 2 ** 53 - 1, 2 ** 60, 1e300],
          deep: { a: [null, true] },
        };
        assert.deepEqual((await here.handoff.run("echo", value)).data, value);
        await here.blackboard.set("value", value);
        assert.deepEqual(await there.blackboard.get("value"), value);
        assert.deepEqual((await there.blackboard.fetch("value"))?.value, value);
        await here.tools.available("echo");
        assert.deepEqual(await here.tools.call("echo", value), { args: value });
        const inbox = there.inbox.messages();
        await here.inbox.send(ben.agent, value);
        assert.deepEqual((await soon(inbox.next())).value.data, value);
        there.approve.onRequest((request) => request.approve());
        const approval = await here.approve.request({ action: "go", content: value });
        assert.deepEqual(approval.content, value);
        await assert.rejects(here.blackboard.set("value", 1, { ifVersion: 9 }), {
          kind: "Conflict",
        });
      });
    });
  }
}

describe("integers beyond 2^53", () => {
  it("arrive as they are, or are refused", async () => {
    const ann = await agent(gateway, "a", { encoding: "cbor" });
    const ben = await agent(gateway, "b");
    const name = fresh("room");
    const [here, there] = [ann.joinRoom(name), ben.joinRoom(name)];
    for (const value of [2n ** 53n + 1n, 2n ** 64n - 1n, -(2n ** 63n)]) {
      await here.blackboard.set("big", value);
      assert.equal((await here.blackboard.fetch("big"))?.value, value);
      assert.equal((await there.blackboard.fetch("big"))?.value, value);
    }
    const refused = { kind: "Malformed", path: "value" };
    await assert.rejects(here.blackboard.set("big", 2n ** 64n + 5n), refused);
    await assert.rejects(there.blackboard.set("big", 5n), refused);
    await assert.rejects(there.inbox.send(ann.agent, 5n), { kind: "Malformed" });
  });
});

describe("a packet that the gateway does not take", () => {
  const small = testGateway({ env: { HALLWARD__MQTT__MAX_PACKET: "4KiB" } });
  const refused = { kind: "TooLarge", code: 413, message: /the gateway takes no more than 4096/ };

  it("is refused before it is sent, and the connection stays", async () => {
    const me = await agent(await small, "me");
    const statuses = new Seen<ConnectionStatus>();
    me.onStatus((status) => statuses.add(status));
    const room = me.joinRoom(fresh("room"));
    const large = "ä".repeat(2_100);
    await assert.rejects(room.blackboard.set("a", large), refused);
    await assert.rejects(room.handoff.dispatch({ type: "a", payload: large }), refused);
    await assert.rejects(room.tools.call("a", large), refused);
    await assert.rejects(room.inbox.send(me.agent, new Uint8Array(4_096)), refused);
    await assert.rejects(room.observe.emit("log", large), refused);
    await assert.rejects(room.publish(`observe/events/${me.agent}/log`, large), refused);
    await room.blackboard.set("a", 1);
    assert.deepEqual(statuses.items, []);
  });

  it("is measured to the byte", async () => {
    const me = await agent(await small, "me");
    const room = me.joinRoom("r");
    const topic = `rooms/r/inbox/${me.agent}/${me.agent}`;
    // Fixed header, topic, packet id, properties.
    const around = { plain: 3 + 2 + topic.length + 2 + 1, ttl: 3 + 2 + topic.length + 2 + 1 + 5 };
    const bytes = (count: number) => new Uint8Array(count);
    await room.inbox.send(me.agent, bytes(4_096 - around.plain));
    await assert.rejects(room.inbox.send(me.agent, bytes(4_097 - around.plain)), refused);
    await room.inbox.send(me.agent, bytes(4_096 - around.ttl), { ttl: "1h" });
    const late = room.inbox.send(me.agent, bytes(4_097 - around.ttl), { ttl: "1h" });
    await assert.rejects(late, refused);
    assert.equal(me.connected, true);
  });

  it("fails the task or the call whose result it is", async () => {
    const me = await agent(await small, "me");
    const room = me.joinRoom(fresh("room"));
    const worker = room.worker();
    worker.task("long", () => "x".repeat(5_000)).task("odd", () => Number.NaN);
    worker.tool("long", {}, () => "x".repeat(5_000)).tool("odd", {}, () => Number.NaN);
    await worker.start();
    for (const name of ["long", "odd"]) {
      await assert.rejects(room.handoff.run(name), { kind: "TaskFailed" });
      await room.tools.available(name);
      await assert.rejects(room.tools.call(name), { kind: "ToolError" });
    }
  });
});

describe("a connection that breaks", () => {
  it("is made again, with its session", async () => {
    const { me, proxy, statuses, name } = await proxied();
    const room = me.joinRoom(name);
    await room.blackboard.set("a", 1);
    proxy.cut();
    await room.blackboard.set("a", 2);
    await statuses.find((one) => one.status === "connected" && one.resumed);
    assert.equal((await room.blackboard.fetch("a"))?.version, 2);
  });

  it("loses no command whose answer was lost, and does none twice", async () => {
    const { me, proxy, name } = await proxied();
    const room = me.joinRoom(name);
    await room.blackboard.set("a", 0);
    proxy.muted = true;
    const set = room.blackboard.set("a", 1);
    const dispatched = room.handoff.dispatch({ type: "later" });
    const sent = room.inbox.send(fresh("somebody"), "hello");
    // The gateway has them all: somebody else sees that.
    const other = (await agent(gateway, "other")).joinRoom(name);
    for await (const change of other.blackboard.watch("a")) if (change.value === 1) break;
    proxy.cut();
    proxy.muted = false;
    assert.equal((await set).version, 2);
    await dispatched;
    await sent;
    const tasks: string[] = [];
    for await (const task of room.handoff.list()) tasks.push(task.task);
    assert.equal(tasks.length, 1);
  });

  it("runs no handler twice for what was not acknowledged", async () => {
    const { me, proxy, statuses, name } = await proxied();
    const end = gate();
    const seen = new Seen<string>();
    me.joinRoom(name).inbox.onMessage(async (message) => {
      seen.add(message.data as string);
      await end.promise;
    });
    const other = (await agent(gateway, "other")).joinRoom(name);
    for (const text of ["one", "two"]) await other.inbox.send(me.agent, text);
    await seen.count(2);
    proxy.cut();
    await statuses.find((one) => one.status === "connected" && one.resumed);
    await other.inbox.send(me.agent, "three");
    await seen.count(3);
    assert.equal(me.unacked, 3);
    end.open();
    await other.inbox.send(me.agent, "four");
    await seen.count(4);
    await me.joinRoom(name).agents();
    assert.deepEqual(seen.items, ["one", "two", "three", "four"]);
    assert.equal(me.unacked, 0);
  });

  it("keeps a worker's tasks, whose results arrive afterwards", async () => {
    const { me, proxy, name } = await proxied();
    const [began, end] = [gate(), gate()];
    const worker = me.joinRoom(name).worker();
    worker.task("draft", async (task) => {
      began.open();
      await end.promise;
      return task.attempt;
    });
    await worker.start();
    const editor = (await agent(gateway, "editor")).joinRoom(name);
    const handle = await editor.handoff.dispatch({ type: "draft" });
    await soon(began.promise);
    proxy.cut();
    end.open();
    assert.equal((await handle.result()).data, 1);
  });

  it("makes a new session where the old one is gone, and shows nothing deleted", async () => {
    const { me, proxy, statuses, name } = await proxied({ ephemeral: true });
    const room = me.joinRoom(name);
    const worker = room.worker();
    worker.task("echo", (task) => task.payload).tool("echo", {}, (args) => ({ args }));
    await worker.start();
    await room.blackboard.set("gone", 1);
    await room.blackboard.set("kept", 1);
    assert.equal(await room.blackboard.get("gone"), 1);
    const deleted = gate();
    room.blackboard.onChange("gone", () => deleted.open());
    proxy.refuses = true;
    proxy.cut();
    const other = (await agent(gateway, "other")).joinRoom(name);
    await other.blackboard.delete("gone");
    await other.blackboard.set("kept", 2);
    proxy.refuses = false;
    await statuses.find((one) => one.status === "connected" && !one.resumed);
    await soon(deleted.promise);
    assert.equal(await room.blackboard.get("gone"), undefined);
    assert.equal((await other.handoff.run("echo", 5)).data, 5);
    await other.tools.available("echo");
    assert.deepEqual(await other.tools.call("echo", { a: 1 }), { args: { a: 1 } });
  });

  it("takes no more than its queue holds meanwhile", async () => {
    const { me, proxy, statuses, name } = await proxied({ maxQueued: 3, timeout: "30s" });
    const room = me.joinRoom(name);
    await room.agents();
    proxy.refuses = true;
    proxy.cut();
    await statuses.find((one) => one.status === "disconnected");
    const sets = [1, 2, 3, 4].map((value) => room.blackboard.set(`k/${value}`, value));
    await assert.rejects(sets[3] as Promise<unknown>, { kind: "Overflow" });
    proxy.refuses = false;
    await Promise.all(sets.slice(0, 3));
  });

  it("does not hold a call beyond its deadline, or its signal", async () => {
    const { me, proxy, statuses, name } = await proxied();
    const room = me.joinRoom(name);
    await room.agents();
    proxy.refuses = true;
    proxy.cut();
    await statuses.find((one) => one.status === "disconnected");
    const late = room.blackboard.set("a", 1, { timeout: "50ms" });
    await assert.rejects(late, { kind: "Timeout", message: /no connection/ });
    const signal = AbortSignal.abort(new Error("no more"));
    await assert.rejects(room.blackboard.set("b", 1, { signal }), /no more/);
  });
});

describe("a gateway that is killed", () => {
  it("comes back with all that it had acknowledged; iterators go on", async () => {
    await using own = await startGateway();
    const logger = new MemoryLogger();
    const ann = await own.connect("ann", { logger });
    const ben = await own.connect("ben", { logger });
    const [here, there] = [ann.joinRoom("room"), ben.joinRoom("room")];
    const end = gate();
    const worker = there.worker({ capacity: 8 });
    worker.task("draft", async (task) => {
      await end.promise;
      return task.payload;
    });
    await worker.start();
    const live = gate();
    const events = new Seen<GatewayEvent>();
    void (async () => {
      const all = here.observe.events({ fromSeq: 1 }, { onLive: () => live.open() });
      for await (const event of all) events.add(event);
    })().catch(() => {});
    const messages = there.inbox.messages();
    await soon(live.promise);
    const handles = await Promise.all(
      [1, 2, 3].map((payload) => here.handoff.dispatch<number>({ type: "draft", payload })),
    );
    await own.kill();
    const late = here.blackboard.set("while", "away");
    await own.restart();
    await late;
    end.open();
    const results = await Promise.all(handles.map((handle) => handle.result()));
    assert.deepEqual(
      results.map((result: TaskResult<number>) => result.data),
      [1, 2, 3],
    );
    await here.inbox.send("ben", "still there?");
    assert.equal((await soon(messages.next())).value.data, "still there?");
    await events.find((event) => event.what === "inbox.queued");
    const numbers = events.items.map((event) => event.seq);
    assert.deepEqual(
      numbers,
      Array.from(numbers, (_, i) => i + 1),
    );
  });
});

describe("connecting", () => {
  it("to nobody fails after its time", async () => {
    const silent = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    after(() => silent.close());
    const { port } = silent.address() as { port: number };
    const url = `mqtt://127.0.0.1:${port}`;
    const options = { agent: "nobody", connectTimeout: "200ms" } as const;
    await assert.rejects(connect(url, options), { kind: "Disconnected" });
  });

  it("needs a name that is one", () => {
    assert.throws(() => new HallwardAgents(gateway.url, { agent: "a/b" }), { kind: "Malformed" });
  });

  it("ends in good order: what was sent has arrived, and iterators end", async () => {
    const me = await agent(gateway, "me");
    const name = fresh("room");
    const room = me.joinRoom(name);
    const to = fresh("you");
    const sent = room.inbox.send(to, "bye");
    const events = assert.rejects(room.observe.live().next(), { kind: "Closed" });
    await me.close();
    await sent;
    await events;
    await assert.rejects(room.blackboard.set("a", 1), { kind: "Closed" });
    const you = await gateway.connect(to);
    for await (const message of you.joinRoom(name).inbox) {
      assert.equal(message.data, "bye");
      break;
    }
  });

  it("is undone at the end of its block", async () => {
    let left: HallwardAgents;
    {
      await using me = await connect(gateway.url, { agent: fresh("me") });
      left = me;
      assert.equal(me.connected, true);
    }
    assert.equal(left.over.aborted, true);
  });
});
