// A content pipeline: research, draft, review, a person's yes, publish.
//
// Start a gateway (`hallward serve`), then the workers, then this:
//
//   node workers.mjs & node pipeline.mjs "tidal power"
//
// Whoever watches the room decides: here an editor-in-chief who says yes, from workers.mjs.

import { HallwardAgents } from "hallward";

const [query = "tidal power"] = process.argv.slice(2);
const URL = process.env.HALLWARD_URL ?? "mqtt://127.0.0.1:1883";
const log = (e) => console.log(e.source, e.what ?? e.category, e.subject ?? "");

const agents = new HallwardAgents(URL, { agent: "orchestrator" });
await agents.connect();
const room = agents.joinRoom("content-pipeline");

// Everything that happens in the room, from now on.
room.observe.on("*", (e) => log(e));
await room.observe.listening();

// The plan, for all agents to see.
await room.blackboard.set("plan", {
  steps: ["research", "draft", "review", "publish"],
  current: 0,
});
// When this run began, by the gateway's clock, as for everything that it dates.
const { updatedAt: began } = await room.blackboard.fetch("plan");

// Whenever a step is done, the next one is handed to whoever can do it. A review waits for a yes
// before its text is published. What an earlier run left behind comes, too, and does not count.
const published = new Promise((resolve, reject) => {
  room.handoff.onResult(async (result) => {
    if (result.createdAt < began) return;
    if (result.status !== "succeeded") reject(new Error(`${result.taskType}: ${result.status}`));
    if (result.taskType === "research") {
      await room.handoff.dispatch({
        type: "draft",
        payload: result.data,
        capabilities: ["drafting"],
      });
    }
    if (result.taskType === "draft") {
      await room.handoff.dispatch({
        type: "review",
        payload: result.data,
        capabilities: ["reviewing"],
      });
    }
    if (result.taskType === "review") {
      const approval = await room.approve.request({
        action: "publish",
        content: result.data,
      });
      if (approval.approved) {
        await room.handoff.dispatch({
          type: "publish", payload: result.data,
          capabilities: ["publishing"],
        });
      } else {
        reject(new Error(`not approved: ${approval.reason}`));
      }
    }
    if (result.taskType === "publish") resolve(result.data);
  });
});

await room.handoff.dispatch({
  type: "research",
  payload: { query },
  capabilities: ["research"],
});

console.log("published:", await published);
await agents.close();
