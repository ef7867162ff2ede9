/** A call of a tool, as its provider sees it. */

import type { CallOptions, Client } from "../client.js";
import { Fatal, HallwardError, Retry, ToolError, messageOf } from "../errors.js";
import { optionalMs } from "../util/duration.js";
import { defined } from "../util/objects.js";
import type * as wire from "../wire/types.js";
import { type AskOptions, InHand } from "./attempt.js";

export class ToolCall<A = any> extends InHand {
  /** `{caller}/{id}`. */
  readonly id: string;
  readonly tool: string;
  readonly arguments: A;
  readonly caller: string;
  readonly calledAt: number;
  /** When nobody waits for the answer any more, Unix milliseconds. */
  readonly deadline: number;
  readonly correlationId: string | undefined;
  readonly #client: Client;
  readonly #room: string;

  constructor(client: Client, room: string, message: wire.ToolRun) {
    super();
    this.#client = client;
    this.#room = room;
    this.id = message.call;
    this.tool = message.tool;
    this.arguments = message.arguments as A;
    this.caller = message.caller;
    this.calledAt = message.calledAt;
    this.deadline = message.deadline;
    this.correlationId = message.correlationId;
    this.answered(message.answers ?? []);
  }

  /** Sends a partial result. Throws if nobody waits for the answer any more. */
  async progress(result: unknown, options: CallOptions = {}): Promise<void> {
    this.signal.throwIfAborted();
    await this.#return({ status: "partial", result }, options);
  }

  /** Asks whoever called, and waits for the answer. */
  override ask<T = any>(question: unknown, options: AskOptions = {}): Promise<T> {
    return super.ask(question, options) as Promise<T>;
  }

  protected async sendQuestion(question: unknown, options: AskOptions): Promise<void> {
    const ttlMs = optionalMs(options.timeout);
    await this.#return({ status: "input", question, schema: options.schema, ttlMs });
  }

  async succeed(result: unknown): Promise<void> {
    if (this.isOver) return;
    try {
      await this.#return({ status: "success", result });
      this.isOver = true;
    } catch (error) {
      // It does not fit the tool's own output schema, or cannot be sent: it would be the same.
      const refused = error instanceof HallwardError && [400, 413, 422].includes(error.code);
      if (!refused) throw error;
      await this.fail(error);
    }
  }

  async fail(error: unknown): Promise<void> {
    if (this.isOver) return;
    this.isOver = true;
    await this.#return({ status: "error", error: toolError(error) });
  }

  async #return(body: object, options: CallOptions = {}): Promise<void> {
    const topic = `tools/return/${this.#client.agent}`;
    await this.#client.command(this.#room, topic, { call: this.id, ...body }, options);
  }
}

function toolError(error: unknown): wire.ToolError {
  const message = messageOf(error).slice(0, 2_000);
  if (error instanceof ToolError) {
    const { reason, errorCode, data } = error;
    return defined({ message: reason, code: errorCode, data }) as wire.ToolError;
  }
  const code = error instanceof Retry || error instanceof Fatal ? error.code : undefined;
  return defined({ message, code }) as wire.ToolError;
}
