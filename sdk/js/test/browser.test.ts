// In Chromium, over WebSocket: as a plain module, and through a bundler.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type Server, createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { type Browser, chromium } from "playwright-core";

import { DEADLINE_MS, agent, fresh, testGateway } from "./harness.js";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = process.env["CHROMIUM_BIN"] ?? PLACES.find(existsSync);
assert.ok(executablePath, "install chromium, or say with CHROMIUM_BIN where it is");

const gateway = await testGateway({ websocket: true });
const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const packages = fileURLToPath(new URL("../modules", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "hallward-browser-"));

/** What a page does: the same for both ways of loading the package. */
const page = (specifier: string) => `
  import { connect } from "${specifier}";
  window.run = async (url, agent, room, encoding) => {
    const me = await connect(url, { agent, encoding });
    const here = me.joinRoom(room);
    const worker = here.worker();
    worker.task("upper", (task) => task.payload.toUpperCase());
    await worker.start();
    await here.blackboard.set("from", { browser: true });
    const heard = new Promise((resolve) => here.inbox.onMessage(({ data }) => resolve(data)));
    const { data } = await here.handoff.run("double", 21);
    const result = { data, heard: await heard };
    window.me = me;
    return result;
  };
  window.ready = true;
`;

let server: Server;
let browser: Browser;
let origin: string;

before(async () => {
  await build({
    stdin: { contents: page("hallward"), resolveDir: folder },
    nodePaths: [packages],
    bundle: true,
    format: "esm",
    platform: "browser",
    outfile: join(folder, "bundled.js"),
    logLevel: "error",
  });
  writeFileSync(join(folder, "plain.js"), page("/hallward.js"));
  server = createServer((request, response) => {
    const name = (request.url ?? "/").slice(1);
    if (name.endsWith(".html")) {
      response.setHeader("content-type", "text/html");
      response.end(`<script type="module" src="/${name.replace(".html", ".js")}"></script>`);
      return;
    }
    const path = name === "hallward.js" ? join(dist, "browser", name) : join(folder, name);
    response.setHeader("content-type", "text/javascript");
    if (existsSync(path)) response.end(readFileSync(path));
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  origin = `http://127.0.0.1:${port}`;
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});

after(async () => {
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("in a browser", () => {
  for (const [how, encoding] of [
    ["plain", "json"],
    ["bundled", "cbor"],
  ] as const) {
    it(`works as a ${how} module, with ${encoding}`, async () => {
      const name = fresh("room");
      const other = (await agent(gateway, "other")).joinRoom(name);
      const worker = other.worker();
      worker.task<number>("double", (task) => 2 * task.payload);
      await worker.start();
      const tab = await browser.newPage();
      const wrong: string[] = [];
      tab.on("pageerror", (error) => wrong.push(String(error)));
      await tab.goto(`${origin}/${how}.html`);
      await tab.waitForFunction("window.ready", undefined, { timeout: DEADLINE_MS });
      const me = fresh("tab");
      const run = (args: string[]) =>
        (globalThis as unknown as { run(...args: string[]): Promise<unknown> }).run(
          ...(args as [string]),
        );
      const running = tab.evaluate(run, [gateway.wsUrl, me, name, encoding]);
      const upper = await other.handoff.run("upper", "tides", { timeout: DEADLINE_MS });
      assert.equal(upper.data, "TIDES");
      await other.inbox.send(me, { hello: "tab" });
      assert.deepEqual(await running, { data: 42, heard: { hello: "tab" } });
      assert.deepEqual((await other.blackboard.fetch("from"))?.value, { browser: true });
      assert.deepEqual(wrong, []);
      await tab.close();
    });
  }
});
