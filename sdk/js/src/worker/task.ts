/** A task as its handler sees it. */

import type { CallOptions, Client } from "../client.js";
import {
  Conflict,
  Expired,
  Fatal,
  HallwardError,
  NotFound,
  Retry,
  TaskCancelled,
  TaskExpired,
  TaskFailed,
  messageOf,
} from "../errors.js";
import { optionalMs } from "../util/duration.js";
import type * as wire from "../wire/types.js";
import { type AskOptions, InHand } from "./attempt.js";

/** A worker's last word is sent until the gateway has it, for as long as that can matter. */
const LAST_WORD_MS = 10 * 60_000;

export class Task<P = any> extends InHand {
  readonly id: string;
  readonly type: string;
  /** Every message about the task carries it: an older attempt has nothing to say any more. */
  readonly attempt: number;
  readonly payload: P;
  readonly capabilities: readonly string[];
  readonly priority: wire.Priority;
  readonly dispatcher: string;
  readonly correlationId: string | undefined;
  readonly traceparent: string | undefined;
  readonly createdAt: number;
  /** When it expires, Unix milliseconds. */
  readonly deadline: number | undefined;
  /** What was said last of the task, perhaps by another worker: go on from there. */
  readonly lastProgress: any;
  readonly #client: Client;
  readonly #topic: string;
  readonly #room: string;
  readonly #leaseMs: number;
  #renewal: ReturnType<typeof setInterval> | undefined;

  constructor(client: Client, room: string, message: wire.Assignment) {
    super();
    this.#client = client;
    this.#room = room;
    this.#topic = `handoff/update/${client.agent}`;
    this.#leaseMs = message.leaseMs;
    this.id = message.task;
    this.type = message.type;
    this.attempt = message.attempt;
    this.payload = message.payload as P;
    this.capabilities = message.capabilities;
    this.priority = message.priority;
    this.dispatcher = message.dispatcher;
    this.correlationId = message.correlationId;
    this.traceparent = message.traceparent;
    this.createdAt = message.createdAt;
    this.deadline = message.deadline;
    this.lastProgress = message.lastProgress;
    this.answered(message.answers ?? []);
  }

  /** Sends a partial result. Throws if nobody wants the task any more. */
  async progress(result?: unknown, options: CallOptions = {}): Promise<void> {
    this.signal.throwIfAborted();
    await this.#update({ status: "progress", result }, options);
  }

  /** Asks whoever dispatched the task, and waits for the answer without taking up a place. */
  override ask<A = any>(question: unknown, options: AskOptions = {}): Promise<A> {
    return super.ask(question, options) as Promise<A>;
  }

  protected async sendQuestion(question: unknown, options: AskOptions): Promise<void> {
    const { schema, answerers, timeout } = options;
    const ttlMs = optionalMs(timeout);
    await this.#update({ status: "input", question, schema, answerers, ttlMs });
  }

  /** Renews the lease at a third of it, until the task is over. */
  keepLease(): void {
    const every = Math.max(10, this.#leaseMs / 3);
    let due = Date.now() + every;
    this.#renewal = setInterval(() => {
      const late = Date.now() - due;
      due = Date.now() + every;
      if (late > every) {
        const hint = `the event loop was blocked for ${late} ms: the lease may be lost`;
        this.#client.logger.warn(`task ${this.id}: ${hint}`);
      }
      if (this.isSuspended) return;
      this.#update({ status: "progress" }, { timeout: this.#leaseMs }).catch(() => {});
    }, every);
  }

  async succeed(result: unknown): Promise<void> {
    await this.#lastWord({ status: "success", result });
  }

  async fail(error: unknown): Promise<void> {
    await this.#lastWord({ status: "error", error: taskError(error) });
  }

  /** Gives it back: somebody else has it at once, and no attempt is used up. */
  async release(): Promise<void> {
    await this.#lastWord({ status: "release" });
  }

  override stop(reason: unknown): void {
    clearInterval(this.#renewal);
    super.stop(reason);
  }

  async #lastWord(update: object): Promise<void> {
    clearInterval(this.#renewal);
    if (this.isOver) return;
    this.isOver = true;
    await this.#update(update, { timeout: LAST_WORD_MS });
  }

  async #update(update: object, options: CallOptions = {}): Promise<void> {
    const body = { task: this.id, attempt: this.attempt, ...update };
    try {
      await this.#client.command(this.#room, this.#topic, body, options);
    } catch (error) {
      if (isGone(error)) this.stop(error);
      throw error;
    }
  }

  /** The gateway says that this attempt is over. */
  revoked(reply: wire.Reply): void {
    const error = { message: reply.reason ?? "it is over" };
    const kind = reply.code === 408 ? "TaskExpired" : "TaskCancelled";
    const type: typeof TaskFailed = reply.code === 408 ? TaskExpired : TaskCancelled;
    this.stop(new type(kind, this.id, this.attempt, error));
  }
}

function isGone(error: unknown): boolean {
  return error instanceof Conflict || error instanceof NotFound || error instanceof Expired;
}

function taskError(error: unknown): wire.TaskError {
  const message = messageOf(error).slice(0, 2_000);
  const retryable = !(error instanceof Fatal);
  if (error instanceof Retry || error instanceof Fatal) {
    return { message, retryable, ...(error.code === undefined ? {} : { code: error.code }) };
  }
  return { message, retryable, ...(error instanceof HallwardError ? { code: error.kind } : {}) };
}
