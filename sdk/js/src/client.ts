/**
 * The core below all patterns: topics, commands and their replies, and who gets which message.
 *
 * A command resolves when its reply says so, which means that it is on disk. Replies come with
 * QoS 0: they are no part of the window of unacknowledged messages, so a handler may wait for one
 * while everything else waits for the handler. What a lost connection takes with it is asked again
 * under the same id, which repeats the first answer.
 */

import { HallwardError, Overflow, Refused, SessionTaken, TooMany, refusal } from "./errors.js";
import type { Receipt } from "./mqtt/acks.js";
import { type Delivery, NegativeAck, type PublishProperties } from "./mqtt/connection.js";
import { type Outgoing, Session, type SessionOptions, refused } from "./mqtt/session.js";
import { Deferred, after, pause, within } from "./util/deferred.js";
import { type Duration, toMs } from "./util/duration.js";
import type { Logger } from "./util/logger.js";
import { randomId } from "./util/names.js";
import { type TraceContext, loadOpenTelemetry } from "./util/trace.js";
import { type Bytes, decode, encode } from "./wire/codec.js";
import type { Encoding, Reply } from "./wire/types.js";

/** What every call takes. */
export interface CallOptions {
  /** The call's deadline; 30 s if not said, or what the connection was made with. */
  timeout?: Duration;
  /** Ends the wait. What was sent may still be carried out. */
  signal?: AbortSignal | undefined;
}

export interface ClientOptions extends SessionOptions {
  agent: string;
  root: string;
  encoding: Encoding;
  callTimeoutMs: number;
}

/** A message for one of the patterns. */
export class Message {
  readonly room: string;
  /** `handoff/result`, or `inbox`. */
  readonly kind: string;
  /** The levels of the topic behind the kind. */
  readonly rest: readonly string[];
  readonly payload: Uint8Array;
  readonly retained: boolean;
  readonly trace: TraceContext;
  readonly #receipt: Receipt | undefined;
  #body: { value: unknown } | undefined;

  constructor(address: Address, delivery: Delivery, receipt: Receipt | undefined) {
    this.room = address.room;
    this.kind = address.kind;
    this.rest = address.rest;
    this.payload = delivery.payload;
    this.retained = delivery.retain;
    this.#receipt = receipt;
    const { traceparent, tracestate } = delivery.userProperties;
    this.trace = { traceparent, tracestate };
  }

  /** The body, decoded. Throws a `SyntaxError` if it is neither JSON nor CBOR. */
  body<T>(): T {
    this.#body ??= { value: decode(this.payload) };
    return this.#body.value as T;
  }

  /** Its handler is done: it may be acknowledged. */
  done(): void {
    this.#receipt?.done();
  }

  /** Whether the gateway keeps it until `done`. */
  get isMail(): boolean {
    return this.#receipt !== undefined;
  }
}

/** Takes a message, and sees that `done` is called some time; `false`: not for me, not yet. */
export type Route = (message: Message) => boolean;

interface Address {
  room: string;
  kind: string;
  rest: string[];
}

interface Pending {
  readonly room: string;
  readonly command: string;
  readonly topic: string;
  readonly payload: Bytes;
  readonly reply: Deferred<Reply>;
  outgoing: Outgoing | undefined;
}

export type ConnectionStatus =
  | { status: "connected"; resumed: boolean }
  | { status: "disconnected"; reason: string }
  | { status: "taken"; reason: string }
  | { status: "closed"; reason: string };

/** Mail for which nobody has asked yet, until somebody does. Other messages have no use later. */
const MAIL = new Set([
  "handoff/work",
  "handoff/result",
  "approve/decision",
  "tools/run",
  "tools/result",
  "inbox",
]);
const MAX_PENDING = 10_000;
const MAX_REFUSALS = 64;
/** A refused publish is answered, too; if that gets lost, the acknowledgement has to do. */
const REPLY_GRACE_MS = 1_000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;

export class Client {
  readonly agent: string;
  readonly encoding: Encoding;
  readonly logger: Logger;
  readonly callTimeoutMs: number;
  readonly #root: string[];
  readonly #session: Session;
  readonly #maxParked: number;
  readonly #routes = new Map<string, Route>();
  readonly #parked: Message[] = [];
  readonly #pending = new Map<string, Pending[]>();
  readonly #listeners = new Set<(status: ConnectionStatus) => void>();
  readonly #whenOver = new AbortController();
  /** Refusals that an acknowledgement may still have to be explained by, the oldest first. */
  readonly #refusals: Reply[] = [];
  readonly #puzzled = new Set<(reply: Reply) => boolean>();
  #pendingCount = 0;

  constructor(options: ClientOptions) {
    this.agent = options.agent;
    this.encoding = options.encoding;
    this.logger = options.logger;
    this.callTimeoutMs = options.callTimeoutMs;
    this.#root = options.root.split("/");
    this.#maxParked = Math.max(1, Math.floor(options.receiveMaximum / 2));
    this.#session = new Session(options, {
      received: (delivery, receipt) => this.#received(delivery, receipt),
      connected: (resumed) => this.#connected(resumed),
      disconnected: (reason) => this.#tell({ status: "disconnected", reason }),
      closed: (error) => this.#closed(error),
    });
  }

  async open(): Promise<void> {
    await loadOpenTelemetry();
    await this.#session.open();
  }

  get connected(): boolean {
    return this.#session.connected;
  }

  get unacked(): number {
    return this.#session.unacked;
  }

  /** Whether so much waits for handlers that further mail may have to wait for them, too. */
  get crowded(): boolean {
    return this.#session.unacked >= this.#maxParked;
  }

  /** Aborted with the reason when the connection is over for good. */
  get over(): AbortSignal {
    return this.#whenOver.signal;
  }

  onStatus(listener: (status: ConnectionStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(status: ConnectionStatus): void {
    for (const listener of this.#listeners) listener(status);
  }

  #connected(resumed: boolean): void {
    for (const pending of [...this.#pending.values()].flat()) {
      if (pending.outgoing?.acknowledged.settled) void this.#publishCommand(pending);
    }
    this.#tell({ status: "connected", resumed });
  }

  #closed(error: HallwardError): void {
    this.#whenOver.abort(error);
    for (const pending of [...this.#pending.values()].flat()) pending.reply.reject(error);
    const status = error instanceof SessionTaken ? "taken" : "closed";
    this.#tell({ status, reason: error.reason });
  }

  async close(endSession: boolean, flushMs = 5_000): Promise<void> {
    await this.#session.flushed(flushMs);
    await this.#session.close(endSession);
  }

  // Topics.

  topic(room: string, suffix: string): string {
    return `${this.#root.join("/")}/${room}/${suffix}`;
  }

  #address(topic: string): Address | undefined {
    const levels = topic.split("/");
    const [room, pattern, ...rest] = levels.slice(this.#root.length);
    if (room === undefined || pattern === undefined) return undefined;
    if (pattern === "inbox" || pattern === "reply") return { room, kind: pattern, rest };
    const [kind, ...behind] = rest;
    return { room, kind: `${pattern}/${kind}`, rest: behind };
  }

  // Receiving.

  /** Gives all messages of a kind to this route from now on, first what has waited for one. */
  route(room: string, kind: string, route: Route): () => void {
    const key = `${room} ${kind}`;
    this.#routes.set(key, route);
    this.offer(room, kind);
    return () => {
      if (this.#routes.get(key) === route) this.#routes.delete(key);
    };
  }

  /** Offers again what nobody wanted before. */
  offer(room: string, kind: string): void {
    const waiting = this.#parked.filter((one) => one.room === room && one.kind === kind);
    for (const message of waiting) {
      this.#parked.splice(this.#parked.indexOf(message), 1);
      this.#dispatch(message);
    }
  }

  subscribe(room: string, suffix: string, qos: 0 | 1 = 1): Promise<void> {
    return this.#session.subscribe(this.topic(room, suffix), qos);
  }

  unsubscribe(room: string, suffix: string): void {
    this.#session.unsubscribe(this.topic(room, suffix));
  }

  #received(delivery: Delivery, receipt: Receipt | undefined): void {
    const address = this.#address(delivery.topic);
    if (!address) {
      receipt?.done();
      return;
    }
    const message = new Message(address, delivery, receipt);
    if (address.kind === "reply") this.#replied(message);
    this.#dispatch(message);
  }

  #dispatch(message: Message): void {
    const { room, kind } = message;
    const routes = [this.#routes.get(`${room} ${kind}`), this.#routes.get(`+ ${kind}`)];
    try {
      const taken = routes.map((route) => route?.(message) ?? false);
      if (!taken.includes(true)) this.park(message);
    } catch (error) {
      this.logger.error(`a message on ${room}/${kind} could not be understood`, error);
      message.done();
    }
  }

  /** Keeps mail, unacknowledged, until somebody asks for its kind. */
  park(message: Message): void {
    if (!message.isMail || !MAIL.has(message.kind)) {
      message.done();
      return;
    }
    this.#parked.push(message);
    if (this.#parked.length <= this.#maxParked) return;
    // Acknowledgements leave in order: one that nobody ever wants would stop them all.
    const oldest = this.#parked.shift() as Message;
    this.logger.warn(`nobody asked for ${oldest.room}/${oldest.kind}: a message was dropped`);
    oldest.done();
  }

  // Sending.

  /** Publishes something that is no command; settles at the acknowledgement. */
  async publish(
    room: string,
    suffix: string,
    payload: Bytes,
    options: Sending & { qos?: 0 | 1; properties?: PublishProperties } = {},
  ): Promise<void> {
    const topic = this.topic(room, suffix);
    const { qos = 1, properties = {} } = options;
    const { timeoutMs, signal } = this.limits(options);
    const what = `acknowledgement of ${suffix}`;
    await this.#insist(timeoutMs, options, async (leftMs) => {
      const outgoing = this.#session.publish(topic, payload, qos, properties);
      try {
        await within(outgoing.acknowledged.promise, { timeoutMs: leftMs, signal, what });
      } catch (error) {
        this.#session.withdraw(outgoing);
        throw error instanceof NegativeAck ? await this.#explain(error) : error;
      }
    });
  }

  /** Tries again after 429 and 503, as long as the deadline leaves time. */
  async #insist<T>(
    timeoutMs: number,
    options: Sending,
    attempt: (leftMs: number) => Promise<T>,
  ): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    const stop = AbortSignal.any(options.signal ? [options.signal, this.over] : [this.over]);
    for (let count = 0; ; count += 1) {
      try {
        return await attempt(deadline - Date.now());
      } catch (error) {
        const wait = error instanceof Refused ? retryPause(error, count, options) : undefined;
        if (wait === undefined || Date.now() + wait >= deadline) throw error;
        await pause(wait, stop);
      }
    }
  }

  /** What is no command has no id; its refusal is known by the words of the acknowledgement. */
  async #explain(ack: NegativeAck): Promise<unknown> {
    const said = (reply: Reply) => ack.reason?.startsWith(reply.reason ?? "?") === true;
    const known = this.#refusals.find(said);
    if (known) {
      this.#refusals.splice(this.#refusals.indexOf(known), 1);
      return refusal(known);
    }
    const reply = new Deferred<Reply>();
    const explains = (found: Reply) => said(found) && (reply.resolve(found), true);
    this.#puzzled.add(explains);
    try {
      const limits = { timeoutMs: REPLY_GRACE_MS, what: "reply" };
      return refusal(await within(reply.promise, limits));
    } catch {
      return refused(ack);
    } finally {
      this.#puzzled.delete(explains);
    }
  }

  limits(options: CallOptions): { timeoutMs: number; signal: AbortSignal | undefined } {
    const { timeout, signal } = options;
    return { timeoutMs: timeout === undefined ? this.callTimeoutMs : toMs(timeout), signal };
  }

  /** A command that changes something. Its id lets it be sent again without a second effect. */
  command(room: string, suffix: string, body: object, options: Sending = {}): Promise<Reply> {
    const { id = randomId() } = body as Asked;
    return this.#ask(room, suffix, { ...body, id }, options);
  }

  /** A question: it may be asked again and again. */
  query<T>(room: string, suffix: string, body: object, options: Sending = {}): Promise<T> {
    const asked = this.#ask(room, suffix, { ...body, correlationId: randomId() }, options);
    return asked.then((reply) => reply.data as T);
  }

  async #ask(room: string, suffix: string, body: Asked, options: Sending): Promise<Reply> {
    const { timeoutMs, signal } = this.limits(options);
    return this.#insist(timeoutMs, options, async (leftMs) => {
      const reply = await this.#once(room, suffix, body, leftMs, signal);
      if (reply.status === "accepted") return reply;
      throw refusal(reply);
    });
  }

  async #once(
    room: string,
    suffix: string,
    body: Asked,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Reply> {
    const command = suffix.split("/", 2).join("/");
    const token = (body.id ?? body.correlationId) as string;
    if (this.#pendingCount >= MAX_PENDING) {
      throw new Overflow("too many commands wait for their replies", MAX_PENDING);
    }
    const pending: Pending = {
      room,
      command,
      topic: this.topic(room, suffix),
      payload: encode(this.encoding, body),
      reply: new Deferred<Reply>(),
      outgoing: undefined,
    };
    pending.reply.promise.catch(() => {});
    this.#pending.set(token, [...(this.#pending.get(token) ?? []), pending]);
    this.#pendingCount += 1;
    try {
      void this.#publishCommand(pending);
      const hint = () => (this.connected ? "" : "; there is no connection");
      const what = `reply to ${command}`;
      return await within(pending.reply.promise, { timeoutMs, signal, what, hint });
    } finally {
      if (pending.outgoing) this.#session.withdraw(pending.outgoing);
      this.#pendingCount -= 1;
      const others = (this.#pending.get(token) ?? []).filter((one) => one !== pending);
      if (others.length > 0) this.#pending.set(token, others);
      else this.#pending.delete(token);
    }
  }

  async #publishCommand(pending: Pending): Promise<void> {
    const { topic, payload, reply } = pending;
    const properties = this.encoding === "cbor" ? { contentType: "application/cbor" } : {};
    try {
      pending.outgoing = this.#session.publish(topic, payload, 1, properties);
      await pending.outgoing.acknowledged.promise;
    } catch (error) {
      if (error instanceof NegativeAck) after(REPLY_GRACE_MS, () => reply.reject(refused(error)));
      else reply.reject(error);
    }
  }

  #replied(message: Message): void {
    const reply = message.body<Reply>();
    const token = reply.id ?? reply.correlationId;
    const asked = token === undefined ? [] : (this.#pending.get(token) ?? []);
    const mine = asked.filter((one) => one.room === message.room);
    const exact = mine.find((one) => reply.command === one.command) ?? mine[0];
    if (exact) exact.reply.resolve(reply);
    else if (reply.status === "rejected" && token === undefined) this.#unexplained(reply);
  }

  /** A refusal of something that is no command. `handoff/work` is for workers. */
  #unexplained(reply: Reply): void {
    if (reply.command === "handoff/work") return;
    for (const explains of this.#puzzled) if (explains(reply)) return;
    this.#refusals.push(reply);
    if (this.#refusals.length > MAX_REFUSALS) this.#refusals.shift();
    this.logger.debug(`${reply.command} was refused with ${reply.code}: ${reply.reason}`);
  }
}

interface Sending extends CallOptions {
  /** Whether 429 and 503 are tried again within the deadline; true if not said. */
  retry?: boolean | undefined;
}

interface Asked {
  id?: string | undefined;
  correlationId?: string | undefined;
}

/** Milliseconds until a refused command is sent again; nothing: it is not. */
function retryPause(error: Refused, attempt: number, options: Sending): number | undefined {
  if (!error.retryable || (options.retry === false && error.code === 503)) return undefined;
  const told = error instanceof TooMany ? (error.retryAfter ?? 0) : 0;
  const longest = Math.min(FIRST_RETRY_MS * 2 ** attempt, LONGEST_RETRY_MS);
  return told + longest * (0.5 + Math.random() / 2);
}
