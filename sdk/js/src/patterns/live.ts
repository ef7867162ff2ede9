/**
 * What is live: retained state and events, for any number of listeners.
 *
 * Unlike mail it is acknowledged on receipt. Who reads too slowly gets `Overflow`.
 */

import type { Client } from "../client.js";
import { onAbort } from "../util/abort.js";
import { Channel } from "../util/channel.js";
import { checkFunction } from "../util/checks.js";
import { inTrace, type TraceContext } from "../util/trace.js";

const MAX_WAITING = 1_000;

export class Live<T> {
  readonly #client: Client;
  readonly #what: string;
  readonly #listeners = new Set<(item: T) => void>();

  constructor(client: Client, what: string) {
    this.#client = client;
    this.#what = what;
  }

  emit(item: T): void {
    for (const listener of this.#listeners) listener(item);
  }

  listen(listener: (item: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Calls a handler of the user's with each item from now on. */
  on(handler: (item: T) => unknown, trace?: (item: T) => TraceContext): () => void {
    checkFunction("a handler", handler);
    return this.listen((item) => this.call(handler, item, trace?.(item)));
  }

  /** Calls a handler of the user's once; what it throws is reported. */
  call<U>(handler: (item: U) => unknown, item: U, trace: TraceContext = {}): void {
    inTrace(trace, async () => handler(item)).catch((error: unknown) => {
      this.#client.logger.error(`a handler of ${this.#what} failed`, error);
    });
  }

  /** Ends with an error when the connection is over for good, or when it is read too slowly. */
  iterate(options: { signal?: AbortSignal | undefined; limit?: number } = {}): Channel<T> {
    const channel = new Channel<T>({
      limit: options.limit ?? MAX_WAITING,
      what: this.#what,
      signal: options.signal,
      onLeft: () => {
        leave();
        forget();
      },
    });
    const leave = this.listen((item) => channel.push(item));
    const forget = onAbort(this.#client.over, (reason) => channel.fail(reason));
    return channel;
  }
}
