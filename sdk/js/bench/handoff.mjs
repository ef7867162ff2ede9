// How much this package costs, beside a raw mqtt.js client in the same run.
//
//   HALLWARD_BIN=… node bench/handoff.mjs [ROUNDS] [TASKS]
//
// Round trip: dispatch, assignment, update, result, one task at a time. Throughput: dispatches a
// second with 64 in flight, each until its reply. Both take turns, so that what else the machine
// does hits both.

import mqtt from "mqtt";

import { startGateway } from "hallward/testing";

const [rounds = 5, tasks = 200] = process.argv.slice(2).map(Number);
const IN_FLIGHT = 64;

const gateway = await startGateway();
let count = 0;

/** What a careful program writes by hand: ids, QoS 1, and the reply that belongs to a command. */
class Raw {
  #client;
  #waiting = new Map();

  static async start(agent, topics, onWork) {
    const raw = new Raw();
    raw.#client = await mqtt.connectAsync(gateway.url, { clientId: agent, protocolVersion: 5 });
    // mqtt.js leaves Nagle's algorithm on: without this each round trip takes 40 ms more.
    raw.#client.stream.setNoDelay(true);
    raw.#client.on("message", (topic, payload) => {
      const body = JSON.parse(payload.toString());
      if (topic.includes("/work/")) onWork?.(raw, body);
      else
        raw.#settle(topic.includes("/reply/") ? `reply ${body.id}` : `result ${body.task}`, body);
    });
    for (const topic of topics) await raw.#client.subscribeAsync(topic, { qos: 1 });
    return raw;
  }

  #settle(key, body) {
    this.#waiting.get(key)?.(body);
    this.#waiting.delete(key);
  }

  wait(key) {
    return new Promise((resolve) => this.#waiting.set(key, resolve));
  }

  publish(topic, body) {
    return this.#client.publishAsync(topic, JSON.stringify(body), { qos: 1 });
  }

  end() {
    return this.#client.endAsync();
  }
}

async function rawSide() {
  const topic = (suffix) => `rooms/raw/${suffix}`;
  const dispatcher = await Raw.start("raw-editor", [
    topic("reply/raw-editor"),
    topic("handoff/result/raw-editor"),
  ]);
  const worker = await Raw.start("raw-writer", [topic("handoff/work/echo")], (raw, work) => {
    const { task, attempt, payload } = work;
    void raw.publish(topic("handoff/update/raw-writer"), {
      task,
      attempt,
      status: "success",
      result: payload,
    });
  });
  const dispatch = async (type) => {
    count += 1;
    const id = `raw-${count}`;
    const reply = dispatcher.wait(`reply ${id}`);
    void dispatcher.publish(topic("handoff/dispatch/raw-editor"), { id, type, payload: count });
    await reply;
    return id;
  };
  return {
    dispatch: () => dispatch("later"),
    async trip() {
      const id = `raw-${count + 1}`;
      const result = dispatcher.wait(`result ${id}`);
      await dispatch("echo");
      await result;
    },
    end: () => Promise.all([dispatcher.end(), worker.end()]),
  };
}

async function sdkSide() {
  const editor = await gateway.connect("editor");
  const writer = await gateway.connect("writer");
  const worker = writer.joinRoom("sdk").worker();
  worker.task("echo", (task) => task.payload);
  await worker.start();
  const { handoff } = editor.joinRoom("sdk");
  return {
    dispatch: () => handoff.dispatch({ type: "later", payload: 1 }),
    trip: () => handoff.run("echo", 1),
    end: () => worker.drain(),
  };
}

const now = () => performance.now();
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function trips(side, number) {
  const times = [];
  for (let i = 0; i < number; i += 1) {
    const began = now();
    await side.trip();
    times.push(now() - began);
  }
  return times;
}

async function throughput(side, number) {
  const began = now();
  let left = number;
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      await side.dispatch();
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return number / ((now() - began) / 1_000);
}

const sides = { raw: await rawSide(), sdk: await sdkSide() };
const measured = { raw: { trips: [], rates: [] }, sdk: { trips: [], rates: [] } };
for (const side of Object.values(sides)) await trips(side, 50);
for (let round = 0; round < rounds; round += 1) {
  for (const [name, side] of Object.entries(sides)) {
    measured[name].trips.push(...(await trips(side, tasks)));
    measured[name].rates.push(await throughput(side, 10 * tasks));
  }
}
const [rawTrip, sdkTrip] = [median(measured.raw.trips), median(measured.sdk.trips)];
const [rawRate, sdkRate] = [median(measured.raw.rates), median(measured.sdk.rates)];
console.log(`round trip p50: raw ${rawTrip.toFixed(2)} ms, this package ${sdkTrip.toFixed(2)} ms`);
console.log(`dispatches/s:   raw ${rawRate.toFixed(0)}, this package ${sdkRate.toFixed(0)}`);
const slower = (sdkTrip / rawTrip).toFixed(2);
console.log(`${slower} x the round trip, ${(sdkRate / rawRate).toFixed(2)} x the throughput`);
await Promise.all(Object.values(sides).map((side) => side.end()));
await gateway.stop();
process.exit(sdkTrip <= 1.5 * rawTrip && sdkRate >= 0.7 * rawRate ? 0 : 1);
