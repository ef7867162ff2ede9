/** Observe: what happens in a room, live, and what happened before. */

import type { CallOptions, Client, Message } from "../client.js";
import { Gap } from "../errors.js";
import { checkFunction, checkOptions, fieldsOf } from "../util/checks.js";
import { type Moment, toUnixMs } from "../util/duration.js";
import { checkName, malformed, shown } from "../util/names.js";
import { RecentMap, defined } from "../util/objects.js";
import { encode } from "../wire/codec.js";
import type * as wire from "../wire/types.js";
import { Live } from "./live.js";

/** Something that the gateway, or an agent, tells whoever listens. */
export interface Observed {
  /** `gateway`, or the agent that tells it. */
  source: string;
  /** The gateway has one category per pattern: `handoff`, `presence` … */
  category: string;
  /** The body: of the gateway's events a `GatewayEvent`. */
  payload: any;
  /** An agent's own word, where it follows the convention. */
  severity?: string | undefined;
  /** The gateway's events are numbered without a gap. */
  seq?: number | undefined;
  /** `handoff.succeeded`; of the gateway's events only. */
  what?: string | undefined;
  /** The task, key, approval, agent, tool or call. */
  subject?: string | undefined;
  /** Who caused it. */
  who?: string | undefined;
  at?: number | undefined;
}

export type GatewayEvent = wire.Event;

/** The events of one category, or the past of all of them. */
export interface EventsQuery {
  /** From this number on. */
  fromSeq?: number;
  /** From this time on: Unix milliseconds, a date, or so long ago (`"1h"`). */
  since?: Moment;
  /** Only this category. */
  category?: string;
}

export interface EventsOptions {
  signal?: AbortSignal;
  /** How many may wait until they are read; 10,000 if not said. Beyond it: `Overflow`. */
  limit?: number;
  /** Called once with what comes live from then on; until then it catches up. */
  onLive?: () => void;
}

const QUERY = fieldsOf<EventsQuery>({ fromSeq: true, since: true, category: true });
const EVENTS = fieldsOf<EventsOptions>({ signal: true, limit: true, onLive: true });
const PAGE = 1_000;
/** Stands among live events for a new connection. No agent can have this name. */
const RECONNECTED: Observed = { source: "", category: "", payload: undefined };

export class Observe {
  readonly #client: Client;
  readonly #room: string;
  readonly #live: Live<Observed>;
  readonly #filters = new Map<string, Promise<void>>();
  readonly #recent = new RecentMap<number, true>(4_096);
  #routed = false;

  constructor(client: Client, room: string) {
    this.#client = client;
    this.#room = room;
    this.#live = new Live(client, `events of ${room}`);
  }

  /** Tells whoever listens. It is not a command: nobody answers. */
  async emit(
    category: string,
    payload: unknown,
    options: CallOptions & { severity?: string } = {},
  ): Promise<void> {
    const { severity = "info" } = options;
    const suffix = `observe/events/${this.#client.agent}/${checkName("category", category)}`;
    const body = encode("json", { severity, payload });
    await this.#client.publish(this.#room, suffix, body, options);
  }

  /**
   * Calls the handler with live events: `"*"` all, `"handoff"` one category, `"handoff.succeeded"`
   * one kind, `"wanda/*"` or `"wanda/log"` those of one agent.
   */
  on(pattern: string, handler: (event: Observed) => unknown): () => void {
    const { filter, matches } = parse(pattern);
    checkFunction("a handler", handler);
    void this.#subscribe(filter).catch(() => {});
    return this.#live.on(
      (event) => (matches(event) ? handler(event) : undefined),
      (event) => (event.source === "gateway" ? (event.payload as GatewayEvent) : {}),
    );
  }

  /** Resolves when what `on` asked for is subscribed. */
  async listening(): Promise<void> {
    await Promise.all(this.#filters.values());
  }

  /** Live events, as an iterator. */
  async *live(
    pattern = "*",
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<Observed, void> {
    const { filter, matches } = parse(pattern);
    const events = this.#live.iterate(options);
    try {
      await this.#subscribe(filter);
      for await (const event of events) if (matches(event)) yield event;
    } finally {
      await events.return();
    }
  }

  /** One page of the past. */
  replayPage(
    query: { fromSeq?: number; since?: number; until?: number; filter?: string; limit?: number },
    options: CallOptions = {},
  ): Promise<wire.ReplayPage> {
    const topic = `observe/replay/${this.#client.agent}`;
    return this.#client.query(this.#room, topic, query, options);
  }

  /** The past, up to now. Throws `Gap` where something that was asked for is not kept. */
  async *replay(
    query: EventsQuery & { until?: Moment } = {},
    options: CallOptions = {},
  ): AsyncGenerator<GatewayEvent, void> {
    checkOptions("the query of a replay", query, [...QUERY, "until"]);
    const { until } = query;
    yield* this.#past(query, until === undefined ? undefined : toUnixMs(until), options, () => {});
  }

  /**
   * The gateway's events from a point on, then each new one, none twice and none left out: over
   * reconnects and restarts, too. Throws `Gap` when some are missing and not kept any more.
   */
  async *events(
    query: EventsQuery = {},
    options: EventsOptions = {},
  ): AsyncGenerator<GatewayEvent, void> {
    checkOptions("the query of events", query, QUERY);
    checkOptions("what events are read with", options, EVENTS);
    const { signal, limit = 10_000, onLive } = options;
    const live = this.#live.iterate({ signal, limit });
    const stop = this.#client.onStatus((status) => {
      if (status.status === "connected") live.push(RECONNECTED);
    });
    const wanted = (event: GatewayEvent) => isOf(event, query.category);
    let next = query.fromSeq;
    const behind = (seq: number) => {
      next = seq;
    };
    try {
      await this.#subscribe("gateway/+");
      const all = { ...query, category: undefined };
      if (next === undefined && query.since === undefined) next = await this.#newest();
      for await (const event of this.#past(defined(all), undefined, { signal }, behind, next)) {
        if (wanted(event)) yield event;
      }
      onLive?.();
      for await (const { source, payload } of live) {
        if (source === RECONNECTED.source) {
          // Whatever came meanwhile, whether or not anything comes now.
          for await (const missed of this.#past(
            { fromSeq: next ?? 1 },
            undefined,
            { signal },
            behind,
          )) {
            if (wanted(missed)) yield missed;
          }
          continue;
        }
        const event = payload as GatewayEvent;
        if (source !== "gateway" || event.seq < (next ?? 0)) continue;
        if (next !== undefined && event.seq > next) {
          for await (const missed of this.#past({ fromSeq: next }, undefined, { signal }, behind)) {
            if (missed.seq < event.seq && wanted(missed)) yield missed;
          }
        }
        next = event.seq + 1;
        if (wanted(event)) yield event;
      }
    } finally {
      stop();
      await live.return();
    }
  }

  /** The number of the event to come. */
  async #newest(): Promise<number> {
    return (await this.replayPage({ limit: 1 })).newest + 1;
  }

  async *#past(
    query: EventsQuery,
    until: number | undefined,
    options: CallOptions,
    behind: (seq: number) => void,
    from = query.fromSeq,
  ): AsyncGenerator<GatewayEvent, void> {
    const { category } = query;
    const filter = category === undefined ? undefined : `observe/events/gateway/${category}`;
    let since = from === undefined && query.since !== undefined ? toUnixMs(query.since) : undefined;
    let fromSeq = from;
    for (;;) {
      const ask = { fromSeq, since, until, filter, limit: PAGE };
      const page = await this.replayPage(ask, options);
      if (!page.complete && fromSeq !== undefined) throw new Gap(fromSeq, page.oldest);
      yield* page.events;
      behind(page.next);
      if (page.end) return;
      fromSeq = page.next;
      since = undefined;
    }
  }

  #subscribe(filter: string): Promise<void> {
    if (!this.#routed) {
      this.#routed = true;
      this.#client.route(this.#room, "observe/events", (message) => this.#came(message));
    }
    // One for all where there is one for all: what matches two filters would come twice.
    const known = this.#filters.get("+/+") ?? this.#filters.get(filter);
    if (known) return known;
    const granted = this.#client.subscribe(this.#room, `observe/events/${filter}`);
    this.#filters.set(filter, granted);
    return granted;
  }

  #came(message: Message): boolean {
    message.done();
    const [source = "", category = ""] = message.rest;
    const payload = bodyOf(message);
    if (source === "gateway") {
      const { seq, what, subject, who, at } = payload as GatewayEvent;
      this.#emitOnce({ source, category, payload, seq, what, subject, who, at });
      return true;
    }
    const said = payload as { severity?: string; payload?: unknown } | undefined;
    this.#live.emit({ source, category, payload, severity: said?.severity });
    return true;
  }

  /** Two filters, or a resumed session, can bring an event twice. */
  #emitOnce(event: Observed): void {
    const seq = event.seq ?? 0;
    if (this.#recent.has(seq)) return;
    this.#recent.set(seq, true);
    this.#live.emit(event);
  }
}

function bodyOf(message: Message): unknown {
  try {
    return message.body();
  } catch {
    return message.payload; // Agents may tell any bytes.
  }
}

function isOf(event: GatewayEvent, category: string | undefined): boolean {
  return category === undefined || event.what.startsWith(`${category}.`);
}

interface Pattern {
  filter: string;
  matches(event: Observed): boolean;
}

function parse(pattern: string): Pattern {
  if (pattern === "*") return { filter: "+/+", matches: () => true };
  if (typeof pattern !== "string") throw malformed(`pattern ${shown(pattern)} is no text`);
  const [source, category, ...more] = pattern.split("/") as [string, string | undefined];
  if (more.length > 0) throw malformed(`pattern ${shown(pattern)}: more than two levels`);
  if (category !== undefined) {
    const all = category === "*";
    return {
      filter: `${checkName("source", source)}/${all ? "+" : checkName("category", category)}`,
      matches: (event) => event.source === source && (all || event.category === category),
    };
  }
  const [name, kind] = pattern.split(".", 2) as [string, string | undefined];
  checkName("category", name);
  if (kind !== undefined) {
    return { filter: `gateway/${name}`, matches: (event) => event.what === pattern };
  }
  return {
    filter: `+/${checkName("category", name)}`,
    matches: (event) => event.category === name,
  };
}
