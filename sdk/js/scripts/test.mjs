// Runs the tests against a gateway: HALLWARD_BIN says where it is.
//
//   node scripts/test.mjs [NAME…]     NAME of test/NAME.test.ts; all if not said

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, rmSync, symlinkSync } from "node:fs";

process.chdir(new URL("..", import.meta.url).pathname);
if (!process.env.HALLWARD_BIN) throw new Error("set HALLWARD_BIN to the gateway's program");
rmSync("build", { recursive: true, force: true });
execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.test.json"], { stdio: "inherit" });

// What stands for a project that has installed the package, in tests of examples and docs.
mkdirSync("build/modules", { recursive: true });
for (const name of readdirSync("node_modules").filter((name) => !name.startsWith("."))) {
  symlinkSync(`../../node_modules/${name}`, `build/modules/${name}`);
}
mkdirSync("build/modules/hallward");
cpSync("package.json", "build/modules/hallward/package.json");
cpSync("dist", "build/modules/hallward/dist", { recursive: true });

const names = process.argv.slice(2);
const files = readdirSync("build/test")
  .filter((file) => file.endsWith(".test.js"))
  .filter((file) => names.length === 0 || names.includes(file.replace(".test.js", "")))
  .map((file) => `build/test/${file}`);
const options = ["--test", "--test-concurrency=2", "--test-timeout=120000"];
const { status } = spawnSync(process.execPath, [...options, ...files], { stdio: "inherit" });
process.exit(status ?? 1);
