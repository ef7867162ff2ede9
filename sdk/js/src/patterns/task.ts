/** What a dispatcher holds of a task, or of a group of tasks. */

import type { CallOptions, Client } from "../client.js";
import { NotFound, TaskCancelled, TaskExpired, TaskFailed } from "../errors.js";
import { Channel } from "../util/channel.js";
import { Deferred, sleep, within } from "../util/deferred.js";
import { toMs } from "../util/duration.js";
import { defined } from "../util/objects.js";
import type * as wire from "../wire/types.js";
import type { Handoff, TaskSpec } from "./handoff.js";
import type { Question } from "./question.js";

/** What came of a task, or a part of it. */
export class TaskResult<R = unknown> {
  readonly task: string;
  readonly taskType: string;
  readonly status: wire.ResultStatus;
  readonly final: boolean;
  /** What the worker returned. */
  readonly data: R;
  /** Counts the partial results. */
  readonly part: number | undefined;
  readonly error: wire.TaskError | undefined;
  readonly attempts: number;
  readonly worker: string | undefined;
  readonly createdAt: number;
  readonly at: number;
  readonly correlationId: string | undefined;

  constructor(message: wire.TaskResult) {
    this.task = message.task;
    this.taskType = message.type;
    this.status = message.status;
    this.final = message.final;
    this.data = message.result as R;
    this.part = message.part;
    this.error = message.error;
    this.attempts = message.attempts;
    this.worker = message.worker;
    this.createdAt = message.createdAt;
    this.at = message.at;
    this.correlationId = message.correlationId;
  }
}

/** The result itself, or as an error what the task came to instead. */
export function finalResult<R>(result: TaskResult<R>): TaskResult<R> {
  const { task, attempts, error } = result;
  switch (result.status) {
    case "dead":
      throw new TaskFailed("TaskFailed", task, attempts, error);
    case "expired":
      throw new TaskExpired("TaskExpired", task, attempts, error);
    case "cancelled":
      throw new TaskCancelled("TaskCancelled", task, attempts, error);
    default:
      return result;
  }
}

const ENDED = new Set<wire.TaskState>(["succeeded", "dead", "expired", "cancelled"]);
const MAX_PARTS = 1_000;
/** How long a result that was looked up gives way to one that comes as mail. */
const MAIL_MS = 500;

/** A task that was dispatched. Not a promise: `await handle.result()`. */
export class TaskHandle<R = unknown> {
  readonly id: string;
  readonly #client: Client;
  readonly #room: string;
  /** Whether the task may have ended before this handle was made. */
  readonly #known: boolean;
  readonly #forget: () => void;
  readonly #final = new Deferred<TaskResult<R>>();
  #parts: Channel<TaskResult<R> | Question> | undefined;
  #early: (TaskResult<R> | Question)[] = [];
  #waiters = 0;

  constructor(client: Client, room: string, id: string, known: boolean, forget: () => void) {
    this.id = id;
    this.#client = client;
    this.#room = room;
    this.#known = known;
    this.#forget = forget;
    this.#final.promise.catch(() => {});
  }

  /** Whether somebody waits for what comes of it. */
  get waiting(): boolean {
    return this.#waiters > 0;
  }

  /** Waits for the final result: without a limit, unless `timeout` says so. */
  async result(options: CallOptions = {}): Promise<TaskResult<R>> {
    const { timeout, signal } = options;
    return finalResult(await this.#wait(timeout === undefined ? undefined : toMs(timeout), signal));
  }

  async #wait(timeoutMs: number | undefined, signal?: AbortSignal): Promise<TaskResult<R>> {
    const ended = new AbortController();
    this.#waiters += 1;
    if (this.#known) void this.#look(ended.signal);
    try {
      const { over } = this.#client;
      const what = `result of task ${this.id}`;
      const hint = () => `; the task goes on`;
      return await within(this.#final.promise, { timeoutMs, signals: [signal, over], what, hint });
    } finally {
      this.#waiters -= 1;
      ended.abort();
    }
  }

  /** Partial results and questions as they come, then the final result. */
  async *stream(options: CallOptions = {}): AsyncGenerator<TaskResult<R> | Question, void> {
    const { timeout, signal } = options;
    const parts = new Channel<TaskResult<R> | Question>({
      limit: MAX_PARTS,
      what: `the stream of task ${this.id}`,
      signal,
    });
    for (const part of this.#early.splice(0)) parts.push(part);
    this.#parts = parts;
    const final = this.#wait(timeout === undefined ? undefined : toMs(timeout), signal);
    final.then(
      () => parts.end(),
      (error: unknown) => parts.fail(error),
    );
    try {
      for await (const part of parts) yield part;
      yield finalResult(await final);
    } finally {
      this.#parts = undefined;
    }
  }

  /** The task as it stands. */
  status(options: CallOptions = {}): Promise<wire.TaskView> {
    const topic = `handoff/get/${this.#client.agent}`;
    return this.#client.query<wire.TaskView>(this.#room, topic, { task: this.id }, options);
  }

  /** Cancels it, and all that belongs to it. */
  async cancel(options: CallOptions & { reason?: string } = {}): Promise<void> {
    const body = { task: this.id, reason: options.reason };
    const topic = `handoff/cancel/${this.#client.agent}`;
    await this.#client.command(this.#room, topic, body, options);
  }

  /** @internal */
  partCame(result: TaskResult<unknown>): void {
    this.#partCame(result as TaskResult<R>);
  }

  /** Whether somebody reads the stream. */
  questionCame(question: Question): boolean {
    this.#partCame(question);
    return this.#parts !== undefined;
  }

  #partCame(part: TaskResult<R> | Question): void {
    if (this.#parts) this.#parts.push(part);
    else if (this.#early.length < MAX_PARTS) this.#early.push(part);
  }

  /** @internal */
  finalCame(result: TaskResult<unknown>): void {
    this.#final.resolve(result as TaskResult<R>);
    this.#forget();
  }

  /** Asks for the task: its result may have been acknowledged by an earlier run of this program. */
  async #look(ended: AbortSignal): Promise<void> {
    try {
      const view = await this.status({ signal: ended });
      if (!ENDED.has(view.state)) return;
      // Mail that is on its way goes first: there may be parts before the result.
      await sleep(MAIL_MS, ended);
      this.finalCame(resultOf(view));
    } catch (error) {
      if (error instanceof NotFound) this.#final.reject(error);
    }
  }
}

/** What `handoff/get` knows of a task that has ended, as the result that its dispatcher got. */
function resultOf(view: wire.TaskView): TaskResult<unknown> {
  return new TaskResult(
    defined({
      task: view.task,
      type: view.type,
      status: view.state as wire.ResultStatus,
      final: true,
      result: view.result,
      error: view.error,
      attempts: view.attempt,
      worker: view.worker,
      createdAt: view.createdAt,
      at: view.updatedAt,
    }) as wire.TaskResult,
  );
}

/** Tasks of one dispatcher that are gathered into one result. */
export class GroupHandle {
  readonly name: string;
  readonly #handoff: Handoff;
  readonly #forget: () => void;
  readonly #result = new Deferred<wire.GroupResult>();

  constructor(handoff: Handoff, name: string, forget: () => void) {
    this.#handoff = handoff;
    this.name = name;
    this.#forget = forget;
    this.#result.promise.catch(() => {});
  }

  /** Dispatches a task of the group; the first one says with `groupSize` how many they are. */
  dispatch<R = unknown, P = unknown>(task: TaskSpec<P>): Promise<TaskHandle<R>> {
    return this.#handoff.dispatch<R, P>({ ...task, group: this.name });
  }

  /** Waits until all have ended: without a limit, unless `timeout` says so. */
  result(options: CallOptions = {}): Promise<wire.GroupResult> {
    const { timeout, signal } = options;
    const timeoutMs = timeout === undefined ? undefined : toMs(timeout);
    return within(this.#result.promise, {
      timeoutMs,
      signals: [signal],
      what: `result of ${this.name}`,
    });
  }

  cancel(options: CallOptions & { reason?: string } = {}): Promise<void> {
    return this.#handoff.cancel({ group: this.name }, options);
  }

  /** @internal */
  came(result: wire.GroupResult): void {
    this.#result.resolve(result);
    this.#forget();
  }
}
