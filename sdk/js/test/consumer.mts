// A program of somebody who has installed the package: types, and one task there and back.

import assert from "node:assert/strict";

import { HallwardAgents, type TaskResult, Worker, connect } from "hallward";
import { startGateway } from "hallward/testing";

interface Facts {
  query: string;
}

interface Draft {
  words: number;
}

await using gateway = await startGateway();
const worker = new Worker({ url: gateway.url, agent: "writer", room: "newsroom" });
worker.task<Facts, Draft>("draft", (task, { signal }) => {
  signal.throwIfAborted();
  return { words: task.payload.query.length };
});
worker.tool<{ text: string }, { upper: string }>("upper", {}, ({ text }) => ({
  upper: text.toUpperCase(),
}));
const running = worker.run();

const me: HallwardAgents = await connect(gateway.url, { agent: "editor" });
const room = me.joinRoom("newsroom");
const result: TaskResult<Draft> = await room.handoff.run<Draft, Facts>("draft", { query: "tides" });
assert.equal(result.data.words, 5);
await room.tools.available("upper");
const { upper } = await room.tools.call<{ upper: string }>("upper", { text: "tides" });
assert.equal(upper, "TIDES");
await me.close();
worker.stop();
await running;
