/**
 * What a worker has in hand: one attempt at a task, or one call of a tool, from its message to the
 * last word on it.
 *
 * A handler that asks something is suspended until its assignment comes again with the answer; if
 * the handler runs anew (in another process), the answers that there are already are given to it
 * in the same order.
 */

import { Timeout } from "../errors.js";
import { Deferred, within } from "../util/deferred.js";
import type { Duration } from "../util/duration.js";
import type { GivenAnswer } from "../wire/types.js";

export interface AskOptions {
  /** JSON Schema of the answer: what does not fit is refused to whoever gives it. */
  schema?: unknown;
  /** Agents or `role:NAME` who may answer, besides whoever wants the work done. */
  answerers?: string[];
  /** How long to wait; the gateway's default (15 minutes) if not said. */
  timeout?: Duration;
}

export abstract class InHand {
  readonly #abort = new AbortController();
  #answers: readonly GivenAnswer[] = [];
  readonly #suspended = new Map<number, Deferred<GivenAnswer>>();
  #asked = 0;
  #turn: Promise<unknown> = Promise.resolve();
  /** Whether the last word has been said, by whomever. */
  isOver = false;

  /** Aborted when nobody wants the outcome any more: cancelled, expired, lost, or drained. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Whether it waits for nothing but an answer: it takes no place meanwhile. */
  get isSuspended(): boolean {
    return this.#suspended.size > 0;
  }

  stop(reason: unknown): void {
    if (this.signal.aborted) return;
    this.isOver = true;
    this.#abort.abort(reason);
    for (const waiting of this.#suspended.values()) waiting.reject(reason);
  }

  answered(answers: readonly GivenAnswer[]): void {
    // The gateway never uses a number twice, so what counts is the order.
    if (answers.length <= this.#answers.length) return;
    this.#answers = [...answers].sort((one, other) => one.ask - other.ask);
    for (const [index, answer] of this.#answers.entries()) {
      this.#suspended.get(index + 1)?.resolve(answer);
    }
  }

  /** One after the other, so that each question keeps its number when the handler runs again. */
  protected ask(question: unknown, options: AskOptions): Promise<unknown> {
    const answer = this.#turn.then(() => this.#ask(question, options));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  async #ask(question: unknown, options: AskOptions): Promise<unknown> {
    this.#asked += 1;
    const number = this.#asked;
    const answered = this.#answers[number - 1] ?? (await this.#suspend(number, question, options));
    if (answered.timedOut) throw new Timeout(`answer to question ${number}`, 0);
    return answered.answer;
  }

  async #suspend(number: number, question: unknown, options: AskOptions): Promise<GivenAnswer> {
    const waiting = new Deferred<GivenAnswer>();
    waiting.promise.catch(() => {});
    this.#suspended.set(number, waiting);
    try {
      await this.sendQuestion(question, options);
      return await within(waiting.promise, { signals: [this.signal], what: "answer" });
    } finally {
      this.#suspended.delete(number);
    }
  }

  protected abstract sendQuestion(question: unknown, options: AskOptions): Promise<void>;
}
