/** Blackboard: shared state with versions, transactions, history and locks. */

import type { CallOptions, Client } from "../client.js";
import { Conflict } from "../errors.js";
import { checkFunction, checkOptions, checkText, fieldsOf } from "../util/checks.js";
import { Deferred, within } from "../util/deferred.js";
import { type Duration, optionalMs } from "../util/duration.js";
import { checkKey, checkName, malformed } from "../util/names.js";
import type * as wire from "../wire/types.js";
import { Live } from "./live.js";
import { Lock } from "./lock.js";
import { pages } from "./pages.js";

/** A key as it stands. */
export interface Entry<T = any> extends Omit<wire.Entry, "value"> {
  value: T;
}

/** What happened to a key. */
export type Change<T = any> =
  (Entry<T> & { deleted: false }) | { key: string; deleted: true; value: undefined };

export interface WriteOptions extends CallOptions {
  /** Makes a repeat harmless; random if not said. */
  id?: string;
  /** Only if this is the version; 0: only if absent. Else `Conflict` with `current`. */
  ifVersion?: number;
  /** Only while this lock is held: else `Conflict` with `lock`. */
  fence?: Lock | wire.Fence;
}

export interface SetOptions extends WriteOptions {
  /** The key deletes itself after that. */
  ttl?: Duration;
  /** The value is a JSON Merge Patch. */
  merge?: boolean;
}

export type Operation =
  | { op: "set"; key: string; value: unknown; ifVersion?: number; merge?: boolean; ttl?: Duration }
  | { op: "delete"; key: string; ifVersion?: number }
  | { op: "check"; key: string; ifVersion: number };

export interface Written {
  version: number;
  revision: number;
}

export interface LockOptions extends CallOptions {
  /** How long it is held without being renewed; 30 s if not said. */
  ttl?: Duration;
  /** Wait so long for whoever holds it. */
  wait?: Duration;
  /** Whether it is renewed by itself, at a third of `ttl`; true if not said. */
  renew?: boolean;
}

const SET = fieldsOf<SetOptions>({
  id: true,
  ifVersion: true,
  fence: true,
  ttl: true,
  merge: true,
  timeout: true,
  signal: true,
});
const LOCK = fieldsOf<LockOptions>({
  ttl: true,
  wait: true,
  renew: true,
  timeout: true,
  signal: true,
});

export class Blackboard {
  readonly #client: Client;
  readonly #room: string;
  readonly #entries = new Map<string, wire.Entry>();
  /** Since the last look at which keys there are. */
  readonly #deleted = new Set<string>();
  readonly #changes: Live<Change>;
  #loading: Promise<void> | undefined;

  constructor(client: Client, room: string) {
    this.#client = client;
    this.#room = room;
    this.#changes = new Live(client, `blackboard of ${room}`);
  }

  /**
   * The value of a key, from a copy that this agent keeps: `undefined` if there is none. The first
   * call fetches the copy; from then on the gateway tells of each change.
   */
  async get<T = any>(key: string): Promise<T | undefined> {
    await this.#load();
    return this.#entries.get(checkKey(key))?.value as T | undefined;
  }

  /** As `get`, with version and writer. */
  async entry<T = any>(key: string): Promise<Entry<T> | undefined> {
    await this.#load();
    return this.#entries.get(checkKey(key)) as Entry<T> | undefined;
  }

  /** A key as it stands at the gateway. */
  async fetch<T = any>(key: string, options: CallOptions = {}): Promise<Entry<T> | undefined> {
    const { entries } = await this.snapshot({ ...options, prefix: checkKey(key) });
    return entries.find((entry) => entry.key === key) as Entry<T> | undefined;
  }

  async set(key: string, value: unknown, options: SetOptions = {}): Promise<Written> {
    checkOptions("what a key is set with", options, SET);
    const { ttl, merge, ifVersion, id } = options;
    const body = { value: value ?? null, ifVersion, merge, ttlMs: optionalMs(ttl), id };
    return this.#write(`blackboard/set/${this.#client.agent}/${checkKey(key)}`, body, options);
  }

  /** Sets what the function makes of the value, again and again until nobody came in between. */
  async update<T = any>(
    key: string,
    change: (value: T | undefined) => T,
    options: Omit<SetOptions, "ifVersion" | "merge"> = {},
  ): Promise<Written> {
    for (let entry = await this.fetch<T>(key, options); ;) {
      const ifVersion = entry?.version ?? 0;
      try {
        return await this.set(key, change(entry?.value), { ...options, ifVersion });
      } catch (error) {
        if (!(error instanceof Conflict) || error.lock) throw error;
        entry = error.current ? (error.current as Entry<T>) : await this.fetch<T>(key, options);
      }
    }
  }

  async delete(key: string, options: WriteOptions = {}): Promise<Written> {
    const { ifVersion, id } = options;
    const topic = `blackboard/delete/${this.#client.agent}/${checkKey(key)}`;
    return this.#write(topic, { ifVersion, id }, options);
  }

  /** Several writes, all or none. */
  async txn(
    operations: Operation[],
    options: Omit<WriteOptions, "ifVersion"> = {},
  ): Promise<{ revision: number; versions: wire.Written[] }> {
    if (!Array.isArray(operations)) throw malformed("the operations are an array");
    const ops = operations.map((operation) => {
      const { ttl, ...same } = operation as Operation & { ttl?: Duration };
      return { ...same, ttlMs: optionalMs(ttl) };
    });
    const body = { ops, fence: fenceOf(options), id: options.id };
    const topic = `blackboard/txn/${this.#client.agent}`;
    const reply = await this.#client.command(this.#room, topic, body, options);
    return { revision: reply.revision ?? 0, versions: reply.versions ?? [] };
  }

  async #write(topic: string, body: object, options: WriteOptions): Promise<Written> {
    const fenced = { ...body, fence: fenceOf(options) };
    const reply = await this.#client.command(this.#room, topic, fenced, options);
    return { version: reply.version ?? 0, revision: reply.revision ?? 0 };
  }

  /** All keys below a prefix in one consistent look; with `revision` as it was then. */
  snapshot(
    options: CallOptions & { prefix?: string; revision?: number; locks?: boolean } = {},
  ): Promise<wire.Snapshot> {
    const { prefix, revision, locks } = options;
    const topic = `blackboard/get/${this.#client.agent}`;
    return this.#client.query(this.#room, topic, { prefix, revision, locks }, options);
  }

  /** Which keys there are, without their values. */
  async *keys(options: CallOptions & { prefix?: string } = {}): AsyncGenerator<wire.KeyLine, void> {
    for await (const page of this.#keyPages(options.prefix, options)) yield* page.keys;
  }

  #keyPages(prefix: string | undefined, options: CallOptions): AsyncGenerator<wire.KeyPage, void> {
    const topic = `blackboard/list/${this.#client.agent}`;
    return pages((cursor) => {
      const body = { prefix, cursor, limit: KEYS_PER_PAGE };
      return this.#client.query<wire.KeyPage>(this.#room, topic, body, options);
    });
  }

  /** The last versions of a key, the oldest first. */
  async history(
    key: string,
    options: CallOptions & { limit?: number } = {},
  ): Promise<wire.Version[]> {
    const topic = `blackboard/history/${this.#client.agent}`;
    const body = { key: checkKey(key), limit: options.limit };
    const { versions } = await this.#client.query<wire.History>(this.#room, topic, body, options);
    return versions;
  }

  /** Every key below the prefix as it stands, then each change. */
  async *watch<T = any>(
    prefix = "",
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<Change<T>, void> {
    await this.#load();
    const now = [...this.#entries.values()].filter((entry) => isBelow(entry.key, prefix));
    const changes = this.#changes.iterate(options);
    try {
      for (const entry of now) yield { ...(entry as Entry<T>), deleted: false };
      for await (const change of changes) {
        if (isBelow(change.key, prefix)) yield change as Change<T>;
      }
    } finally {
      await changes.return();
    }
  }

  /** Calls the handler with each change from now on, of this key and those below it. */
  onChange<T = any>(prefix: string, handler: (change: Change<T>) => unknown): () => void {
    checkText("prefix", prefix);
    checkFunction("a handler", handler);
    void this.#load();
    return this.#changes.on((change) => {
      return isBelow(change.key, prefix) ? handler(change as Change<T>) : undefined;
    });
  }

  /** Takes a lock, and renews it until it is released. */
  async lock(name: string, options: LockOptions = {}): Promise<Lock> {
    checkOptions("what a lock is taken with", options, LOCK);
    const { ttl, wait, renew } = options;
    const topic = `${this.#client.agent}/${checkName("lock", name)}`;
    const ttlMs = optionalMs(ttl);
    const waitMs = optionalMs(wait);
    // The gateway answers when it is over: what is asked for may take that long.
    const timeout = (waitMs ?? 0) + this.#client.limits(options).timeoutMs;
    const ask = async (body: object, limit: CallOptions): Promise<wire.LockState> => {
      const reply = await this.#client.command(this.#room, `blackboard/lock/${topic}`, body, limit);
      return reply.lock as wire.LockState;
    };
    const state = await ask({ ttlMs, waitMs }, { ...options, timeout });
    return new Lock({
      state,
      ttlMs: ttlMs ?? DEFAULT_LOCK_MS,
      renews: renew !== false,
      over: this.#client.over,
      renew: () => ask({ ttlMs, token: state.token }, {}),
      release: () => this.unlock(name, { token: state.token }),
    });
  }

  async unlock(name: string, options: CallOptions & { token?: number } = {}): Promise<void> {
    const topic = `blackboard/unlock/${this.#client.agent}/${checkName("lock", name)}`;
    await this.#client.command(this.#room, topic, { token: options.token }, options);
  }

  /** Subscribes to every key, and waits until what is there has come. */
  #load(): Promise<void> {
    this.#loading ??= this.#start().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  async #start(): Promise<void> {
    this.#client.route(this.#room, "blackboard/state", (message) => {
      this.#came(message.rest.join("/"), message.body<wire.Entry | undefined>());
      message.done();
      return true;
    });
    this.#client.onStatus((status) => {
      // Deletions may have been missed: retained messages come again, but those say nothing.
      if (status.status === "connected" && !status.resumed) void this.#reconcile().catch(() => {});
    });
    await this.#client.subscribe(this.#room, "blackboard/state/#");
    await this.#reconcile();
  }

  async #reconcile(): Promise<void> {
    this.#deleted.clear();
    const present = new Set<string>();
    let looked: number | undefined;
    for await (const page of this.#keyPages(undefined, {})) {
      looked ??= page.revision;
      for (const { key } of page.keys) present.add(key);
    }
    for (const [key, { revision }] of this.#entries) {
      if (!present.has(key) && revision <= (looked ?? 0)) this.#came(key, undefined);
    }
    const there = (key: string) => this.#entries.has(key) || this.#deleted.has(key);
    const missing = new Set([...present].filter((key) => !there(key)));
    if (missing.size === 0) return;
    const complete = new Deferred<void>();
    const stop = this.#changes.listen(({ key }) => {
      if (missing.delete(key) && missing.size === 0) complete.resolve();
    });
    try {
      const what = `state of ${missing.size} keys`;
      const { timeoutMs } = this.#client.limits({});
      await within(complete.promise, { timeoutMs, signals: [this.#client.over], what });
    } finally {
      stop();
    }
  }

  #came(key: string, entry: wire.Entry | undefined): void {
    const known = this.#entries.get(key);
    if (entry === undefined) {
      this.#deleted.add(key);
      this.#entries.delete(key);
      this.#changes.emit({ key, deleted: true, value: undefined });
    } else if (known === undefined || entry.revision > known.revision) {
      this.#entries.set(key, entry);
      this.#changes.emit({ ...entry, deleted: false });
    }
  }
}

const DEFAULT_LOCK_MS = 30_000;
const KEYS_PER_PAGE = 200;

function isBelow(key: string, prefix: string): boolean {
  return prefix === "" || key === prefix || key.startsWith(`${prefix}/`);
}

function fenceOf(options: { fence?: Lock | wire.Fence }): wire.Fence | undefined {
  const { fence } = options;
  return fence instanceof Lock ? { lock: fence.name, token: fence.token } : fence;
}
