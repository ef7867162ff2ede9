/** Questions that workers and providers of tools ask while they are at work. */

import type { CallOptions } from "../client.js";
import type * as wire from "../wire/types.js";

/** As the dispatcher gets it, or as `handoff/asking/{task}` shows it. */
export type QuestionMessage = (wire.TaskResult & { ask: number }) | wire.OpenQuestion;

/** A worker's question. */
export class Question {
  readonly task: string;
  readonly taskType: string;
  readonly attempt: number;
  readonly ask: number;
  /** Any JSON. */
  readonly question: any;
  /** JSON Schema of the answer. */
  readonly schema: any;
  readonly answerers: readonly string[];
  readonly worker: string | undefined;
  readonly expiresAt: number | undefined;
  readonly #answer: (answer: unknown, options: CallOptions) => Promise<void>;

  constructor(
    message: QuestionMessage,
    answer: (answer: unknown, options: CallOptions) => Promise<void>,
  ) {
    this.task = message.task;
    this.taskType = message.type;
    this.attempt = "attempts" in message ? message.attempts : message.attempt;
    this.ask = message.ask;
    this.question = message.question;
    this.schema = message.schema;
    this.answerers = ("answerers" in message ? message.answerers : undefined) ?? [];
    this.worker = message.worker;
    this.expiresAt = message.expiresAt;
    this.#answer = answer;
  }

  /** Throws `Invalid` with the `path` if the answer does not fit the schema. */
  answer(answer: unknown, options: CallOptions = {}): Promise<void> {
    return this.#answer(answer, options);
  }
}

/** A question of a tool's provider, to who called the tool. */
export class ToolQuestion {
  readonly call: string;
  readonly tool: string;
  readonly ask: number;
  /** Any JSON. */
  readonly question: any;
  /** JSON Schema of the answer. */
  readonly schema: any;
  readonly provider: string;
  readonly expiresAt: number | undefined;
  readonly #answer: (answer: unknown, options: CallOptions) => Promise<void>;

  constructor(
    message: wire.ToolResult,
    answer: (answer: unknown, options: CallOptions) => Promise<void>,
  ) {
    this.call = message.call;
    this.tool = message.tool;
    this.ask = message.ask ?? 1;
    this.question = message.question;
    this.schema = message.schema;
    this.provider = message.provider;
    this.expiresAt = message.expiresAt;
    this.#answer = answer;
  }

  /** Throws `Invalid` with the `path` if the answer does not fit the schema. */
  answer(answer: unknown, options: CallOptions = {}): Promise<void> {
    return this.#answer(answer, options);
  }
}
