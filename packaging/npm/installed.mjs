// What a newcomer's tests do with the packages.
import assert from "node:assert/strict";
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { findGateway, startGateway } from "hallward/testing";

const { path } = createRequire(import.meta.url)("@hallward/gateway");
const here = realpathSync(new URL(".", import.meta.url).pathname);
assert.ok(realpathSync(path).startsWith(here), `${path} is not below ${here}`);
assert.equal(findGateway(), path);

const gateway = await startGateway();
const board = (await gateway.connect("editor")).joinRoom("newsroom").blackboard;
await board.set("plan", "Tides");
await gateway.kill();
await gateway.restart();
assert.equal((await board.fetch("plan")).value, "Tides");
await gateway.stop();
console.log("started by the SDK, kept what it had across a kill");
