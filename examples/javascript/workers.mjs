// The pipeline's workers, and somebody who decides. Ends in good order with SIGTERM or Ctrl-C.

import { Worker, connect } from "hallward";

const URL = process.env.HALLWARD_URL ?? "mqtt://127.0.0.1:1883";
const ROOM = "content-pipeline";

const writer = new Worker({ url: URL, agent: "writer", room: ROOM, capacity: 2 });

writer.task("research", ({ payload }) => ({
  query: payload.query,
  facts: [`${payload.query} is older than steam`, `${payload.query} needs the moon`],
}));

writer.task("draft", { capabilities: ["drafting"] }, async (task) => {
  const lines = [];
  for (const fact of task.payload.facts) {
    lines.push(`It is said that ${fact}.`);
    await task.progress({ lines: lines.length });
  }
  return { title: task.payload.query, text: lines.join(" ") };
});

writer.task("review", { capabilities: ["reviewing"] }, ({ payload }) => ({
  ...payload,
  text: payload.text.replaceAll("It is said that ", ""),
}));

writer.task("publish", { capabilities: ["publishing"] }, ({ payload }) => ({
  url: `https://example.org/${encodeURIComponent(payload.title)}`,
}));

const chief = await connect(URL, { agent: "chief" });
chief.joinRoom(ROOM).approve.onRequest(async (request) => {
  console.log(`approve "${request.action}" of ${JSON.stringify(request.content)}: yes`);
  await request.approve({ reason: "well written" });
});

console.log("workers are ready");
await writer.run();
await chief.close();
