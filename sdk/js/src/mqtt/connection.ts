/**
 * One MQTT connection, from CONNECT to its end. It never reconnects: the session above opens
 * another one.
 *
 * This is the only module that knows mqtt.js. Its public interface acknowledges a message when its
 * handler has returned, and holds everything else up meanwhile; so messages are taken with an
 * error, which sends no PUBACK and lets the next packet through, and PUBACK is sent later by the
 * private `_sendPacket`. The version range of mqtt.js is pinned for that, `open` refuses a version
 * that has no such method, and a test kills a program between two acknowledgements.
 */

import type { Socket } from "node:net";

import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from "mqtt";

import { Disconnected } from "../errors.js";
import type { Bytes } from "../wire/codec.js";

export type Protocol = "5" | "3.1.1";
export type Qos = 0 | 1;

export interface ConnectionOptions {
  url: string;
  clientId: string;
  protocol: Protocol;
  /** Whether an earlier session's state is dropped. */
  cleanStart: boolean;
  /** Seconds that the session outlives the connection (MQTT 5). */
  sessionExpiry: number;
  /** How many deliveries may be unacknowledged (MQTT 5). */
  receiveMaximum: number;
  keepAlive: number;
  username?: string | undefined;
  password?: string | undefined;
  tls?: TlsOptions | undefined;
  connectTimeoutMs: number;
}

/** What TLS needs beyond the system's certificates. Not for browsers, which have their own. */
export interface TlsOptions {
  ca?: string | Uint8Array;
  cert?: string | Uint8Array;
  key?: string | Uint8Array;
  rejectUnauthorized?: boolean;
}

/** A message that has come. */
export interface Delivery {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: number;
  readonly dup: boolean;
  readonly retain: boolean;
  /** With QoS 1, what `acknowledge` wants. */
  readonly packetId: number | undefined;
  readonly userProperties: Readonly<Record<string, string>>;
}

export interface ConnectionEvents {
  delivered(delivery: Delivery): void;
  /** Once, after `open` has succeeded: the connection is over. */
  closed(end: ConnectionEnd): void;
}

export interface ConnectionEnd {
  /** The session was taken over by another connection (MQTT 5: 0x8E). */
  taken: boolean;
  reason: string;
}

/** A negative CONNACK, PUBACK or SUBACK. */
export class NegativeAck extends Error {
  readonly code: number;
  /** MQTT 5: the Reason String, which is the reply's `reason`. */
  readonly reason: string | undefined;

  constructor(what: string, code: number, reason?: string) {
    super(`${what} was refused with 0x${code.toString(16)}${reason ? `: ${reason}` : ""}`);
    this.code = code;
    this.reason = reason;
  }
}

const SESSION_TAKEN_OVER = 0x8e;
/** Given to mqtt.js in place of an acknowledgement: none is sent, and the next packet is read. */
const HELD = new Error("acknowledged later");

interface Internals {
  _sendPacket(packet: { cmd: "puback"; messageId: number; reasonCode: number }): void;
}

/** Keeps nothing: the session above remembers what was not acknowledged, and sends it again. */
function forgetfulStore(): NonNullable<IClientOptions["outgoingStore"]> {
  const store = new mqtt.Store();
  store.put = (_packet, done) => {
    done();
    return store;
  };
  store.del = (packet, done) => {
    done(undefined, packet as never);
    return store;
  };
  return store;
}

export class Connection {
  readonly #client: MqttClient;
  readonly #internals: Internals;
  readonly sessionPresent: boolean;
  /** How many publishes the gateway takes before it has acknowledged one. */
  readonly publishWindow: number;
  /** The largest packet that the gateway takes; it says so in MQTT 5 only. */
  readonly maximumPacketSize: number;
  readonly #v5: boolean;
  #gathering = false;

  private constructor(client: MqttClient, v5: boolean, connack: Connack) {
    this.#client = client;
    this.#internals = client as unknown as Internals;
    this.#v5 = v5;
    this.sessionPresent = connack.sessionPresent;
    this.maximumPacketSize = connack.properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY;
    this.publishWindow = connack.properties?.receiveMaximum ?? (v5 ? 65_535 : 1_024);
  }

  /** Resolves after CONNACK. Rejects with `NegativeAck`, or `Disconnected`. */
  static open(options: ConnectionOptions, events: ConnectionEvents): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const client = mqtt.connect(options.url, clientOptions(options));
      if (typeof (client as unknown as Internals)._sendPacket !== "function") {
        client.end(true);
        reject(new Error("this version of mqtt.js cannot acknowledge by hand: install mqtt ^5.16"));
        return;
      }
      // Else a small packet waits for the acknowledgement of the one before: 40 ms of nothing.
      (client.stream as Partial<Socket> | undefined)?.setNoDelay?.(true);
      let connection: Connection | undefined;
      let taken = false;
      let why = "the connection was lost";
      // Before anything can come: mqtt.js acknowledges what finds nobody.
      client.handleMessage = (packet, done) => {
        events.delivered(deliveryOf(packet));
        done(packet.qos === 0 ? undefined : HELD);
      };
      client.on("connect", (connack) => {
        connection = new Connection(client, options.protocol === "5", connack as Connack);
        resolve(connection);
      });
      client.on("disconnect", (packet) => {
        taken = packet.reasonCode === SESSION_TAKEN_OVER;
        const said = packet.properties?.reasonString;
        why = `the gateway closed it with 0x${(packet.reasonCode ?? 0).toString(16)}`;
        if (said) why += `: ${said}`;
      });
      client.on("error", (error) => {
        why = error.message || String((error as { code?: unknown }).code);
        if (connection) return;
        client.end(true);
        reject(connectError(error, why));
      });
      client.on("close", () => {
        client.end(true);
        if (connection) events.closed({ taken, reason: why });
        else reject(new Disconnected(`no connection: ${why}`));
      });
    });
  }

  /**
   * `done` is called at the PUBACK, with a `NegativeAck` if that says no; never if the connection
   * ends before.
   */
  publish(message: Publish, done: (error?: NegativeAck) => void): void {
    this.#gather();
    const { topic, payload, qos, properties } = message;
    const options = this.#v5 && properties ? { qos, properties } : { qos };
    const body = typeof payload === "string" ? payload : asBuffer(payload);
    this.#client.publish(topic, body, options, (error, packet) => {
      if (!error) return done();
      const code = (error as { code?: unknown }).code;
      // Else the connection is over: whoever waits hears of that from `closed`.
      if (typeof code === "number") done(negative("the publish", code, packet));
    });
  }

  /** Resolves at the SUBACK, with the reason code for each filter. */
  async subscribe(filters: ReadonlyMap<string, Qos>): Promise<number[]> {
    const wanted = Object.fromEntries([...filters].map(([filter, qos]) => [filter, { qos }]));
    return new Promise((resolve, reject) => {
      this.#client.subscribe(wanted, (error, _granted, packet) => {
        const codes = (packet as { granted?: number[] } | undefined)?.granted;
        if (codes) resolve(codes);
        else reject(new Disconnected(error?.message ?? "the subscription was not answered"));
      });
    });
  }

  /** Resolves at the UNSUBACK, or when the connection is over. */
  unsubscribe(filters: string[]): Promise<void> {
    return new Promise((resolve) => {
      this.#client.unsubscribe(filters, () => resolve());
    });
  }

  acknowledge(packetId: number): void {
    this.#gather();
    this.#internals._sendPacket({ cmd: "puback", messageId: packetId, reasonCode: 0 });
  }

  /** What is sent in one turn of the event loop goes to the system in one piece. */
  #gather(): void {
    if (this.#gathering || typeof setImmediate === "undefined") return;
    const { stream } = this.#client;
    this.#gathering = true;
    stream.cork();
    setImmediate(() => {
      this.#gathering = false;
      stream.uncork();
    });
  }

  /** DISCONNECT, and the end of the socket. With MQTT 5 it can end the session, too. */
  end(endSession: boolean): Promise<void> {
    const options = endSession && this.#v5 ? { properties: { sessionExpiryInterval: 0 } } : {};
    return new Promise((resolve) => {
      const packet = { reasonCode: 0, ...options };
      this.#client.end(false, packet as never, () => resolve());
    });
  }

  /** Ends the socket without a word. */
  destroy(): void {
    this.#client.end(true);
  }
}

/** A message to be published. */
export interface Publish {
  readonly topic: string;
  readonly payload: Bytes;
  readonly qos: Qos;
  /** MQTT 5. */
  readonly properties: PublishProperties | undefined;
}

export interface PublishProperties {
  userProperties?: Record<string, string>;
  contentType?: string;
  messageExpiryInterval?: number;
}

interface Connack {
  sessionPresent: boolean;
  properties?: { receiveMaximum?: number; maximumPacketSize?: number };
}

/** How many bytes the packet of a publish with QoS 1 has in MQTT 5. */
export function packetSize(message: Publish): number {
  const { topic, payload, properties = {} } = message;
  const { userProperties = {}, contentType, messageExpiryInterval } = properties;
  let inner = 0;
  for (const [name, value] of Object.entries(userProperties)) {
    inner += 5 + bytesOf(name) + bytesOf(value);
  }
  if (contentType !== undefined) inner += 3 + bytesOf(contentType);
  if (messageExpiryInterval !== undefined) inner += 5;
  const rest = 2 + bytesOf(topic) + 2 + lengthOf(inner) + inner + bytesOf(payload);
  return 1 + lengthOf(rest) + rest;
}

const UTF_8 = new TextEncoder();

function bytesOf(text: Bytes): number {
  if (typeof text !== "string") return text.length;
  return typeof Buffer === "undefined" ? UTF_8.encode(text).length : Buffer.byteLength(text);
}

/** How many bytes MQTT writes a length in. */
function lengthOf(count: number): number {
  if (count < 0x80) return 1;
  if (count < 0x4000) return 2;
  return count < 0x20_0000 ? 3 : 4;
}

function clientOptions(options: ConnectionOptions): IClientOptions {
  const v5 = options.protocol === "5";
  return {
    clientId: options.clientId,
    protocolVersion: v5 ? 5 : 4,
    clean: options.cleanStart,
    keepalive: options.keepAlive,
    connectTimeout: options.connectTimeoutMs,
    reconnectPeriod: 0,
    resubscribe: false,
    outgoingStore: forgetfulStore(),
    // Not to put words together for nobody, several times a packet.
    log: () => {},
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
    ...(options.tls as object | undefined),
    ...(v5 && {
      properties: {
        sessionExpiryInterval: options.sessionExpiry,
        receiveMaximum: options.receiveMaximum,
      },
    }),
  };
}

function deliveryOf(packet: IPublishPacket): Delivery {
  return {
    topic: packet.topic,
    payload: packet.payload as Uint8Array,
    qos: packet.qos,
    dup: packet.dup,
    retain: packet.retain,
    packetId: packet.qos === 0 ? undefined : packet.messageId,
    userProperties: (packet.properties?.userProperties as Record<string, string>) ?? {},
  };
}

/** mqtt.js wants its Buffer; in Node any Uint8Array can be seen as one. */
function asBuffer(bytes: Uint8Array): Buffer {
  return typeof Buffer === "undefined"
    ? (bytes as Buffer)
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function connectError(error: Error, why: string): Error {
  const code = (error as { code?: unknown }).code;
  return typeof code === "number"
    ? new NegativeAck("the connection", code)
    : new Disconnected(`no connection: ${why}`, error);
}

function negative(what: string, code: number, packet: unknown): NegativeAck {
  const said = (packet as { properties?: { reasonString?: string } } | undefined)?.properties;
  return new NegativeAck(what, code, said?.reasonString);
}
