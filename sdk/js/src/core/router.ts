/**
 * Who gets which message.
 *
 * Mail for which nobody has asked yet waits, unacknowledged, until somebody does: a program that
 * was started again is sent what its last run had not acknowledged before it has set up anything.
 */

import type { Logger } from "../util/logger.js";
import type { Message } from "./message.js";

/** Takes a message, and sees that `done` is called some time; `false`: not for me, not yet. */
export type Route = (message: Message) => boolean;

/** Other messages have no use later. */
const MAIL = new Set([
  "handoff/work",
  "handoff/result",
  "approve/decision",
  "tools/run",
  "tools/result",
  "inbox",
]);

export class Router {
  readonly #routes = new Map<string, Route>();
  readonly #parked: Message[] = [];
  readonly #maxParked: number;
  readonly #logger: Logger;

  constructor(maxParked: number, logger: Logger) {
    this.#maxParked = maxParked;
    this.#logger = logger;
  }

  /** Gives all messages of a kind to this route from now on, first what has waited for one. */
  add(room: string, kind: string, route: Route): () => void {
    const key = `${room} ${kind}`;
    this.#routes.set(key, route);
    this.offer(room, kind);
    return () => {
      if (this.#routes.get(key) === route) this.#routes.delete(key);
    };
  }

  /** Offers again what nobody wanted before. */
  offer(room: string, kind: string): void {
    const waiting = this.#parked.filter((one) => one.room === room && one.kind === kind);
    for (const message of waiting) {
      this.#parked.splice(this.#parked.indexOf(message), 1);
      this.dispatch(message);
    }
  }

  /** To the routes of its room, and of all rooms. */
  dispatch(message: Message): void {
    const { room, kind } = message;
    const routes = [this.#routes.get(`${room} ${kind}`), this.#routes.get(`+ ${kind}`)];
    try {
      const taken = routes.map((route) => route?.(message) ?? false);
      if (!taken.includes(true)) this.park(message);
    } catch (error) {
      this.#logger.error(`a message on ${room}/${kind} could not be understood`, error);
      message.done();
    }
  }

  /** Keeps mail, unacknowledged, until somebody asks for its kind. */
  park(message: Message): void {
    if (!message.isMail || !MAIL.has(message.kind)) {
      message.done();
      return;
    }
    this.#parked.push(message);
    if (this.#parked.length <= this.#maxParked) return;
    // Acknowledgements leave in order: one that nobody ever wants would stop them all.
    const oldest = this.#parked.shift() as Message;
    this.#logger.warn(`nobody asked for ${oldest.room}/${oldest.kind}: a message was dropped`);
    oldest.done();
  }
}
