/** The core below all patterns: one session, its commands, and who gets which message. */

import { Commands, type Sending } from "./core/commands.js";
import { Message, addressOf } from "./core/message.js";
import { type Route, Router } from "./core/router.js";
import { type HallwardError, SessionTaken } from "./errors.js";
import type { Receipt } from "./mqtt/acks.js";
import type { Delivery, PublishProperties } from "./mqtt/connection.js";
import { Session, type SessionOptions } from "./mqtt/session.js";
import { type Duration, toMs } from "./util/duration.js";
import type { Logger } from "./util/logger.js";
import { checkName, randomId } from "./util/names.js";
import { loadOpenTelemetry } from "./util/trace.js";
import type { Bytes } from "./wire/codec.js";
import type { Encoding, Reply } from "./wire/types.js";

export type { Message } from "./core/message.js";

/** What every call takes. */
export interface CallOptions {
  /** The call's deadline; 30 s if not said, or what the connection was made with. */
  timeout?: Duration;
  /** Ends the wait. What was sent may still be carried out. */
  signal?: AbortSignal | undefined;
}

interface CommandOptions extends CallOptions {
  /** Whether 503 is tried again within the deadline, as 429 is; true if not said. */
  retry?: boolean | undefined;
}

export interface ClientOptions extends SessionOptions {
  agent: string;
  root: string;
  encoding: Encoding;
  callTimeoutMs: number;
}

export type ConnectionStatus =
  | { status: "connected"; resumed: boolean }
  | { status: "disconnected"; reason: string }
  | { status: "taken"; reason: string }
  | { status: "closed"; reason: string };

export class Client {
  readonly agent: string;
  readonly logger: Logger;
  readonly #options: ClientOptions;
  /** How many levels of a topic are the root. */
  readonly #depth: number;
  readonly #session: Session;
  readonly #commands: Commands;
  readonly #router: Router;
  readonly #listeners = new Set<(status: ConnectionStatus) => void>();
  readonly #whenOver = new AbortController();

  constructor(options: ClientOptions) {
    this.agent = options.agent;
    this.logger = options.logger;
    this.#options = options;
    this.#depth = options.root.split("/").length;
    const { encoding, logger, receiveMaximum } = options;
    this.#session = new Session(options, {
      received: (delivery, receipt) => this.#received(delivery, receipt),
      connected: (resumed) => this.#connected(resumed),
      disconnected: (reason) => this.#tell({ status: "disconnected", reason }),
      closed: (error) => this.#closed(error),
    });
    this.#commands = new Commands({ session: this.#session, encoding, logger, over: this.over });
    this.#router = new Router(Math.max(1, Math.floor(receiveMaximum / 2)), logger);
  }

  // The connection.

  async open(): Promise<void> {
    await loadOpenTelemetry();
    await this.#session.open();
  }

  async close(endSession: boolean, flushMs = 5_000): Promise<void> {
    await this.#session.flushed(flushMs);
    await this.#session.close(endSession);
  }

  get connected(): boolean {
    return this.#session.connected;
  }

  /** How many messages came and are not acknowledged. */
  get unacked(): number {
    return this.#session.unacked;
  }

  /** Aborted with the reason when the connection is over for good. */
  get over(): AbortSignal {
    return this.#whenOver.signal;
  }

  onStatus(listener: (status: ConnectionStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(status: ConnectionStatus): void {
    for (const listener of this.#listeners) listener(status);
  }

  #connected(resumed: boolean): void {
    this.#commands.connected();
    this.#tell({ status: "connected", resumed });
  }

  #closed(error: HallwardError): void {
    this.#whenOver.abort(error);
    this.#commands.closed(error);
    const status = error instanceof SessionTaken ? "taken" : "closed";
    this.#tell({ status, reason: error.reason });
  }

  // Receiving.

  /** Gives all messages of a kind to this route from now on, first what has waited for one. */
  route(room: string, kind: string, route: Route): () => void {
    return this.#router.add(room, kind, route);
  }

  /** Offers again what nobody wanted before. */
  offer(room: string, kind: string): void {
    this.#router.offer(room, kind);
  }

  /** Keeps mail, unacknowledged, until somebody asks for its kind. */
  park(message: Message): void {
    this.#router.park(message);
  }

  subscribe(room: string, suffix: string, qos: 0 | 1 = 1): Promise<void> {
    return this.#session.subscribe(this.#topic(room, suffix), qos);
  }

  unsubscribe(room: string, suffix: string): void {
    this.#session.unsubscribe(this.#topic(room, suffix));
  }

  #received(delivery: Delivery, receipt: Receipt | undefined): void {
    const address = addressOf(delivery.topic.split("/").slice(this.#depth));
    if (!address) {
      receipt?.done();
      return;
    }
    const message = new Message(address, delivery, receipt);
    if (address.kind === "reply") this.#replied(message);
    this.#router.dispatch(message);
  }

  #replied(message: Message): void {
    try {
      this.#commands.replied(message.room, message.body<Reply>());
    } catch (error) {
      this.logger.error(`a reply in ${message.room} could not be understood`, error);
    }
  }

  // Sending.

  #topic(room: string, suffix: string): string {
    return `${this.#options.root}/${room}/${suffix}`;
  }

  limits(options: CallOptions): { timeoutMs: number; signal: AbortSignal | undefined } {
    const { timeout, signal } = options;
    const { callTimeoutMs } = this.#options;
    return { timeoutMs: timeout === undefined ? callTimeoutMs : toMs(timeout), signal };
  }

  /** Publishes something that is no command; settles at the acknowledgement. */
  async publish(
    room: string,
    suffix: string,
    payload: Bytes,
    options: CommandOptions & { properties?: PublishProperties } = {},
  ): Promise<void> {
    const { properties } = options;
    const topic = this.#topic(room, suffix);
    await this.#commands.publish(topic, payload, properties, this.#sending(options));
  }

  /** A command that changes something. Its id lets it be sent again without a second effect. */
  async command(
    room: string,
    suffix: string,
    body: object,
    options: CommandOptions = {},
  ): Promise<Reply> {
    const { id = randomId() } = body as { id?: string };
    const asked = { ...body, id: checkName("id", id) };
    return this.#commands.ask(this.#target(room, suffix), asked, this.#sending(options));
  }

  /** A question: it may be asked again and again. */
  async query<T>(
    room: string,
    suffix: string,
    body: object,
    options: CommandOptions = {},
  ): Promise<T> {
    const asked = { ...body, correlationId: randomId() };
    const target = this.#target(room, suffix);
    const reply = await this.#commands.ask(target, asked, this.#sending(options));
    return reply.data as T;
  }

  #target(room: string, suffix: string) {
    const command = suffix.split("/", 2).join("/");
    return { room, command, topic: this.#topic(room, suffix) };
  }

  #sending(options: CommandOptions): Sending {
    return { ...this.limits(options), retry: options.retry };
  }

  /** What commands are written in. */
  get encoding(): Encoding {
    return this.#options.encoding;
  }
}
