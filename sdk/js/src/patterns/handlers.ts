/**
 * The handlers and iterators of one kind of mail: who gets it, and when it is acknowledged.
 *
 * Handlers run at the same time. A message is acknowledged when all of them are done with it; one
 * that throws is reported and called again after a pause that doubles, and meanwhile the message
 * stays unacknowledged: if the program dies, it comes again. As acknowledgements leave in order,
 * that has an end: after so many times, or where no other time can help, the message is passed
 * over.
 */

import type { Client, Message } from "../client.js";
import { Undecodable } from "../errors.js";
import { onAbort } from "../util/abort.js";
import { Channel } from "../util/channel.js";
import { checkCount, checkFunction, checkOptions, fieldsOf } from "../util/checks.js";
import { sleep } from "../util/deferred.js";
import { Deque } from "../util/deque.js";
import { inTrace } from "../util/trace.js";

export type Handler<T> = (item: T) => unknown;

export interface HandlerOptions {
  /** How many may run at the same time; with 1 they run in the order of arrival. Default 16. */
  concurrency?: number;
  /**
   * How often a handler that throws is called for one message, with pauses from one second to one
   * minute; then the message is passed over, and the log says so. 20 if not said: a quarter of an
   * hour.
   */
  maxAttempts?: number;
}

/** Bounded by the window of unacknowledged messages already; this is only a second look. */
const MAX_WAITING = 65_536;
const OPTIONS = fieldsOf<HandlerOptions>({ concurrency: true, maxAttempts: true });
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
const MAX_ATTEMPTS = 20;

interface Item<T> {
  value: T;
  message: Message;
  /** How many handlers are not done yet. */
  open: number;
}

interface Reader<T> {
  take(item: Item<T>): void;
}

export class Handlers<T> {
  readonly #client: Client;
  readonly #room: string;
  readonly #kind: string;
  readonly #readers = new Set<Reader<T>>();

  constructor(client: Client, room: string, kind: string) {
    this.#client = client;
    this.#room = room;
    this.#kind = kind;
  }

  get none(): boolean {
    return this.#readers.size === 0;
  }

  /** Whether somebody has taken it. */
  give(message: Message, value: T): boolean {
    const item = { value, message, open: this.#readers.size };
    for (const reader of this.#readers) reader.take(item);
    return item.open > 0 || this.#readers.size > 0;
  }

  add(handler: Handler<T>, options: HandlerOptions = {}): () => void {
    checkFunction("a handler", handler);
    checkOptions("what a handler is called with", options, OPTIONS);
    checkCount("concurrency", options.concurrency);
    if (options.maxAttempts !== Number.POSITIVE_INFINITY) {
      checkCount("maxAttempts", options.maxAttempts);
    }
    const limit = options.concurrency ?? 16;
    const attempts = options.maxAttempts ?? MAX_ATTEMPTS;
    const waiting = new Deque<Item<T>>();
    let running = 0;
    const next = (): void => {
      while (running < limit) {
        const item = waiting.shift();
        if (!item) return;
        running += 1;
        void this.#run(handler, item, attempts).finally(() => {
          running -= 1;
          next();
        });
      }
    };
    return this.#join({
      take: (item) => {
        waiting.push(item);
        next();
      },
    });
  }

  iterate(options: { signal?: AbortSignal | undefined } = {}): Channel<T> {
    const items = new Map<T, Item<T>>();
    const channel = new Channel<T>({
      limit: MAX_WAITING,
      what: this.#kind,
      signal: options.signal,
      onDone: (value) => {
        const item = items.get(value);
        items.delete(value);
        if (item) done(item);
      },
      onLeft: (values) => {
        leave();
        forget();
        // Nobody has dealt with these: they wait for the next one who asks.
        for (const value of values) this.#giveBack(items.get(value));
      },
    });
    const forget = onAbort(this.#client.over, (reason) => channel.fail(reason));
    const leave = this.#join({
      take: (item) => {
        items.set(item.value, item);
        channel.push(item.value);
      },
    });
    return channel;
  }

  #join(reader: Reader<T>): () => void {
    this.#readers.add(reader);
    this.#client.offer(this.#room, this.#kind);
    return () => this.#readers.delete(reader);
  }

  #giveBack(item: Item<T> | undefined): void {
    if (!item) return;
    if (item.open > 1) done(item);
    else this.#client.park(item.message);
  }

  async #run(handler: Handler<T>, item: Item<T>, attempts: number): Promise<void> {
    const { over, logger } = this.#client;
    let wait = FIRST_RETRY_MS;
    for (let count = 1; !over.aborted; count += 1, wait = Math.min(wait * 2, LONGEST_RETRY_MS)) {
      try {
        await inTrace(item.message.trace, async () => handler(item.value));
        done(item);
        return;
      } catch (error) {
        if (over.aborted) return;
        const what = `a handler failed at ${item.message.describe()}`;
        if (isHopeless(error) || count >= attempts) {
          logger.error(`${what}, which is passed over after ${count} attempts`, error);
          done(item);
          return;
        }
        logger.error(`${what}; it is called again in ${wait} ms`, error);
      }
      await sleep(wait, over);
    }
  }
}

/** A body that cannot be decoded is the same the next time. */
function isHopeless(error: unknown): boolean {
  const { cause } = (error ?? {}) as { cause?: unknown };
  return error instanceof Undecodable || cause instanceof Undecodable;
}

function done<T>(item: Item<T>): void {
  item.open -= 1;
  if (item.open === 0) item.message.done();
}
