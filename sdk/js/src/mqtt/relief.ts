/**
 * What to do about a window that is full of messages whose handlers are not done.
 *
 * Nothing more can come then, also not the answer that such a handler may be waiting for. But what
 * is addressed to an agent waits at the gateway while it does not subscribe to it, also what was
 * sent already, once the connection is made anew. So the kinds of mail that fill the window are set
 * aside: the handlers go on, other mail has room, and when they are done the subscriptions are made
 * again, and what comes again is acknowledged.
 */

import { after } from "../util/deferred.js";

/** How long the window may be full before something is done about it. */
const PATIENCE_MS = 500;

export interface Relieved {
  /** Whether the window is full now. */
  isFull(): boolean;
  /** The topics of what handlers have in hand. */
  inHand(): Iterable<string>;
  /** The filters of subscriptions that are made now. */
  filters(): Iterable<string>;
  /** Ends these subscriptions and the connection, which is made anew. */
  setAside(filters: string[]): void;
  /** Makes these subscriptions again. */
  takeUp(filters: string[]): void;
}

export class Relief {
  readonly #of: Relieved;
  readonly #aside = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(of: Relieved) {
    this.#of = of;
  }

  isAside(filter: string): boolean {
    return this.#aside.has(filter);
  }

  /** A message has come. */
  received(): void {
    if (this.#timer === undefined && this.#of.isFull()) {
      this.#timer = after(PATIENCE_MS, () => this.#relieve());
    }
  }

  /** A handler is done. */
  finished(): void {
    if (this.#aside.size === 0) return;
    for (const topic of this.#of.inHand()) {
      for (const filter of this.#aside) if (matches(filter, topic)) return;
    }
    const filters = [...this.#aside];
    this.#aside.clear();
    this.#of.takeUp(filters);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #relieve(): void {
    this.#timer = undefined;
    if (!this.#of.isFull()) return;
    const topics = new Set(this.#of.inHand());
    const filters = [...this.#of.filters()].filter((filter) => {
      return [...topics].some((topic) => matches(filter, topic));
    });
    for (const filter of filters) this.#aside.add(filter);
    if (filters.length > 0) this.#of.setAside(filters);
  }
}

/** Whether a topic filter (MQTT 4.7) takes the topic. */
export function matches(filter: string, topic: string): boolean {
  const levels = topic.split("/");
  const wanted = filter.split("/");
  for (const [at, level] of wanted.entries()) {
    if (level === "#") return true;
    if (at >= levels.length || (level !== "+" && level !== levels[at])) return false;
  }
  return wanted.length === levels.length;
}
