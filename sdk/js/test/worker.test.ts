import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { SessionTaken, Worker } from "hallward";

import { MemoryLogger, Program, Seen, agent, fresh, gate, soon, testGateway } from "./harness.js";

const gateway = await testGateway({ env: { HALLWARD__ROOMS__RECONNECT_GRACE: "200ms" } });

async function program(grace: number) {
  const name = fresh("room");
  const me = fresh("worker");
  const running = new Program("worker.mjs", [gateway.url, me, name, String(grace)]);
  await running.said.find((line) => line.ready);
  const room = (await agent(gateway, "editor")).joinRoom(name);
  return { running, room, name, me };
}

describe("a worker", () => {
  it("that is killed loses its task to another one", async () => {
    const { running, room, name } = await program(1_000);
    const lease = "500ms";
    const handle = await room.handoff.dispatch({ type: "hold", lease, backoff: BACKOFF });
    await running.said.find((line) => line.began === handle.id);
    await running.kill();
    const worker = (await agent(gateway, "heir")).joinRoom(name).worker();
    worker.task("hold", (task) => task.attempt);
    await worker.start();
    assert.equal((await handle.result()).data, 2);
  });

  it("finishes what it has on SIGTERM, takes nothing new, and exits with 0", async () => {
    const { running, room } = await program(20_000);
    const first = await room.handoff.dispatch({ type: "short", payload: { ms: 300 } });
    await running.said.find((line) => line.began === first.id);
    running.signal("SIGTERM");
    const draining = async () => (await room.agents({ status: "draining" })).length > 0;
    while (!(await draining())) if (running.said.items.some((line) => line.drained)) break;
    const second = await room.handoff.dispatch({ type: "short", payload: { ms: 1 } });
    assert.deepEqual((await first.result()).data, { done: first.id });
    assert.equal(await soon(running.exited), 0);
    assert.ok(running.said.items.some((line) => line.drained));
    assert.equal((await second.status()).state, "queued");
  });

  it("gives back what is not done when its grace is over", async () => {
    const { running, room, name } = await program(100);
    const handle = await room.handoff.dispatch({ type: "hold" });
    await running.said.find((line) => line.began === handle.id);
    running.signal("SIGTERM");
    assert.equal(await soon(running.exited), 0);
    assert.deepEqual(
      running.said.items.filter((line) => line.aborted).map((line) => line.reason),
      ["Draining"],
    );
    const { history } = await handle.status();
    assert.equal(history?.at(-1)?.outcome, "released");
    const worker = (await agent(gateway, "heir")).joinRoom(name).worker();
    worker.task("hold", () => "done");
    await worker.start();
    assert.equal((await handle.result()).data, "done");
  });

  it("ends at once at a second signal", async () => {
    const { running, room } = await program(60_000);
    const handle = await room.handoff.dispatch({ type: "hold" });
    await running.said.find((line) => line.began === handle.id);
    running.signal("SIGTERM");
    const isDraining = async () => (await room.agents({ status: "draining" })).length > 0;
    while (!(await isDraining()));
    running.signal("SIGTERM");
    assert.equal(await soon(running.exited), 143);
  });

  it("stops when another program takes its name, and says so", async () => {
    const name = fresh("room");
    const me = fresh("worker");
    const worker = new Worker({
      url: gateway.url,
      agent: me,
      room: name,
      logger: new MemoryLogger(),
    });
    const [began, aborted] = [gate(), gate<unknown>()];
    worker.task("hold", async (_task, { signal }) => {
      signal.addEventListener("abort", () => aborted.open(signal.reason));
      began.open();
      await new Promise(() => {});
    });
    const running = assert.rejects(worker.run({ handleSignals: false }), SessionTaken);
    const editor = (await agent(gateway, "editor")).joinRoom(name);
    await editor.handoff.dispatch({ type: "hold" });
    await soon(began.promise);
    await gateway.connect(me);
    await soon(running);
    assert.ok((await soon(aborted.promise)) instanceof SessionTaken);
  });

  it("stops in good order by its signal", async () => {
    const stop = new AbortController();
    const options = { url: gateway.url, agent: fresh("worker"), room: fresh("room") };
    const worker = new Worker({ ...options, logger: new MemoryLogger() });
    worker.task("echo", (task) => task.payload);
    const running = worker.run({ signal: stop.signal, handleSignals: false });
    const editor = (await agent(gateway, "editor")).joinRoom(options.room);
    assert.equal((await editor.handoff.run("echo", 1)).data, 1);
    stop.abort();
    await soon(running);
    assert.equal(worker.agents.connected, false);
  });

  it("has no more in hand than its capacity", async () => {
    const name = fresh("room");
    const worker = (await agent(gateway, "worker")).joinRoom(name).worker({ capacity: 2 });
    const ends = [gate(), gate(), gate(), gate()];
    const began = new Seen<number>();
    worker.task<number>("hold", async (task) => {
      began.add(worker.inFlight);
      await ends[task.payload]?.promise;
    });
    await worker.start();
    const room = (await agent(gateway, "editor")).joinRoom(name);
    const handles = await Promise.all(
      ends.map((_, payload) => room.handoff.dispatch({ type: "hold", payload })),
    );
    await began.count(2);
    for (const end of ends) end.open();
    for (const handle of handles) await handle.result();
    assert.ok(Math.max(...began.items) <= 2);
  });

  it("is set up before it starts", async () => {
    const room = (await agent(gateway, "worker")).joinRoom(fresh("room"));
    const worker = room.worker();
    worker.task("echo", (task) => task.payload);
    await worker.start();
    assert.throws(() => worker.task("late", () => 1), /has started/);
    assert.throws(() => room.worker(), /one worker in a room/);
    await worker.drain();
    room.worker();
  });
});

const BACKOFF = { initial: 1, factor: 1, max: 1 } as const;
