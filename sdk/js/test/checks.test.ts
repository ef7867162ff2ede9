// What a call is given is looked at before anything is sent: wrong input is `Malformed` at once.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { HallwardAgents, Worker, connect } from "hallward";

import { agent, fresh, testGateway } from "./harness.js";

const gateway = await testGateway();
const malformed = { kind: "Malformed", code: 400 };
/** As a program without types would call it. */
const any = (value: unknown) => value as any;

describe("a URL", () => {
  it("that no gateway can have is refused with words", async () => {
    const wrong = ["http://127.0.0.1:1883", "", null, undefined, 5, "mqtt://", "mqtt://h:99999"];
    for (const url of [...wrong, "mqtt://h:0", "127.0.0.1:99999", "a b", "mqtt://[::1"]) {
      const options = { agent: "me" };
      const refused = { ...malformed, message: /write "mqtt:\/\/127.0.0.1:1883"/ };
      await assert.rejects(connect(any(url), options), refused, String(url));
      assert.throws(() => new Worker({ url: any(url), room: "r", ...options }), refused);
    }
  });

  it("without a scheme is one of MQTT", async () => {
    const me = await connect(gateway.url.replace("mqtt://", ""), { agent: fresh("me") });
    assert.equal(me.url, gateway.url);
    await me.joinRoom("room").agents();
    await me.close();
    for (const [url, whole] of [
      ["localhost", "mqtt://localhost"],
      ["localhost:1883", "mqtt://localhost:1883"],
      ["[::1]:1883", "mqtt://[::1]:1883"],
      ["wss://example.org/mqtt", "wss://example.org/mqtt"],
    ] as const) {
      assert.equal(new HallwardAgents(url, { agent: "me" }).url, whole);
    }
  });
});

describe("what an agent connects with", () => {
  const make = (options: unknown) => () => new HallwardAgents(gateway.url, any(options));

  it("is refused where it is none of its options", () => {
    for (const options of [undefined, null, "me", [], {}]) assert.throws(make(options), malformed);
    for (const name of [undefined, null, 5, "", "a/b", ["a"]]) {
      assert.throws(make({ agent: name }), malformed, String(name));
    }
    for (const [option, values] of Object.entries({
      window: [0, -1, "5", 1.5, 65_536, Number.NaN, null],
      maxQueued: [0, -1, "5", null],
      encoding: ["xml", 5, null],
      protocol: ["4", 5, "3.1", null],
      timeout: [-1, "soon", Number.NaN, Number.POSITIVE_INFINITY, {}],
      connectTimeout: ["soon", -1],
      sessionExpiry: ["x", -1],
      keepAlive: ["x", -1],
      username: [5],
      password: [5],
      root: [5],
      tls: ["yes", null],
      logger: [null, {}, { debug: 1 }],
    })) {
      for (const value of values) {
        assert.throws(make({ agent: "me", [option]: value }), malformed, `${option}: ${value}`);
      }
    }
  });

  it("is refused where it is unknown, with the name that is meant", () => {
    for (const [name, meant] of [
      ["keepalive", "keepAlive"],
      ["connect_timeout", "connectTimeout"],
      ["encodin", "encoding"],
      ["pasword", "password"],
    ] as const) {
      const message = new RegExp(`no field "${name}": "${meant}" is meant`);
      assert.throws(make({ agent: "me", [name]: 1 }), { ...malformed, message, path: name });
    }
    const message = /no field "foo" \(foo\)$/;
    assert.throws(make({ agent: "me", foo: 1 }), { ...malformed, message });
    const options = { url: gateway.url, agent: "me", room: "r", capcity: 2 };
    assert.throws(() => new Worker(options), { ...malformed, message: /"capcity"/ });
  });
});

describe("a call", () => {
  it("with wrong input is refused before anything is sent", async () => {
    const me = await agent(gateway, "me");
    assert.throws(() => me.joinRoom(any(5)), malformed);
    const name = fresh("room");
    const room = me.joinRoom(name);
    const { handoff, inbox, blackboard, approve, tools, observe } = room;
    const calls: Record<string, () => Promise<unknown>> = {
      "send to nobody": () => inbox.send(any(undefined), 1),
      "send to null": () => inbox.send(any(null), 1),
      "send with": () => inbox.send("you", 1, any({ tll: "1h" })),
      "dispatch nothing": () => handoff.dispatch(any(undefined)),
      "dispatch a type": () => handoff.dispatch(any("draft")),
      "dispatch {}": () => handoff.dispatch(any({})),
      "dispatch with": () => handoff.dispatch(any({ type: "a", max_attempts: 1 })),
      "dispatch id": () => handoff.dispatch(any({ type: "a", id: 5 })),
      "dispatch ttl": () => handoff.dispatch(any({ type: "a", ttl: "soon" })),
      "dispatch NaN": () => handoff.dispatch({ type: "a", payload: { a: Number.NaN } }),
      "run timeout": () => handoff.run("a", 1, { timeout: -1 }),
      "run task timeout": () => handoff.run({ type: "a" }, any({ timeout: "soon" })),
      stream: () => handoff.stream({ type: "a" }, { timeout: -1 }).next(),
      "run with": () => handoff.run("a", 1, any({ time: 1 })),
      "set key": () => blackboard.set(any(5), 1),
      "set id": () => blackboard.set("a", 1, any({ id: 5 })),
      "set with": () => blackboard.set("a", 1, any({ ifversion: 1 })),
      "set bytes": () => blackboard.set("a", new Uint8Array(2)),
      txn: () => blackboard.txn(any("a")),
      lock: () => blackboard.lock("a", any({ tl: "1s" })),
      "request nothing": () => approve.request(any(undefined)),
      "request with": () => approve.request(any({ action: "a", approver: ["b"] })),
      "call 5": () => tools.call(any(5)),
      "call id": () => tools.call("a", {}, any({ id: 5 })),
      "call onPart": () => tools.call("a", {}, any({ onPart: "x" })),
      emit: () => observe.emit("log", Number.POSITIVE_INFINITY),
      announce: () => room.announce(any({ rôle: "x" })),
    };
    for (const [what, call] of Object.entries(calls)) await assert.rejects(call, malformed, what);
    const meant = { ...malformed, message: /"maxAttempts" is meant/ };
    await assert.rejects(handoff.dispatch(any({ type: "a", max_attempts: 1 })), meant);
    const path = { ...malformed, path: "payload.a" };
    await assert.rejects(handoff.dispatch({ type: "a", payload: { a: Number.NaN } }), path);
    // Whatever had been sent would have been told of.
    const events: string[] = [];
    for await (const { what } of observe.replay()) events.push(what);
    assert.deepEqual(
      events.filter((what) => !what.startsWith("presence.")),
      [],
    );
  });

  it("without a function for a handler is refused", async () => {
    const me = await agent(gateway, "me");
    const room = me.joinRoom(fresh("room"));
    const { handoff, inbox, blackboard, approve, tools, observe, presence } = room;
    const worker = room.worker();
    for (const handler of [undefined, null, "x", {}] as any[]) {
      for (const call of [
        () => observe.on("*", handler),
        () => inbox.onMessage(handler),
        () => handoff.onResult(handler),
        () => handoff.onGroupResult(handler),
        () => handoff.onQuestion(handler),
        () => blackboard.onChange("a", handler),
        () => approve.onRequest(handler),
        () => tools.onQuestion(handler),
        () => presence.onChange(handler),
        () => me.onStatus(handler),
        () => worker.task("a", handler),
        () => worker.task("a", {}, handler),
        () => worker.tool("a", {}, handler),
      ]) {
        assert.throws(call, malformed, `${call} ${handler}`);
      }
    }
  });

  it("with a pattern or options that are none is refused", async () => {
    const me = await agent(gateway, "me");
    const { observe, inbox } = me.joinRoom(fresh("room"));
    for (const pattern of ["a/#", "a/b/c/#", "a/b/c", "#", "+", "", "+/a", "a.#/b", "ä", 5, null]) {
      assert.throws(() => observe.on(any(pattern), () => {}), malformed, String(pattern));
    }
    for (const options of [{ concurrency: 0 }, { maxAttempts: 0 }, { concurency: 1 }, null]) {
      assert.throws(() => inbox.onMessage(() => {}, any(options)), malformed);
    }
    inbox.onMessage(() => {}, { concurrency: 1, maxAttempts: Number.POSITIVE_INFINITY });
  });
});
