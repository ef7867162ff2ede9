/**
 * Commands and their replies.
 *
 * A command resolves when its reply says so, which means that it is on disk. Replies come with
 * QoS 0: they are no part of the window of unacknowledged messages, so a handler may wait for one
 * while everything else waits for the handler. What a lost connection takes with it is asked again
 * under the same id, which repeats the first answer.
 */

import { Overflow, Refused, TooMany, refusal } from "../errors.js";
import { NegativeAck, type PublishProperties } from "../mqtt/connection.js";
import { type Outgoing, type Session, refused } from "../mqtt/session.js";
import { Deferred, after, pause, within } from "../util/deferred.js";
import type { Logger } from "../util/logger.js";
import { type Bytes, encode } from "../wire/codec.js";
import type { Encoding, Reply } from "../wire/types.js";

/** The limits of one call. */
export interface Sending {
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Whether 503 is tried again within the deadline, as 429 is; true if not said. */
  retry?: boolean | undefined;
}

/** Where a command goes: its topic, and what its reply calls it. */
export interface Target {
  room: string;
  /** `handoff/dispatch` */
  command: string;
  topic: string;
}

export interface CommandsOptions {
  session: Session;
  encoding: Encoding;
  logger: Logger;
  /** Aborted when the connection is over for good. */
  over: AbortSignal;
}

/** What a reply is known by. */
export interface Asked {
  id?: string | undefined;
  correlationId?: string | undefined;
}

interface Pending extends Target {
  readonly token: string;
  readonly payload: Bytes;
  readonly reply: Deferred<Reply>;
  outgoing: Outgoing | undefined;
}

const MAX_PENDING = 10_000;
const MAX_REFUSALS = 64;
/** A refused publish is answered, too; if that gets lost, the acknowledgement has to do. */
const REPLY_GRACE_MS = 1_000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;

export class Commands {
  readonly #options: CommandsOptions;
  readonly #pending = new Map<string, Set<Pending>>();
  /** Refusals that an acknowledgement may still have to be explained by, the oldest first. */
  readonly #refusals: Reply[] = [];
  readonly #puzzled = new Set<(reply: Reply) => boolean>();
  #count = 0;

  constructor(options: CommandsOptions) {
    this.#options = options;
  }

  /** Sends a command that is known by its id or correlation id, and waits for its reply. */
  ask(target: Target, body: Asked, sending: Sending): Promise<Reply> {
    return this.#insist(sending, async (timeoutMs) => {
      const reply = await this.#once(target, body, { ...sending, timeoutMs });
      if (reply.status === "accepted") return reply;
      throw refusal(reply);
    });
  }

  /** Publishes something that is no command; settles at the acknowledgement. */
  publish(
    topic: string,
    payload: Bytes,
    properties: PublishProperties | undefined,
    sending: Sending,
  ): Promise<void> {
    const { session } = this.#options;
    const what = `acknowledgement of ${topic}`;
    const message = { topic, payload, qos: 1 as const, properties };
    return this.#insist(sending, async (timeoutMs) => {
      const acknowledged = new Deferred<void>();
      const outgoing = session.publish(message, (error) => {
        if (error === undefined) acknowledged.resolve();
        else acknowledged.reject(error);
      });
      const signals = [sending.signal];
      try {
        await within(acknowledged.promise, { timeoutMs, signals, what });
      } catch (error) {
        session.withdraw(outgoing);
        throw error instanceof NegativeAck ? await this.#explain(error) : error;
      }
    });
  }

  /** A connection stands: replies to what had arrived before may have been lost. */
  connected(): void {
    for (const pending of this.#all()) {
      if (pending.outgoing?.isSettled) this.#send(pending);
    }
  }

  closed(error: unknown): void {
    for (const pending of this.#all()) pending.reply.reject(error);
  }

  replied(room: string, reply: Reply): void {
    const token = reply.id ?? reply.correlationId;
    const pending = token === undefined ? undefined : this.#find(token, room, reply.command);
    if (pending) pending.reply.resolve(reply);
    else if (reply.status === "rejected" && token === undefined) this.#unexplained(reply);
  }

  async #once(target: Target, body: Asked, sending: Sending): Promise<Reply> {
    const { session, encoding } = this.#options;
    const { timeoutMs, signal } = sending;
    if (this.#count >= MAX_PENDING) {
      throw new Overflow("too many commands wait for their replies", MAX_PENDING);
    }
    const token = (body.id ?? body.correlationId) as string;
    const payload = encode(encoding, body);
    const reply = new Deferred<Reply>();
    const pending: Pending = { ...target, token, payload, reply, outgoing: undefined };
    this.#add(pending);
    try {
      this.#send(pending);
      const hint = () => (session.connected ? "" : "; there is no connection");
      const what = `reply to ${target.command}`;
      return await within(reply.promise, { timeoutMs, signals: [signal], what, hint });
    } finally {
      if (pending.outgoing) session.withdraw(pending.outgoing);
      this.#remove(pending);
    }
  }

  /** A user's own id may stand for commands of several kinds, and in several rooms. */
  #find(token: string, room: string, command: string): Pending | undefined {
    let found: Pending | undefined;
    for (const one of this.#pending.get(token) ?? []) {
      if (one.room !== room) continue;
      if (one.command === command) return one;
      found ??= one; // A topic that is none has no such command.
    }
    return found;
  }

  #all(): Pending[] {
    return [...this.#pending.values()].flatMap((some) => [...some]);
  }

  #add(pending: Pending): void {
    const others = this.#pending.get(pending.token);
    if (others) others.add(pending);
    else this.#pending.set(pending.token, new Set([pending]));
    this.#count += 1;
  }

  #remove(pending: Pending): void {
    const others = this.#pending.get(pending.token);
    others?.delete(pending);
    if (others?.size === 0) this.#pending.delete(pending.token);
    this.#count -= 1;
  }

  #send(pending: Pending): void {
    const { session, encoding } = this.#options;
    const { topic, payload, reply } = pending;
    const properties = encoding === "cbor" ? { contentType: "application/cbor" } : undefined;
    try {
      pending.outgoing = session.publish({ topic, payload, qos: 1, properties }, (error) => {
        if (error instanceof NegativeAck) after(REPLY_GRACE_MS, () => reply.reject(refused(error)));
        else if (error !== undefined) reply.reject(error);
      });
    } catch (error) {
      reply.reject(error);
    }
  }

  /** Tries again after 429 and 503, as long as the deadline leaves time. */
  async #insist<T>(sending: Sending, attempt: (leftMs: number) => Promise<T>): Promise<T> {
    const deadline = Date.now() + sending.timeoutMs;
    for (let count = 0; ; count += 1) {
      sending.signal?.throwIfAborted();
      const start = Date.now();
      try {
        return await attempt(deadline - start);
      } catch (error) {
        const wait = error instanceof Refused ? retryPause(error, count, sending) : undefined;
        // With too little time for a reply, "refused" would become "who knows".
        const end = Date.now();
        if (wait === undefined || end + wait + 2 * (end - start) >= deadline) throw error;
        await pause(wait, [sending.signal, this.#options.over]);
      }
    }
  }

  /** What is no command has no id; its refusal is known by the words of the acknowledgement. */
  async #explain(ack: NegativeAck): Promise<unknown> {
    const isMeant = (reply: Reply) => ack.reason?.startsWith(reply.reason ?? "?") === true;
    const known = this.#refusals.find(isMeant);
    if (known) {
      this.#refusals.splice(this.#refusals.indexOf(known), 1);
      return refusal(known);
    }
    const found = new Deferred<Reply>();
    const explains = (reply: Reply) => {
      if (isMeant(reply)) found.resolve(reply);
      return found.settled;
    };
    this.#puzzled.add(explains);
    try {
      return refusal(await within(found.promise, { timeoutMs: REPLY_GRACE_MS, what: "reply" }));
    } catch {
      return refused(ack);
    } finally {
      this.#puzzled.delete(explains);
    }
  }

  /** A refusal of something that is no command. `handoff/work` is for workers. */
  #unexplained(reply: Reply): void {
    if (reply.command === "handoff/work") return;
    for (const explains of this.#puzzled) if (explains(reply)) return;
    this.#refusals.push(reply);
    if (this.#refusals.length > MAX_REFUSALS) this.#refusals.shift();
    const { logger } = this.#options;
    logger.debug(`${reply.command} was refused with ${reply.code}: ${reply.reason}`);
  }
}

/** Milliseconds until a refused command is sent again; nothing: it is not. */
function retryPause(error: Refused, attempt: number, sending: Sending): number | undefined {
  if (!error.retryable || (sending.retry === false && error.code === 503)) return undefined;
  const told = error instanceof TooMany ? (error.retryAfter ?? 0) : 0;
  const longest = Math.min(FIRST_RETRY_MS * 2 ** attempt, LONGEST_RETRY_MS);
  return told + longest * (0.5 + Math.random() / 2);
}
