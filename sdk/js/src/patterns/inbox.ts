/** Inbox: a message from one agent to another, of any bytes. */

import type { CallOptions, Client, Message } from "../client.js";
import { Undecodable } from "../errors.js";
import { checkOptions, fieldsOf } from "../util/checks.js";
import { type Duration, toMs } from "../util/duration.js";
import { checkName } from "../util/names.js";
import { decode, encode } from "../wire/codec.js";
import { Handlers, type Handler, type HandlerOptions } from "./handlers.js";

export class InboxMessage {
  /** Who sent it: nobody can sign as somebody else. */
  readonly from: string;
  readonly bytes: Uint8Array;
  readonly #message: Message;

  constructor(message: Message) {
    this.#message = message;
    this.from = message.rest[1] ?? "";
    this.bytes = message.payload;
  }

  /**
   * Decoded from JSON or CBOR. Throws `Undecodable` if it is neither: see `text` and `bytes`. A
   * handler that throws that is not called again for this message.
   */
  get data(): any {
    try {
      return decode(this.bytes);
    } catch (error) {
      const { reason, cause } = error as Undecodable;
      throw new Undecodable(`${reason}: \`text\` and \`bytes\` have it as it came`, cause);
    }
  }

  get text(): string {
    return new TextDecoder().decode(this.bytes);
  }

  /** Acknowledges it before its handler has returned. Only needed to be early. */
  ack(): void {
    this.#message.done();
  }
}

const SEND = fieldsOf<CallOptions & { ttl: Duration }>({ ttl: true, timeout: true, signal: true });

export class Inbox {
  readonly #client: Client;
  readonly #room: string;
  readonly #handlers: Handlers<InboxMessage>;
  #listening = false;

  constructor(client: Client, room: string) {
    this.#client = client;
    this.#room = room;
    this.#handlers = new Handlers(client, room, "inbox");
  }

  /**
   * Resolves when it is on disk. Bytes go as they are, everything else as JSON. It waits for its
   * reader for `ttl`, or as long as the gateway says.
   */
  async send(
    to: string,
    data: unknown,
    options: CallOptions & { ttl?: Duration } = {},
  ): Promise<void> {
    checkOptions("what a message is sent with", options, SEND);
    const { ttl } = options;
    const body = data instanceof Uint8Array ? data : encode("json", data);
    const properties = ttl === undefined ? undefined : { messageExpiryInterval: seconds(ttl) };
    const suffix = `inbox/${checkName("agent", to)}/${this.#client.agent}`;
    await this.#client.publish(this.#room, suffix, body, {
      ...options,
      ...(properties && { properties }),
    });
  }

  /** Calls the handler with each message; acknowledged when it is done. */
  onMessage(handler: Handler<InboxMessage>, options: HandlerOptions = {}): () => void {
    const leave = this.#handlers.add(handler, options);
    this.#listen();
    return leave;
  }

  /** The next step acknowledges the message before. */
  messages(options: { signal?: AbortSignal } = {}): AsyncIterableIterator<InboxMessage> {
    const messages = this.#handlers.iterate(options);
    this.#listen();
    return messages;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<InboxMessage> {
    return this.messages();
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    this.#client.route(this.#room, "inbox", (message) => {
      return !this.#handlers.none && this.#handlers.give(message, new InboxMessage(message));
    });
    this.#client.subscribe(this.#room, `inbox/${this.#client.agent}/+`).catch(() => {});
  }
}

/** MQTT counts whole seconds, and takes 0 for at once. */
function seconds(duration: Duration): number {
  return Math.max(1, Math.ceil(toMs(duration) / 1_000));
}
