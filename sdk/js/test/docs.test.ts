// Every program of docs/javascript.md runs, and prints what the page says. And the rows for
// JavaScript in the tables of docs/patterns.md: each is run, and does what it is there for.

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { Seen, agent, fresh, soon, testGateway } from "./harness.js";

const root = fileURLToPath(new URL("../../../../", import.meta.url));
const page = readFileSync(join(root, "docs/javascript.md"), "utf8");
const gateway = await testGateway();
const folder = mkdtempSync(join(tmpdir(), "hallward-docs-"));
symlinkSync(join(root, "sdk/js/build/modules"), join(folder, "node_modules"));
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

interface Block {
  language: string;
  code: string;
  output: string | undefined;
}

const blocks: Block[] = [];
for (const [, language = "", code = ""] of page.matchAll(/^```(\w+)\n(.*?)^```$/gms)) {
  if (language === "text") (blocks.at(-1) as Block).output = code;
  else blocks.push({ language, code, output: undefined });
}

function start(name: string, code: string) {
  const path = join(folder, name);
  writeFileSync(path, code.replaceAll("mqtt://127.0.0.1:1883", gateway.url));
  const child = spawn(process.execPath, [path], { stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  const said = { out: "", err: "" };
  child.stdout.on("data", (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (said.err += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { child, said, exited };
}

describe("docs/javascript.md", () => {
  const running: ReturnType<typeof start>[] = [];

  for (const [at, { language, code, output }] of blocks.entries()) {
    const heading = page
      .slice(0, page.indexOf(code))
      .match(/^## .*$/gm)
      ?.at(-1);
    if (language === "js" && code.startsWith("// worker.mjs")) {
      it(`${heading}: its worker runs until it is told to stop`, () => {
        running.push(start("worker.mjs", code));
      });
    } else if (language === "js") {
      it(`${heading}: program ${at} prints what the page says`, async () => {
        const { said, exited } = start(`program-${at}.mjs`, code);
        assert.equal(await soon(exited), 0, said.err);
        assert.equal(said.out, output ?? "");
      });
    } else if (language === "ts") {
      it(`${heading}: program ${at} has the types that the page says`, () => {
        writeFileSync(join(folder, `program-${at}.mts`), code);
        const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022"];
        const tsc = join(root, "sdk/js/node_modules/.bin/tsc");
        const types = ["--types", "node", "--lib", "es2023,esnext.disposable,dom"];
        try {
          const file = `program-${at}.mts`;
          execFileSync(tsc, [...options, ...types, file], { cwd: folder, encoding: "utf8" });
        } catch (error) {
          assert.fail((error as { stdout: string }).stdout);
        }
      });
    }
  }

  it("installs the file that is built", () => {
    const manifest = readFileSync(join(root, "sdk/js/package.json"), "utf8");
    const { name, version } = JSON.parse(manifest) as { name: string; version: string };
    assert.ok(page.includes(`npm install ~/${name}-${version}.tgz`), version);
    assert.ok(page.includes("cd sdk/js\nnpm ci && npm run build && npm pack"));
  });

  it("ends its workers in good order", async () => {
    assert.ok(running.length > 0);
    for (const { child, exited, said } of running) {
      child.kill("SIGTERM");
      assert.equal(await soon(exited), 0, said.err);
    }
  });

  it("has lines of at most 100 columns, as the code has", () => {
    const places = ["docs/javascript.md", "sdk/js", "examples/javascript"];
    const files = execFileSync("git", ["ls-files", ...places], { cwd: root, encoding: "utf8" });
    const long = files
      .split("\n")
      .filter((file) => /\.(md|ts|mjs|js)$|check$/.test(file))
      .flatMap((file) => {
        const lines = readFileSync(join(root, file), "utf8").split("\n");
        return lines.flatMap((line, at) => (line.length > 100 ? [`${file}:${at + 1}`] : []));
      });
    assert.deepEqual(long, []);
  });
});

const patterns = readFileSync(join(root, "docs/patterns.md"), "utf8");
const head = "| You want to | In | You write |\n|---|---|---|\n";
type Names = Record<string, any>;
const AsyncFunction = (async () => {}).constructor as {
  new (...namesAndBody: string[]): (...values: unknown[]) => Promise<Names>;
};

/** The rows of a pattern, run one by one. All must have run in the end. */
class Rows {
  readonly #code = new Map<string, string>();
  readonly #ran = new Set<string>();

  constructor(pattern: string) {
    const section = patterns.split(`\n## ${pattern}\n`)[1]?.split("\n## ")[0] ?? "";
    const lines = section.split(head)[1]?.split("\n\n")[0]?.split("\n") ?? [];
    let aim = "";
    for (const line of lines) {
      const [wanted = "", way, code = ""] = line.slice(1, -1).split(" | ");
      aim = wanted.trim().replaceAll("**", "") || aim;
      const spans = [...code.matchAll(/`([^`]+)`/g)].map(([, span = ""]) => span);
      if (way === "JavaScript") this.#code.set(aim, spans.join("\n").replaceAll("\\|", "|"));
    }
  }

  /** Runs one with these names, and resolves with those that it declares. */
  async run(aim: string, names: Names): Promise<Names> {
    const code = this.#code.get(aim);
    assert.ok(code, `no row says how to ${aim}`);
    this.#ran.add(aim);
    const declared = [...code.matchAll(/^const (\w+) = /gm)].map(([, name]) => name);
    const body = `${code}\nreturn { ${declared.join(", ")} };`;
    return soon(new AsyncFunction(...Object.keys(names), body)(...Object.values(names)), aim);
  }

  /** Runs one that has no end but that of its agent, and finds what it keeps. */
  running(aim: string, names: Names): (fits: (item: any) => boolean) => Promise<any> {
    const kept = new Seen<any>();
    const keep = (item: unknown) => kept.add(item);
    const over = this.run(aim, { ...names, keep }).then(() => assert.fail(`${aim}: it has ended`));
    over.catch(() => {});
    return (fits) => Promise.race([kept.find(fits, aim), over]);
  }

  allRan(): void {
    assert.ok(this.#code.size > 0);
    assert.deepEqual([...this.#ran].sort(), [...this.#code.keys()].sort());
  }
}

async function agents(...names: string[]) {
  const connected = await Promise.all(names.map((name) => agent(gateway, name)));
  const name = fresh("room");
  const rooms = connected.map((one) => one.joinRoom(name));
  const close = () => Promise.all(connected.map((one) => one.close()));
  return { rooms, close };
}

describe("docs/patterns.md", () => {
  it("hands work over", async () => {
    const rows = new Rows("Handoff");
    const { rooms, close } = await agents("editor", "writer", "translator");
    const [room, office, abroad] = rooms as [any, any, any];
    const write = ({ title }: { title: string }) => ({ title, words: 900 });
    const { worker } = await rows.run("be a worker", { room: office, write });
    const { draft } = await rows.run("hand work over, and wait", { room });
    assert.deepEqual(draft.data, { title: "Tides", words: 900 });
    const results = new Seen<any>();
    const keep = (result: unknown) => results.add(result);
    await rows.run("take results as they come", { room, keep });
    const { task } = await rows.run("hand it over, and go on", { room });
    assert.equal(task.id, "tides");
    assert.equal((await results.find((one) => one.task === "tides")).data.words, 900);
    await worker.drain();

    const asking = abroad.worker().task("translate", async (task: unknown) => {
      return (await rows.run("ask half-way", { task })).language;
    });
    await asking.start();
    await rows.run("answer that", { room });
    assert.equal((await soon<any>(room.handoff.run("translate", "Tides"))).data, "fr");
    await asking.drain();

    const painting = await room.handoff.dispatch({ type: "paint", payload: "Tides" });
    await rows.run("cancel", { task: painting });
    assert.equal((await painting.status()).state, "cancelled");
    await close();
    rows.allRan();
  });

  it("writes, reads, watches and locks the blackboard", async () => {
    const rows = new Rows("Blackboard");
    const { rooms, close } = await agents("editor");
    const [room] = rooms as [any];
    const { stored } = await rows.run("write a key", { room });
    const { entry } = await rows.run("read one", { room });
    assert.deepEqual(entry.value, { lead: "Tides" });
    const change = rows.running("watch what is there, and each change", { room });
    await change(({ value }) => value.lead === "Tides");
    await rows.run("write only what nobody has changed", { room, stored });
    await change(({ value }) => value === 2);
    const stale = rows.run("write only what nobody has changed", { room, stored });
    await assert.rejects(stale, { kind: "Conflict" });
    await rows.run("hold a lock, and write only while it is held", { room });
    assert.equal((await room.blackboard.fetch("page")).value, 1);
    assert.equal((await room.blackboard.snapshot({ locks: true })).locks?.length ?? 0, 0);
    await close();
    rows.allRan();
  });

  it("has somebody else say yes", async () => {
    const rows = new Rows("Approve");
    const { rooms, close } = await agents("editor", "boss");
    const [room, office] = rooms as [any, any];
    const pending = rows.running("see what waits", { room: office });
    const asked = rows.run("ask for a yes, and wait", { room });
    const request = await pending(({ content }) => content?.title === "Tides");
    await rows.run("decide", { room: office, request });
    assert.equal((await asked).answer.approved, true);

    const printing = room.approve.request({ id: "a-1", action: "print" });
    await pending(({ id }) => id === "a-1");
    await rows.run("take a request back", { room });
    assert.equal((await soon<any>(printing)).approved, false);
    await close();
    rows.allRan();
  });

  it("provides and calls tools", async () => {
    const rows = new Rows("Tools");
    const { rooms, close } = await agents("editor", "counter");
    const [room, office] = rooms as [any, any];
    const card = rows.running("see which there are", { room });
    const inputSchema = { type: "object", required: ["text"] };
    const count = (text: string) => text.split(" ").length;
    const { worker } = await rows.run("provide a tool", { room: office, inputSchema, count });
    await card(({ name, card }) => name === "count" && card?.providers.length === 1);
    assert.equal((await rows.run("call one", { room })).words, 2);
    await worker.drain();
    await close();
    rows.allRan();
  });

  it("sends and reads mail", async () => {
    const rows = new Rows("Inbox");
    const { rooms, close } = await agents("editor");
    const [room] = rooms as [any];
    const wanda = await gateway.connect("wanda");
    await rows.run("send a message", { room });
    const mail = rows.running("read your mail", { room: wanda.joinRoom(room.name) });
    assert.deepEqual((await mail(() => true)).data, { lunch: "12:30" });
    await Promise.all([wanda.close(), close()]);
    rows.allRan();
  });

  it("says, asks and watches who is here", async () => {
    const rows = new Rows("Presence");
    const { rooms, close } = await agents("door", "wanda");
    const [door, wanda] = rooms as [any, any];
    await rows.run("say who you are", { room: wanda });
    const { writers } = await rows.run("ask who is here", { room: door });
    assert.deepEqual(
      writers.map(({ role, capacity }: Names) => [role, capacity]),
      [["writer", 2]],
    );
    const seen = rows.running("watch who comes and goes", { room: door });
    const { agent } = await seen(({ presence }) => presence?.role === "writer");
    await rows.run("leave", { room: wanda });
    await seen((change) => change.agent === agent && change.presence === undefined);
    await close();
    rows.allRan();
  });

  it("tells, hears and finds again what happens", async () => {
    const rows = new Rows("Observe");
    const { rooms, close } = await agents("watcher", "wanda");
    const [watcher, wanda] = rooms as [any, any];
    let isHeard = false;
    const heard = rows.running("hear what happens from now on", { room: watcher });
    const told = heard(({ category }) => category === "log").finally(() => (isHeard = true));
    // Until somebody listens.
    while (!isHeard) await rows.run("tell of something", { room: wanda });
    assert.deepEqual((await told).payload, { severity: "info", payload: { cups: 2 } });
    const { page } = await rows.run("ask what has happened", { room: watcher });
    const followed = rows.running("follow it all, without a gap", { room: watcher });
    assert.ok(page.events.length > 1);
    for (const { seq } of page.events) await followed((event) => event.seq === seq);
    await close();
    rows.allRan();
  });
});
