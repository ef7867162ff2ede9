// Every program of docs/javascript.md runs, and prints what the page says.

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { soon, testGateway } from "./harness.js";

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
