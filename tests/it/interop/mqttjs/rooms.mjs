// The rooms through mqtt.js, as a client without any SDK uses them: topics and JSON.

import { V5, fields, forget, run, same, up } from "./peer.mjs";

const NOT_AUTHORIZED = 0x87;

async function handoffGoesFromDispatchToOneResult() {
  const base = "rooms/handoff";
  const [boss, worker] = [await up("boss"), await up("worker")];
  await boss.subscribe(`${base}/handoff/result/boss`);
  await boss.subscribe(`${base}/reply/boss`);
  await worker.subscribe(`${base}/handoff/work/draft`);
  const payload = '{"z": 1.10, "a": [null, "ü"]}';
  await boss.publish(`${base}/handoff/dispatch/boss`, `{"id":"t1","type":"draft","payload":${payload},"correlationId":"c1"}`);
  fields("reply", await boss.reply("handoff", "c1"), { command: "handoff/dispatch", status: "accepted", code: 202, task: "t1" });
  const raw = await worker.expect(`${base}/handoff/work/draft`);
  same("the payload as it was written", raw.text.includes(payload), true);
  fields("work", JSON.parse(raw.text), { task: "t1", attempt: 1, dispatcher: "boss", correlationId: "c1" });
  const update = (more) => worker.publish(`${base}/handoff/update/worker`, { task: "t1", attempt: 1, ...more });
  await update({ status: "accepted" });
  await update({ status: "progress", result: { done: 0.5 } });
  await update({ status: "success", result: { words: 900 } });
  const partial = await boss.expectJson(`${base}/handoff/result/boss`);
  fields("partial", partial, { status: "partial", final: false, result: { done: 0.5 } });
  const final = await boss.expectJson(`${base}/handoff/result/boss`);
  fields("final", final, { status: "succeeded", final: true, attempts: 1, worker: "worker", result: { words: 900 } });
  await boss.down();
  await worker.down();
}

async function blackboardKeepsVersionsAndRefusesStaleWriters() {
  const base = "rooms/blackboard";
  const [ann, late] = [await up("ann"), await up("late")];
  await ann.subscribe(`${base}/reply/ann`);
  const set = async (body) => {
    await ann.publish(`${base}/blackboard/set/ann/plan`, { correlationId: "set", ...body });
    return ann.reply("blackboard", "set");
  };
  fields("first write", await set({ value: { n: 1 }, ifVersion: 0 }), { status: "accepted", version: 1 });
  const stale = await set({ value: 2, ifVersion: 7 });
  fields("a stale writer", stale, { status: "rejected", code: 409 });
  same("what it is told", stale.current.version, 1);
  await late.subscribe(`${base}/blackboard/state/#`);
  const state = await late.expect(`${base}/blackboard/state/plan`);
  same("a late joiner has it, retained", state.retain, true);
  fields("state", JSON.parse(state.text), { key: "plan", value: { n: 1 }, version: 1, updatedBy: "ann" });
  await ann.publish(`${base}/blackboard/delete/ann/plan`, "");
  same("deleted", (await late.expect(`${base}/blackboard/state/plan`)).text, "");
  await ann.down();
  await late.down();
}

async function approveWaitsForADecision() {
  const base = "rooms/approve";
  const [agent, human] = [await up("agent"), await up("human")];
  await agent.subscribe(`${base}/approve/decision/agent`);
  await human.subscribe(`${base}/approve/pending/+`);
  await agent.publish(`${base}/approve/request/agent`, { id: "a1", action: "publish", content: { title: "Tides" } });
  const pending = await human.expectJson(`${base}/approve/pending/a1`);
  fields("pending", pending, { requester: "agent", action: "publish", content: { title: "Tides" } });
  const edit = { title: "The Tides" };
  await human.publish(`${base}/approve/decide/human/a1`, { decision: "approve", digest: pending.digest, edit });
  const decision = await agent.expectJson(`${base}/approve/decision/agent`);
  fields("decision", decision, { id: "a1", approved: true, by: ["human"], edited: true, content: edit });
  same("pending is cleared", (await human.expect(`${base}/approve/pending/a1`)).text, "");
  await agent.down();
  await human.down();
}

async function inboxWaitsForWhoIsNotThere() {
  const base = "rooms/inbox";
  await forget("absent");
  const sender = await up("sender");
  const payloads = [Buffer.from([0, 255, 1]), Buffer.from("two"), Buffer.from("three")];
  for (const payload of payloads) await sender.publish(`${base}/inbox/absent/sender`, payload);
  const absent = await up("absent");
  await absent.subscribe(`${base}/inbox/absent/+`);
  for (const payload of payloads) {
    same("as it was", (await absent.expect(`${base}/inbox/absent/sender`)).payload, payload);
  }
  await absent.down();
  await sender.down();
}

async function presenceIsKnownWithoutAWordAndBetterWithOne() {
  const base = "rooms/presence";
  const [watcher, agent] = [await up("watcher"), await up("visible")];
  await watcher.subscribe(`${base}/presence/agent/visible`);
  const until = async (wanted) => {
    for (;;) {
      const presence = await watcher.expectJson(`${base}/presence/agent/visible`);
      if (Object.entries(wanted).every(([name, value]) => presence[name] === value)) return presence;
    }
  };
  await agent.subscribe(`${base}/handoff/work/paint`);
  same("capabilities", (await until({ connection: "online" })).capabilities, ["paint"]);
  await agent.publish(`${base}/presence/announce/visible`, { name: "Vera", role: "painter", capacity: 2 });
  await until({ name: "Vera", role: "painter", capacity: 2 });
  await agent.drop();
  await until({ connection: "away" });
  await watcher.down();
}

async function observeShowsEveryChangeInOrder() {
  const base = "rooms/observe";
  const [watcher, boss] = [await up("watcher"), await up("boss")];
  await watcher.subscribe(`${base}/observe/events/#`);
  await boss.publish(`${base}/observe/events/boss/log`, { severity: "info", payload: "hello" });
  fields("an agent's own", await watcher.expectJson(`${base}/observe/events/boss/log`), { payload: "hello" });
  await boss.publish(`${base}/blackboard/set/boss/plan`, { value: 1 });
  await boss.publish(`${base}/blackboard/set/boss/plan`, { value: 2 });
  const [first, second] = [
    await watcher.expectJson(`${base}/observe/events/gateway/blackboard`),
    await watcher.expectJson(`${base}/observe/events/gateway/blackboard`),
  ];
  fields("event", first, { what: "blackboard.set", who: "boss", subject: "plan", room: "observe" });
  same("seq", second.seq, first.seq + 1);
  await watcher.down();
  await boss.down();
}

async function refusalsHaveACodeAndWords() {
  const base = "rooms/refusals";
  const mallory = await up("mallory");
  await mallory.subscribe(`${base}/reply/mallory`);
  for (const [topic, payload, code, ack] of [
    [`${base}/handoff/dispatch/boss`, { type: "x" }, 403, NOT_AUTHORIZED],
    [`${base}/inbox/ann/boss`, "x", 403, NOT_AUTHORIZED],
    [`${base}/handoff/dispatch/mallory`, "no json", 400, 0x99],
    [`${base}/handoff/cancel/mallory`, { task: "none" }, 404, 0x83],
    [`${base}/tools/call/mallory/hammer`, { arguments: {} }, 503, 0x83],
  ]) {
    same(`ack on ${topic}`, await mallory.publish(topic, payload), V5 ? ack : 0);
    const reply = await mallory.expectJson(`${base}/reply/mallory`);
    fields(topic, reply, { status: "rejected", code });
    same("words", reply.reason.length > 10, true);
  }
  await mallory.down();
}

await run([
  handoffGoesFromDispatchToOneResult,
  blackboardKeepsVersionsAndRefusesStaleWriters,
  approveWaitsForADecision,
  inboxWaitsForWhoIsNotThere,
  presenceIsKnownWithoutAWordAndBetterWithOne,
  observeShowsEveryChangeInOrder,
  refusalsHaveACodeAndWords,
]);
