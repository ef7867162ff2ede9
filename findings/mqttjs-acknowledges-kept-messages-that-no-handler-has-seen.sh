#!/usr/bin/env bash
# mqtt.js 5.16.0: a handler that is attached on the line after `await connectAsync(…)` is too late for the messages of a kept session.
#
# The peer, a socket that speaks just enough of MQTT 3.1.1, resumes the session and sends one QoS 1 message right after CONNACK, as brokers
# do. It is acknowledged, and no handler has it: neither an event nor a buffer tells of it. With `mqtt.connect(…)` and a handler that is
# attached before the connection stands, it is handled. Seen:
#
#   after connectAsync: handled 0, acknowledged 1
#   before: handled 1, acknowledged 1
#
# Needs bash, Node.js with npm, and the npm registry. Ends with 1 if the behaviour is another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --no-audit --no-fund --loglevel error mqtt@5.16.0 >/dev/null

cat >"$work/try.mjs" <<'NODE'
import { createServer } from "node:net";
import mqtt from "mqtt";

let acknowledged = 0;
const server = createServer((socket) => {
  socket.on("error", () => {});
  socket.on("data", (bytes) => {
    if (bytes[0] >> 4 === 1) {
      const connack = [0x20, 2, 1, 0];
      const publish = [0x32, 6, 0, 1, 0x74, 0, 7, 0x78];
      socket.write(Buffer.from([...connack, ...publish]));
    } else if (bytes[0] === 0x40) acknowledged += 1;
  });
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const url = `mqtt://127.0.0.1:${server.address().port}`;
const options = { clientId: "one", clean: false, reconnectPeriod: 0 };
const seconds = (count) => new Promise((over) => setTimeout(over, count * 1000));

async function outcome(name, connect) {
  let handled = 0;
  acknowledged = 0;
  const client = await connect(() => (handled += 1));
  await seconds(1);
  client.end(true);
  const said = `${name}: handled ${handled}, acknowledged ${acknowledged}`;
  console.log(said);
  return said;
}

const late = await outcome("after connectAsync", async (handler) => {
  const client = await mqtt.connectAsync(url, options);
  client.on("message", handler);
  return client;
});
const early = await outcome("before", async (handler) => {
  const client = mqtt.connect(url, options);
  client.on("message", handler);
  return client;
});
const same = late.endsWith("handled 0, acknowledged 1") && early.endsWith("handled 1, acknowledged 1");
process.exit(same ? 0 : 1);
NODE
node "$work/try.mjs"
