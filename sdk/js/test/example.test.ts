// The example runs; and the article's own calls run with two lines changed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { Seen, soon, testGateway } from "./harness.js";

const gateway = await testGateway();
const folder = mkdtempSync(join(tmpdir(), "hallward-example-"));
const root = fileURLToPath(new URL("../../../../", import.meta.url));
// As an installed package would be found.
const modules = join(folder, "node_modules");
after(() => rmSync(folder, { recursive: true, force: true }));

function run(name: string, text: string, args: string[] = []) {
  const path = join(folder, name);
  writeFileSync(path, text);
  if (!existsSync(modules)) {
    spawnLink();
  }
  const child = spawn(process.execPath, [path, ...args], {
    env: { ...process.env, HALLWARD_URL: gateway.url },
    stdio: ["ignore", "pipe", "pipe"],
  });
  after(() => void child.kill("SIGKILL"));
  const lines = new Seen<string>();
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      for (const line of chunk.toString().split("\n")) if (line) lines.add(line);
    });
  }
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { child, lines, exited, output: () => output };
}

function spawnLink(): void {
  symlinkSync(join(root, "sdk/js/build/modules"), modules);
}

const example = (name: string) => readFileSync(join(root, "examples/javascript", name), "utf8");

describe("the example", () => {
  it("writes, asks for a yes and publishes", async () => {
    // An earlier run was killed: its results will wait for the orchestrator.
    const orchestrator = await gateway.connect("orchestrator");
    const earlier = orchestrator.joinRoom("content-pipeline");
    const payload = { title: "of yesterday", text: "" };
    for (const [type, capability] of [
      ["review", "reviewing"],
      ["publish", "publishing"],
    ] as const) {
      await earlier.handoff.dispatch({ type, payload, capabilities: [capability] });
    }
    await orchestrator.close();
    const other = (await gateway.connect("other")).joinRoom("content-pipeline");
    const ended = new Seen<unknown>();
    other.observe.on("handoff.succeeded", (event) => ended.add(event.subject));
    await other.observe.listening();
    const workers = run("workers.mjs", example("workers.mjs"));
    await workers.lines.find((line) => line.includes("workers are ready"), "the workers");
    await ended.count(2);
    const pipeline = run("pipeline.mjs", example("pipeline.mjs"), ["tides"]);
    assert.equal(await soon(pipeline.exited), 0, pipeline.output());
    assert.match(pipeline.output(), /published: \{ url: 'https:\/\/example.org\/tides' \}/);
    assert.match(pipeline.output(), /gateway approve.decided/);
    workers.child.kill("SIGTERM");
    assert.equal(await soon(workers.exited), 0, workers.output());
  });

  it("has the article's own calls in it, letter by letter", () => {
    const ours = squeeze(example("pipeline.mjs"));
    for (const call of ARTICLE_CALLS) assert.ok(ours.includes(squeeze(call)), call);
  });
});

/** The calls that an article about coordination layers shows, with what they hold. */
const ARTICLE_CALLS = [
  `await agents.connect();
   const room = agents.joinRoom("content-pipeline");`,
  `await room.blackboard.set("plan", {
     steps: ["research", "draft", "review", "publish"],
     current: 0,
   });`,
  `await room.handoff.dispatch({
     type: "research",
     payload: { query },
     capabilities: ["research"],
   });`,
  `const approval = await room.approve.request({
     action: "publish",
     content: result.data,
   });
   if (approval.approved) {
     await room.handoff.dispatch({
       type: "publish", payload: result.data,
       capabilities: ["publishing"],
     });`,
  `room.handoff.onResult(async (result) => {`,
  `if (result.taskType === "review") {`,
  `room.observe.on("*", (e) => log(e));`,
];

function squeeze(code: string): string {
  return code.replaceAll(/\s+/g, " ");
}
