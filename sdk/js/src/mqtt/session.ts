/**
 * The session: what outlives connections.
 *
 * It reconnects by itself, keeps subscriptions and what was published and not acknowledged yet,
 * and sends both again. It knows nothing of rooms: deliveries go to its `receiver`. It ends for
 * good by `close()`, or when another program takes its name.
 */

import {
  Closed,
  Disconnected,
  HallwardError,
  Overflow,
  SessionTaken,
  type TooLarge,
  refusal,
} from "../errors.js";
import { Deferred, after, within } from "../util/deferred.js";
import { Deque } from "../util/deque.js";
import type { Logger } from "../util/logger.js";
import { AckLedger, type Receipt } from "./acks.js";
import {
  Connection,
  type ConnectionEnd,
  type ConnectionOptions,
  type Delivery,
  NegativeAck,
  type Publish,
  type Qos,
  packetSize,
} from "./connection.js";
import { Relief } from "./relief.js";

export interface SessionOptions extends ConnectionOptions {
  /** How many publishes may wait for their turn. */
  maxQueued: number;
  logger: Logger;
}

export interface SessionEvents {
  /** A message has come. With QoS 1, `receipt` must be done some time. */
  received(delivery: Delivery, receipt: Receipt | undefined): void;
  connected(resumed: boolean): void;
  disconnected(reason: string): void;
  /** The end of it all. */
  closed(error: HallwardError): void;
}

/** Something that is being published. */
export interface Outgoing extends Publish {
  isSettled: boolean;
  /** Called once, at the PUBACK on whatever connection that comes, or at the end of it all. */
  readonly done: (error?: unknown) => void;
}

interface Subscription {
  readonly filter: string;
  readonly qos: Qos;
  users: number;
  granted: Deferred<void>;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** A 3.1.1 connection that ends sooner may have been taken over: no packet can say so. */
const SHORT_LIFE_MS = 3_000;
const MAX_SHORT_LIVES = 4;
/** CONNACK codes that no later try will change: bad user or password, not authorised, banned. */
const HOPELESS = new Set([0x04, 0x05, 0x85, 0x86, 0x87, 0x8a, 0x8c]);

export class Session {
  readonly #options: SessionOptions;
  readonly #events: SessionEvents;
  readonly #acks = new AckLedger(() => this.#relief.finished());
  readonly #relief: Relief;
  readonly #queue = new Deque<Outgoing>();
  readonly #flying = new Set<Outgoing>();
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #stale = new Set<string>();
  #connection: Connection | undefined;
  /** As the gateway said last. */
  #maximumPacketSize = Number.POSITIVE_INFINITY;
  #end: HallwardError | undefined;
  #closing = false;
  #subscribing = false;
  #wake: (() => void) | undefined;
  #shortLives = 0;
  #idle: Deferred<void> | undefined;

  constructor(options: SessionOptions, events: SessionEvents) {
    this.#options = options;
    this.#events = events;
    this.#relief = new Relief({
      isFull: () => this.connected && this.#acks.unacked >= options.receiveMaximum,
      inHand: () => this.#acks.inHand(),
      filters: () => this.#subscriptions.keys(),
      setAside: (filters) => void this.#setAside(filters),
      takeUp: (filters) => this.#takeUp(filters),
    });
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  get unacked(): number {
    return this.#acks.unacked;
  }

  /** Why it is over, once it is. */
  get end(): HallwardError | undefined {
    return this.#end;
  }

  /** The first connection: tries again until the time is over, or the gateway says no for good. */
  async open(): Promise<void> {
    const deadline = Date.now() + this.#options.connectTimeoutMs;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      try {
        await this.#connect();
        return;
      } catch (error) {
        const hopeless = error instanceof NegativeAck && HOPELESS.has(error.code);
        if (this.#end) throw this.#end;
        if (hopeless || Date.now() + pause > deadline) throw refused(error);
      }
      await this.#pause(jitter(pause));
    }
  }

  async #connect(): Promise<void> {
    const opened = Date.now();
    let current: Connection | undefined;
    const early: Delivery[] = [];
    const connection = await Connection.open(this.#options, {
      delivered: (delivery) => {
        if (current === undefined) early.push(delivery);
        else if (current === this.#connection) this.#receive(delivery);
      },
      closed: (end) => {
        if (current !== undefined && current === this.#connection) this.#lost(end, opened);
        current ??= NEVER;
      },
    });
    if (current === NEVER) throw new Disconnected("the connection was lost at once");
    if (this.#end) {
      connection.destroy();
      throw this.#end;
    }
    current = connection;
    this.#connection = connection;
    this.#maximumPacketSize = connection.maximumPacketSize;
    const resumed = connection.sessionPresent;
    if (!resumed) for (const sub of this.#subscriptions.values()) renew(sub);
    this.#acks.connected((packetId) => connection.acknowledge(packetId), resumed);
    this.#subscribe();
    if (resumed && this.#stale.size > 0) void connection.unsubscribe([...this.#stale]);
    this.#stale.clear();
    this.#events.connected(resumed);
    for (const delivery of early) this.#receive(delivery);
    this.#pump();
  }

  #receive(delivery: Delivery): void {
    if (delivery.packetId === undefined) {
      this.#events.received(delivery, undefined);
      return;
    }
    const receipt = this.#acks.receive(delivery);
    this.#relief.received();
    if (receipt) this.#events.received(delivery, receipt);
  }

  #lost(end: ConnectionEnd, opened: number): void {
    this.#connection = undefined;
    this.#acks.disconnected();
    this.#queue.unshift([...this.#flying]);
    this.#flying.clear();
    if (this.#closing) return;
    const brief = Date.now() - opened < SHORT_LIFE_MS;
    this.#shortLives = brief ? this.#shortLives + 1 : 0;
    const contested = this.#options.protocol === "3.1.1" && this.#shortLives >= MAX_SHORT_LIVES;
    if (end.taken || contested) {
      this.#finish(new SessionTaken(this.#options.clientId));
      return;
    }
    this.#events.disconnected(end.reason);
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    // What lived shortly is not reconnected in a tight loop.
    let pause = Math.min(FIRST_PAUSE_MS * 2 ** this.#shortLives, LONGEST_PAUSE_MS);
    while (!this.#end && !this.#closing) {
      await this.#pause(jitter(pause));
      if (this.#end || this.#closing) return;
      try {
        await this.#connect();
        return;
      } catch (error) {
        this.#options.logger.debug(`reconnect: ${String(error)}`);
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
      }
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = after(ms, resolve);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /**
   * `done` is called once it is acknowledged, or will never be. Throws `TooLarge` at what the
   * gateway would close the connection for.
   */
  publish(message: Publish, done: (error?: unknown) => void): Outgoing {
    const limit = this.#options.maxQueued;
    if (this.#end) throw this.#end;
    const tooLarge = this.#tooLarge(message);
    if (tooLarge) throw tooLarge;
    if (this.#queue.length >= limit) throw new Overflow("too much waits to be published", limit);
    const outgoing = { ...message, done, isSettled: false };
    this.#queue.push(outgoing);
    this.#pump();
    return outgoing;
  }

  /** Nobody waits for it any more: what was not sent yet is not sent. */
  withdraw(outgoing: Outgoing): void {
    if (outgoing.isSettled || this.#flying.has(outgoing)) return;
    this.#queue.remove(outgoing);
    this.#idling();
  }

  #pump(): void {
    const connection = this.#connection;
    if (!connection) return;
    while (this.#flying.size < connection.publishWindow) {
      const outgoing = this.#queue.shift();
      if (!outgoing) return;
      // The gateway may have been given another limit since it was queued.
      const tooLarge = this.#tooLarge(outgoing);
      if (tooLarge) {
        settle(outgoing, tooLarge);
        this.#idling();
        continue;
      }
      this.#flying.add(outgoing);
      connection.publish(outgoing, (error) => {
        // A connection that was given up has nothing to say any more: it is sent on the next.
        if (connection !== this.#connection) return;
        this.#flying.delete(outgoing);
        settle(outgoing, error);
        this.#pump();
        this.#idling();
      });
    }
  }

  #tooLarge(message: Publish): TooLarge | undefined {
    const limit = this.#maximumPacketSize;
    if (limit === Number.POSITIVE_INFINITY) return undefined;
    const size = packetSize(message);
    if (size <= limit) return undefined;
    const reason = `a packet of ${size} bytes: the gateway takes no more than ${limit}`;
    return refusal({ command: message.topic, status: "rejected", code: 413, reason });
  }

  #idling(): void {
    if (this.#flying.size === 0 && this.#queue.length === 0) this.#idle?.resolve();
  }

  /** Resolves at the SUBACK; rejects if the gateway refuses the filter. */
  subscribe(filter: string, qos: Qos): Promise<void> {
    if (this.#end) return Promise.reject(this.#end);
    const known = this.#subscriptions.get(filter);
    if (known) {
      known.users += 1;
      return known.granted.promise;
    }
    const subscription = { filter, qos, users: 1, granted: new Deferred<void>() };
    this.#subscriptions.set(filter, subscription);
    this.#stale.delete(filter);
    this.#subscribe();
    return subscription.granted.promise;
  }

  unsubscribe(filter: string): void {
    const subscription = this.#subscriptions.get(filter);
    if (subscription) {
      subscription.users -= 1;
      if (subscription.users > 0) return;
      this.#subscriptions.delete(filter);
    }
    if (this.#connection) void this.#connection.unsubscribe([filter]);
    else this.#stale.add(filter);
  }

  /** All that were asked for in one turn of the event loop go in one packet. */
  #subscribe(): void {
    if (this.#subscribing) return;
    this.#subscribing = true;
    queueMicrotask(() => {
      this.#subscribing = false;
      const connection = this.#connection;
      const open = [...this.#subscriptions.values()].filter((sub) => this.#isWanted(sub));
      if (connection && open.length > 0) void this.#request(connection, open);
    });
  }

  #isWanted(subscription: Subscription): boolean {
    return !subscription.granted.settled && !this.#relief.isAside(subscription.filter);
  }

  async #setAside(filters: string[]): Promise<void> {
    const connection = this.#connection;
    if (!connection) return;
    this.#options.logger.debug(`${this.unacked} messages are in hand: making room`);
    await connection.unsubscribe(filters);
    connection.destroy();
  }

  #takeUp(filters: string[]): void {
    for (const filter of filters) {
      const subscription = this.#subscriptions.get(filter);
      if (subscription) renew(subscription);
    }
    this.#subscribe();
  }

  async #request(connection: Connection, wanted: Subscription[]): Promise<void> {
    const filters = new Map(wanted.map((sub) => [sub.filter, sub.qos]));
    let codes: number[];
    try {
      codes = await connection.subscribe(filters);
    } catch {
      return; // The connection is over: the next one asks again.
    }
    wanted.forEach((sub, at) => {
      const code = codes[at] ?? 0x80;
      if (code < 0x80) sub.granted.resolve();
      else this.#refuse(sub, code);
    });
  }

  #refuse(subscription: Subscription, code: number): void {
    this.#subscriptions.delete(subscription.filter);
    const error = new NegativeAck(`the subscription to ${subscription.filter}`, code);
    this.#options.logger.warn(error.message);
    subscription.granted.reject(refused(error));
  }

  /** All that was published is acknowledged, or the time is over. */
  async flushed(timeoutMs: number): Promise<void> {
    if (this.#flying.size === 0 && this.#queue.length === 0) return;
    this.#idle ??= new Deferred<void>();
    const limits = { timeoutMs, what: "acknowledgement of what was published" };
    await within(this.#idle.promise, limits).catch(() => {});
    this.#idle = undefined;
  }

  /** Ends it in good order. The session itself can be left for the next program of that name. */
  async close(endSession: boolean): Promise<void> {
    if (this.#end || this.#closing) return;
    this.#closing = true;
    const connection = this.#connection;
    if (connection) {
      const limits = { timeoutMs: 2_000, what: "end of the connection" };
      await within(connection.end(endSession), limits).catch(() => connection.destroy());
      if (endSession && this.#options.protocol === "3.1.1") await this.#cleanUp();
    }
    this.#connection = undefined;
    this.#finish(new Closed());
  }

  /** In MQTT 3.1.1 no DISCONNECT ends a session that is kept: a clean one in its place does. */
  async #cleanUp(): Promise<void> {
    if (this.#options.cleanStart) return;
    const ignored = { delivered: () => {}, closed: () => {} };
    try {
      const clean = { ...this.#options, cleanStart: true, connectTimeoutMs: 2_000 };
      await (await Connection.open(clean, ignored)).end(true);
    } catch (error) {
      this.#options.logger.debug(`the session is left to itself: ${String(error)}`);
    }
  }

  #finish(error: HallwardError): void {
    this.#end = error;
    this.#connection?.destroy();
    this.#connection = undefined;
    this.#relief.stop();
    this.#wake?.();
    for (const outgoing of [...this.#flying, ...this.#queue.drain()]) {
      settle(outgoing, error);
    }
    this.#flying.clear();
    for (const subscription of this.#subscriptions.values()) subscription.granted.reject(error);
    this.#events.closed(error);
  }
}

/** Stands for a connection that ended before it was taken up. */
const NEVER = Symbol("ended") as unknown as Connection;

function renew(subscription: Subscription): void {
  if (subscription.granted.settled) subscription.granted = new Deferred<void>();
}

function settle(outgoing: Outgoing, error?: unknown): void {
  outgoing.isSettled = true;
  outgoing.done(error);
}

function jitter(ms: number): number {
  return ms * (0.5 + Math.random());
}

/** A negative acknowledgement as one of the errors of this package. */
export function refused(error: unknown): unknown {
  if (!(error instanceof NegativeAck)) return error;
  const forbidden = error.code === 0x87 || error.code === 0x86 || error.code === 0x85;
  const old = error.code === 0x04 || error.code === 0x05;
  const kind = forbidden || old ? "Forbidden" : "Refused";
  return new HallwardError(kind, error.message, {
    code: forbidden || old ? 403 : 0,
    retryable: error.code === 0x97 || error.code === 0x88,
    cause: error,
  });
}
