/**
 * A bounded queue that is read with `for await`.
 *
 * It ends by `end()` or by an error, never silently: what does not fit ends it with `Overflow`
 * once what did fit has been read.
 */

import { Overflow } from "../errors.js";
import { onAbort } from "./abort.js";

export interface ChannelOptions<T> {
  /** How many items may wait. */
  limit: number;
  /** What it is, in the words of the error. */
  what: string;
  signal?: AbortSignal | undefined;
  /** An item was taken and the next one is asked for: it is done. */
  onDone?: (item: T) => void;
  /** The reader has left: what it had in hand and what still waits. */
  onLeft?: (items: T[]) => void;
}

interface Waiting<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: unknown): void;
}

export class Channel<T> implements AsyncIterableIterator<T, undefined> {
  readonly #options: ChannelOptions<T>;
  readonly #items: T[] = [];
  readonly #waiting: Waiting<T>[] = [];
  #inHand: { item: T } | undefined;
  #end: { error?: unknown } | undefined;
  #forget = () => {};

  constructor(options: ChannelOptions<T>) {
    this.#options = options;
    const { signal } = options;
    this.#forget = onAbort(signal, (reason) => this.fail(reason));
  }

  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** Whether the item was taken. */
  push(item: T): boolean {
    if (this.#end) return false;
    const reader = this.#waiting.shift();
    if (reader) {
      this.#inHand = { item };
      reader.resolve({ value: item, done: false });
      return true;
    }
    if (this.#items.length >= this.#options.limit) {
      this.fail(new Overflow(`${this.#options.what} is not read fast enough`, this.#options.limit));
      return false;
    }
    this.#items.push(item);
    return true;
  }

  /** No more will come; what waits can still be read. */
  end(): void {
    this.#close({});
  }

  /** No more will come; whoever reads on gets the error after what waits. */
  fail(error: unknown): void {
    this.#close({ error });
  }

  #close(end: { error?: unknown }): void {
    if (this.#end) return;
    this.#end = end;
    this.#forget();
    for (const reader of this.#waiting.splice(0)) this.#finish(reader);
  }

  #finish(reader: Waiting<T>): void {
    if (this.#end && "error" in this.#end) reader.reject(this.#end.error);
    else reader.resolve({ value: undefined, done: true });
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#inHand) {
      const { item } = this.#inHand;
      this.#inHand = undefined;
      this.#options.onDone?.(item);
    }
    return new Promise((resolve, reject) => {
      if (this.#items.length > 0) {
        const item = this.#items.shift() as T;
        this.#inHand = { item };
        resolve({ value: item, done: false });
      } else if (this.#end) {
        this.#finish({ resolve, reject });
      } else {
        this.#waiting.push({ resolve, reject });
      }
    });
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.end();
    const left = this.#items.splice(0);
    if (this.#inHand) left.unshift(this.#inHand.item);
    this.#inHand = undefined;
    this.#options.onLeft?.(left);
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
