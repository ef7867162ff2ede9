// An mqtt.js client for tests. Every wait is for something that happens, and has a deadline.

import { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import { createConnection } from "node:net";
import { isDeepStrictEqual, parseArgs } from "node:util";

// By way of CommonJS, which looks in NODE_PATH.
const mqtt = createRequire(import.meta.url)("mqtt");

const DEADLINE = 20_000;
const HOST = "127.0.0.1";
const { values: options } = parseArgs({ options: { port: { type: "string" }, version: { type: "string" } } });
export const V5 = options.version === "5";

export class Failed extends Error {}

export function same(what, actual, expected) {
  if (!isDeepStrictEqual(actual, expected)) {
    throw new Failed(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
  }
}

/** Checks some fields of a JSON message. */
export function fields(what, message, expected) {
  for (const [name, value] of Object.entries(expected)) same(`${what}.${name}`, message[name], value);
}

/** Settles with the promise, or fails in words. */
function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Failed(`no ${what} within ${DEADLINE / 1000} s`)), DEADLINE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** One connection. What arrives is kept until a test asks for it. */
export class Peer {
  constructor(id, { clean = true, expiry, keepAlive = 60, will } = {}) {
    this.id = id;
    this.messages = [];
    this.changed = new EventEmitter();
    this.options = {
      host: HOST,
      port: Number(options.port),
      protocolVersion: V5 ? 5 : 4,
      clientId: id,
      clean,
      keepalive: keepAlive,
      reconnectPeriod: 0,
      will,
      properties: V5 && expiry !== undefined ? { sessionExpiryInterval: expiry } : undefined,
    };
  }

  async up() {
    this.mqtt = mqtt.connect(this.options);
    this.mqtt.on("message", (topic, payload, packet) => {
      this.messages.push({ topic, payload, text: payload.toString(), ...packet, payload });
      this.changed.emit("message");
    });
    this.mqtt.on("disconnect", (packet) => (this.reason = packet.reasonCode));
    this.ended = new Promise((resolve) => this.mqtt.once("close", resolve));
    this.connack = await within(
      `CONNACK for ${this.id}`,
      new Promise((resolve, reject) => {
        this.mqtt.once("connect", resolve);
        this.mqtt.once("error", (error) => reject(new Failed(`CONNECT of ${this.id}: ${error.message}`)));
      }),
    );
    this.mqtt.on("error", () => {}); // A connection that is taken over is no failure of the test.
    this.sessionPresent = this.connack.sessionPresent;
    return this;
  }

  /** The granted QoS, or the refusal. */
  async subscribe(filter, { qos = 1, identifier, ...more } = {}) {
    const properties = identifier ? { subscriptionIdentifier: identifier } : undefined;
    const subscribed = this.mqtt.subscribeAsync(filter, { qos, properties, ...more });
    return (await within(`SUBACK for ${filter}`, subscribed))[0]?.qos;
  }

  unsubscribe(filter) {
    return within(`UNSUBACK for ${filter}`, this.mqtt.unsubscribeAsync(filter));
  }

  /** Publishes, waits for the acknowledgement and returns its reason code. */
  publish(topic, payload = "", { qos = 1, retain = false, ...properties } = {}) {
    const bytes = typeof payload === "string" || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload);
    const acknowledged = new Promise((resolve) => {
      this.mqtt.publish(topic, bytes, { qos, retain, properties }, (error) => resolve(error ? error.code : 0));
    });
    return within(`acknowledgement of ${topic}`, acknowledged);
  }

  /** The oldest message on exactly this topic that nobody has asked for yet. */
  async expect(topic) {
    const taken = (async () => {
      for (;;) {
        const index = this.messages.findIndex((message) => message.topic === topic);
        if (index >= 0) return this.messages.splice(index, 1)[0];
        await new Promise((resolve) => this.changed.once("message", resolve));
      }
    })();
    return within(`message on ${topic} for ${this.id} (unread: ${this.messages.map((m) => m.topic)})`, taken);
  }

  async expectJson(topic) {
    const { text } = await this.expect(topic);
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Failed(`${topic} carried no JSON (${error.message}): ${text}`);
    }
  }

  /** The reply that echoes `correlation`; replies to anything else are left out. */
  async reply(room, correlation) {
    for (;;) {
      const reply = await this.expectJson(`rooms/${room}/reply/${this.id}`);
      if (reply.correlationId === correlation) return reply;
    }
  }

  /** Everything that arrived ahead of the message on `marker`; all of it is forgotten. */
  async before(marker) {
    await this.expect(marker);
    return this.messages.splice(0);
  }

  /** Waits until the gateway ends the connection; the reason code, where MQTT has one. */
  async lost() {
    await within(`end of ${this.id}'s connection`, this.ended);
    return this.reason;
  }

  /** DISCONNECT, the orderly way. */
  async down({ expiry } = {}) {
    const properties = V5 && expiry !== undefined ? { sessionExpiryInterval: expiry } : undefined;
    await within(`end of ${this.id}`, this.mqtt.endAsync(false, { properties }));
  }

  /** Cuts the connection without a word. */
  async drop() {
    this.mqtt.stream.destroy();
    await within(`end of ${this.id}`, this.ended);
  }
}

export const up = (id, more) => new Peer(id, more).up();

/** Ends whatever session the client id may have. */
export async function forget(id) {
  await (await up(id)).down();
}

/** Waits for `count` messages on `topic` over all members, and takes them: a list for each member. */
export async function divided(members, topic, count) {
  const on = (member) => member.messages.filter((message) => message.topic === topic);
  const arrived = (async () => {
    while (members.map(on).flat().length < count) {
      const stop = new AbortController();
      await Promise.race(
        members.map(
          (member) =>
            new Promise((resolve) => {
              member.changed.once("message", resolve);
              stop.signal.addEventListener("abort", () => member.changed.off("message", resolve));
            }),
        ),
      );
      stop.abort();
    }
  })();
  await within(`${count} messages on ${topic}`, arrived);
  return members.map((member) => {
    const taken = on(member);
    member.messages = member.messages.filter((message) => message.topic !== topic);
    return taken;
  });
}

/** Lets so many seconds go by, measured by the gateway: a client that says nothing is beyond its keep-alive. */
export async function passTime(seconds) {
  const id = "clock";
  const body = Buffer.from([0, 4, ...Buffer.from("MQTT"), V5 ? 5 : 4, 2, 0, seconds, ...(V5 ? [0] : []), 0, id.length, ...Buffer.from(id)]);
  const socket = createConnection(Number(options.port), HOST);
  socket.on("error", () => {});
  socket.resume();
  socket.write(Buffer.from([0x10, body.length, ...body]));
  await within("end of a client beyond its keep-alive", new Promise((resolve) => socket.once("close", resolve)));
}

/** Runs the checks in order, a line each, and stops at the first that fails. */
export async function run(checks) {
  for (const check of checks) {
    const name = check.name.replace(/[A-Z]|\d+/g, (letter) => ` ${letter.toLowerCase()}`);
    try {
      await check();
    } catch (error) {
      console.log(`FAILED ${name}: ${error instanceof Failed ? error.message : error.stack}`);
      process.exit(1);
    }
    console.log(`ok ${name}`);
  }
  process.exit(0);
}
