/** A question that a worker (or a tool's provider) asks while it works. */

import type { CallOptions } from "../client.js";

/** As it comes on `handoff/result/{dispatcher}` and, retained, on `handoff/asking/{task}`. */
export interface QuestionMessage {
  task: string;
  type: string;
  attempt?: number;
  attempts?: number;
  /** Counts the questions of the task, from 1. */
  ask: number;
  question: unknown;
  schema?: unknown;
  answerers?: string[];
  dispatcher?: string;
  worker?: string;
  askedAt?: number;
  expiresAt?: number;
}

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
    this.attempt = message.attempt ?? message.attempts ?? 1;
    this.ask = message.ask;
    this.question = message.question;
    this.schema = message.schema;
    this.answerers = message.answerers ?? [];
    this.worker = message.worker;
    this.expiresAt = message.expiresAt;
    this.#answer = answer;
  }

  /** Throws `Invalid` with the `path` if the answer does not fit the schema. */
  answer(answer: unknown, options: CallOptions = {}): Promise<void> {
    return this.#answer(answer, options);
  }
}
