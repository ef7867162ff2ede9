// A worker whose tasks "hold" until they are told to stop, "stubborn" ones not even then.

import { Worker } from "hallward";

const [url, agent, room, grace] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));

const worker = new Worker({ url, agent, room, capacity: 4, grace: Number(grace) });
worker.task("hold", async (task, { signal }) => {
  say({ began: task.id, attempt: task.attempt });
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  say({ aborted: task.id, reason: signal.reason.name });
});
worker.task("short", async (task) => {
  say({ began: task.id });
  await new Promise((resolve) => setTimeout(resolve, task.payload.ms));
  return { done: task.id };
});
worker.task("echo", (task) => task.payload);
await worker.start();
say({ ready: true });
worker.start = async () => {};
await worker.run();
say({ drained: true });
