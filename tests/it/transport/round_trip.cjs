// A message there and back with mqtt.js: URL, CA file or "-" for no TLS.
const fs = require("node:fs");
const mqtt = require("mqtt");

const [url, ca] = process.argv.slice(2);
const payload = Buffer.alloc(200_000, "0123456789");
const options = { clientId: "mqttjs", protocolVersion: 5, reconnectPeriod: 0 };
if (ca !== "-") options.ca = fs.readFileSync(ca);
const client = mqtt.connect(url, options);

function fail(error) {
    console.error(error);
    process.exit(1);
}

client.on("error", fail);
client.on("connect", async () => {
    await client.subscribeAsync("there/and/back", { qos: 2 });
    await client.publishAsync("there/and/back", payload, { qos: 2 });
});
client.on("message", async (_topic, got) => {
    if (!got.equals(payload)) fail(new Error(`${got.length} bytes came back`));
    console.log("ok");
    await client.endAsync();
});
