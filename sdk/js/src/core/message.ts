/** A message for one of the patterns, and where it belongs. */

import type { Receipt } from "../mqtt/acks.js";
import type { Delivery } from "../mqtt/connection.js";
import type { TraceContext } from "../util/trace.js";
import { decode } from "../wire/codec.js";

/** A topic below the root, taken apart. */
export interface Address {
  room: string;
  /** `handoff/result`, or `inbox`. */
  kind: string;
  /** The levels behind the kind. */
  rest: string[];
}

/** The levels of a topic behind the root. */
export function addressOf(levels: string[]): Address | undefined {
  const [room, pattern, ...rest] = levels;
  if (room === undefined || pattern === undefined) return undefined;
  if (pattern === "inbox" || pattern === "reply") return { room, kind: pattern, rest };
  const [kind, ...behind] = rest;
  return { room, kind: `${pattern}/${kind}`, rest: behind };
}

export class Message {
  readonly room: string;
  readonly kind: string;
  readonly rest: readonly string[];
  readonly payload: Uint8Array;
  readonly trace: TraceContext;
  readonly #receipt: Receipt | undefined;
  readonly #delivery: Delivery;
  #body: { value: unknown } | undefined;

  constructor(address: Address, delivery: Delivery, receipt: Receipt | undefined) {
    this.room = address.room;
    this.kind = address.kind;
    this.rest = address.rest;
    this.payload = delivery.payload;
    this.#receipt = receipt;
    this.#delivery = delivery;
    const { traceparent, tracestate } = delivery.userProperties;
    this.trace = { traceparent, tracestate };
  }

  /** The body, decoded. Throws `Undecodable` if it is neither JSON nor CBOR. */
  body<T>(): T {
    this.#body ??= { value: decode(this.payload) };
    return this.#body.value as T;
  }

  /** What and whose it is, in the words of the log. */
  describe(): string {
    const { packetId, userProperties } = this.#delivery;
    const isInbox = this.kind === "inbox";
    const from = isInbox ? this.rest[1] : userProperties.from;
    const id = isInbox ? undefined : this.#id();
    const more = [from && `from ${from}`, id && `of ${id}`, `packet ${packetId}`].filter(Boolean);
    return `the message on ${this.room}/${this.kind} (${more.join(", ")})`;
  }

  /** What it is about. */
  #id(): string | undefined {
    try {
      const { task, group, call, id } = this.body<Record<string, string | undefined>>();
      return task ?? group ?? call ?? id;
    } catch {
      return undefined;
    }
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
