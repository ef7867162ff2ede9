/** An agent's connection, and the rooms that it is in. */

import { Client, type ConnectionStatus } from "./client.js";
import type { Protocol, TlsOptions } from "./mqtt/connection.js";
import { Live } from "./patterns/live.js";
import { type PresenceChange, presenceChange } from "./patterns/presence.js";
import { Room } from "./room.js";
import { Channel } from "./util/channel.js";
import {
  checkCount,
  checkFunction,
  checkObject,
  checkOneOf,
  checkOptions,
  checkText,
  checkUrl,
  fieldsOf,
} from "./util/checks.js";
import { type Duration, toMs } from "./util/duration.js";
import { type Logger, consoleLogger } from "./util/logger.js";
import { checkName } from "./util/names.js";
import type { Encoding } from "./wire/types.js";

export interface AgentOptions {
  /** This agent's name, always the same: its mail waits under it. Also the MQTT client id. */
  agent: string;
  protocol?: Protocol;
  encoding?: Encoding;
  /** The session ends with the connection: nothing is kept over a reconnect but mail. */
  ephemeral?: boolean;
  /** How long the session outlives the connection; 1 h if not said. */
  sessionExpiry?: Duration;
  username?: string;
  password?: string;
  tls?: TlsOptions;
  /** The deadline of each call; 30 s if not said. */
  timeout?: Duration;
  /** How long the first connection may take; 30 s if not said. */
  connectTimeout?: Duration;
  keepAlive?: Duration;
  /** How many deliveries may wait for their handlers: MQTT's Receive Maximum. Default 256. */
  window?: number;
  /** How many publishes may wait while there is no connection; 1,000 if not said. */
  maxQueued?: number;
  /** The first part of all topics; `rooms` if not said. */
  root?: string;
  logger?: Logger;
}

const OPTIONS = fieldsOf<AgentOptions>({
  agent: true,
  protocol: true,
  encoding: true,
  ephemeral: true,
  sessionExpiry: true,
  username: true,
  password: true,
  tls: true,
  timeout: true,
  connectTimeout: true,
  keepAlive: true,
  window: true,
  maxQueued: true,
  root: true,
  logger: true,
});
/** MQTT counts it in two bytes. */
const MAX_WINDOW = 65_535;

function checkAgentOptions(options: AgentOptions): void {
  checkObject("what an agent connects with", options);
  checkOptions("what an agent connects with", options, OPTIONS);
  checkName("agent", options.agent);
  checkOneOf("protocol", options.protocol, ["5", "3.1.1"]);
  checkOneOf("encoding", options.encoding, ["json", "cbor"]);
  checkCount("window", options.window, 1, MAX_WINDOW);
  checkCount("maxQueued", options.maxQueued);
  for (const name of ["username", "password", "root"] as const) checkText(name, options[name]);
  if (options.tls !== undefined) checkObject("tls", options.tls);
  if (options.logger === undefined) return;
  checkObject("logger", options.logger);
  for (const level of ["debug", "warn", "error"] as const) {
    checkFunction(`logger.${level}`, options.logger[level]);
  }
}

const MAX_STATUSES = 1_000;
const LEAVE_MS = 2_000;

export class HallwardAgents implements AsyncDisposable {
  readonly agent: string;
  readonly url: string;
  readonly #client: Client;
  readonly #rooms = new Map<string, Room>();
  readonly #presences: Live<PresenceChange>;
  /** In MQTT 3.1.1 a DISCONNECT does not end the session, and so leaves no room. */
  readonly #leavesRooms: boolean;
  #watchingAll: Promise<void> | undefined;
  #opening: Promise<void> | undefined;

  constructor(url: string, options: AgentOptions) {
    checkAgentOptions(options);
    this.url = checkUrl(url);
    this.agent = options.agent;
    const ephemeral = options.ephemeral === true;
    this.#leavesRooms = options.protocol === "3.1.1" && !ephemeral;
    this.#client = new Client({
      url: this.url,
      clientId: this.agent,
      agent: this.agent,
      root: options.root ?? "rooms",
      protocol: options.protocol ?? "5",
      encoding: options.encoding ?? "json",
      cleanStart: ephemeral,
      sessionExpiry: ephemeral ? 0 : Math.ceil(toMs(options.sessionExpiry ?? "1h") / 1_000),
      receiveMaximum: options.window ?? 256,
      keepAlive: Math.max(1, Math.ceil(toMs(options.keepAlive ?? "30s") / 1_000)),
      username: options.username,
      password: options.password,
      tls: options.tls,
      connectTimeoutMs: toMs(options.connectTimeout ?? "30s"),
      callTimeoutMs: toMs(options.timeout ?? "30s"),
      maxQueued: options.maxQueued ?? 1_000,
      logger: options.logger ?? consoleLogger,
    });
    this.#presences = new Live(this.#client, "presence in all rooms");
  }

  /** Connects. From then on connections that are lost are made again, until `close()`. */
  connect(): Promise<void> {
    this.#opening ??= this.#client.open();
    return this.#opening;
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  /** How many deliveries are in hand that were not acknowledged yet. */
  get unacked(): number {
    return this.#client.unacked;
  }

  /** Aborted with the reason when the connection is over for good: closed, or taken over. */
  get over(): AbortSignal {
    return this.#client.over;
  }

  /** The room of this name; always the same object. It exists as soon as somebody uses it. */
  joinRoom(name: string): Room {
    const known = this.#rooms.get(checkName("room", name));
    if (known) return known;
    const room = new Room(this.#client, name);
    this.#rooms.set(name, room);
    return room;
  }

  /** How the connection does: as it stands, then each change, to its end. */
  async *status(options: { signal?: AbortSignal } = {}): AsyncGenerator<ConnectionStatus, void> {
    const { over, connected } = this.#client;
    if (over.aborted) return;
    const { signal } = options;
    const changes = new Channel<ConnectionStatus>({ limit: MAX_STATUSES, what: "status", signal });
    const stop = this.#client.onStatus((status) => {
      changes.push(status);
      if (status.status === "taken" || status.status === "closed") changes.end();
    });
    try {
      if (connected) yield { status: "connected", resumed: false };
      yield* changes;
    } finally {
      stop();
    }
  }

  onStatus(handler: (status: ConnectionStatus) => void): () => void {
    checkFunction("a handler", handler);
    return this.#client.onStatus(handler);
  }

  /** Everybody in every room, then each change. */
  async *watchPresence(
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<PresenceChange, void> {
    const changes = this.#presences.iterate(options);
    this.#watchingAll ??= (async () => {
      this.#client.route("+", "presence/agent", (message) => {
        this.#presences.emit(presenceChange(message.room, message.rest, message.body()));
        message.done();
        return true;
      });
      await this.#client.subscribe("+", "presence/agent/+");
    })();
    try {
      await this.#watchingAll;
      yield* changes;
    } finally {
      await changes.return();
    }
  }

  /**
   * Ends the connection in good order: what was published is acknowledged before. The session
   * ends, too (tasks in hand go to others at once), unless `keepSession` leaves it for the next
   * program of this name. Mail waits either way.
   */
  async close(options: { keepSession?: boolean } = {}): Promise<void> {
    if (this.#client.over.aborted) return;
    const endSession = options.keepSession !== true;
    if (endSession && this.#leavesRooms && this.connected) {
      const rooms = [...this.#rooms.values()];
      await Promise.allSettled(rooms.map((room) => room.leave({ timeout: LEAVE_MS })));
    }
    await this.#client.close(endSession);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Connects an agent. A URL without a scheme is taken for `mqtt://`. */
export async function connect(url: string, options: AgentOptions): Promise<HallwardAgents> {
  const agents = new HallwardAgents(url, options);
  await agents.connect();
  return agents;
}
