/**
 * Handoff, from the side of who wants something done: dispatch, results, questions.
 *
 * The worker's side is in `worker/`.
 */

import type { CallOptions, Client, Message } from "../client.js";
import { checkFunction, checkObject, checkOptions, fieldsOf } from "../util/checks.js";
import { type Duration, optionalMs, toMs } from "../util/duration.js";
import { RecentMap, defined } from "../util/objects.js";
import { checkName, randomId } from "../util/names.js";
import { type TraceContext, traceOf } from "../util/trace.js";
import type * as wire from "../wire/types.js";
import { Handlers, type Handler, type HandlerOptions } from "./handlers.js";
import { Live } from "./live.js";
import { pages } from "./pages.js";
import { Question, type QuestionMessage } from "./question.js";
import { GroupHandle, TaskHandle, TaskResult } from "./task.js";

/** What is to be done. Only `type` is needed. */
export interface TaskSpec<P = unknown> extends TraceContext {
  type: string;
  payload?: P;
  /** Random if not said. One of your own makes the task findable after a restart. */
  id?: string;
  /** The worker must have all of them; the type itself if not said. */
  capabilities?: string[];
  /** Besides, it must have one of these. */
  anyOf?: string[];
  priority?: wire.Priority;
  /** Wait so long before the first attempt. */
  notBefore?: Duration;
  /** If it has not ended by then, it is expired. */
  ttl?: Duration;
  /** How long the worker may be silent. */
  lease?: Duration;
  maxAttempts?: number;
  maxDeliveries?: number;
  backoff?: { initial: Duration; factor: number; max: Duration };
  /** The same value prefers the same worker. */
  affinity?: string;
  /** Refuse at once (`Unavailable`) if nobody online can do it. */
  requireOnline?: boolean;
  correlationId?: string;
  dependsOn?: string[];
  parent?: string;
  group?: string;
  groupSize?: number;
}

export interface TaskFilter {
  state?: wire.States;
  type?: string;
  capability?: string;
  dispatcher?: string;
  createdAfter?: number;
  createdBefore?: number;
  newestFirst?: boolean;
}

const TASK = fieldsOf<TaskSpec>({
  type: true,
  payload: true,
  id: true,
  capabilities: true,
  anyOf: true,
  priority: true,
  notBefore: true,
  ttl: true,
  lease: true,
  maxAttempts: true,
  maxDeliveries: true,
  backoff: true,
  affinity: true,
  requireOnline: true,
  correlationId: true,
  dependsOn: true,
  parent: true,
  group: true,
  groupSize: true,
  traceparent: true,
  tracestate: true,
});

export class Handoff {
  readonly #client: Client;
  readonly #room: string;
  readonly #tasks = new Map<string, TaskHandle<unknown>>();
  readonly #groups = new Map<string, GroupHandle>();
  readonly #results: Handlers<TaskResult<unknown>>;
  readonly #gathered: Handlers<wire.GroupResult>;
  readonly #asked: Handlers<Question>;
  /** What has been seen already: messages can come twice. */
  readonly #seen = new RecentMap<string, true>(4_096);
  /** The room's open questions, by task. */
  readonly #open = new Map<string, Question>();
  readonly #asking: Live<Question>;
  #watching: Promise<void> | undefined;
  #listening: Promise<void> | undefined;

  constructor(client: Client, room: string) {
    this.#client = client;
    this.#room = room;
    this.#results = new Handlers(client, room, "handoff/result");
    this.#gathered = new Handlers(client, room, "handoff/result");
    this.#asked = new Handlers(client, room, "handoff/result");
    this.#asking = new Live(client, `questions in ${room}`);
  }

  /** Hands a task over. Resolves when it is on disk; the handle waits for what comes of it. */
  async dispatch<R = unknown, P = unknown>(
    task: TaskSpec<P>,
    options: CallOptions = {},
  ): Promise<TaskHandle<R>> {
    checkObject("a task", task);
    checkOptions("a task", task, TASK);
    const id = checkName("task id", task.id ?? randomId());
    const handle = this.task<R>(id, task.id !== undefined);
    const retry = task.requireOnline !== true;
    try {
      const topic = `handoff/dispatch/${this.#client.agent}`;
      await this.#client.command(this.#room, topic, wireOf(task, id), { ...options, retry });
    } catch (error) {
      if (!handle.waiting) this.#tasks.delete(id);
      throw error;
    }
    return handle;
  }

  /** Hands a task over and waits for its result. Throws what else it comes to. */
  run<R = unknown, P = unknown>(
    type: string,
    payload?: P,
    options?: Omit<TaskSpec<P>, "type" | "payload"> & CallOptions,
  ): Promise<TaskResult<R>>;
  run<R = unknown, P = unknown>(task: TaskSpec<P>, options?: CallOptions): Promise<TaskResult<R>>;
  async run<R, P>(
    what: string | TaskSpec<P>,
    second?: P | CallOptions,
    third: Omit<TaskSpec<P>, "type" | "payload"> & CallOptions = {},
  ): Promise<TaskResult<R>> {
    const [task, { timeout, signal }] = taskAndOptions<P>(what, second, third);
    optionalMs(timeout);
    const handle = await this.dispatch<R, P>(task, { signal });
    return handle.result(defined({ timeout, signal }));
  }

  /** Hands a task over and yields its partial results and questions, then its final result. */
  async *stream<R = unknown, P = unknown>(
    task: TaskSpec<P>,
    options: CallOptions = {},
  ): AsyncGenerator<TaskResult<R> | Question, void> {
    optionalMs(options.timeout);
    const handle = await this.dispatch<R, P>(task, { signal: options.signal });
    yield* handle.stream(options);
  }

  /** A handle for a task that was dispatched before, perhaps by an earlier run of this program. */
  task<R = unknown>(id: string, known = true): TaskHandle<R> {
    checkName("task id", id);
    void this.#listen();
    const found = this.#tasks.get(id);
    if (found) return found as TaskHandle<R>;
    const handle = new TaskHandle<unknown>(this.#client, this.#room, id, known, () => {
      this.#tasks.delete(id);
    });
    this.#tasks.set(id, handle);
    this.#client.offer(this.#room, "handoff/result");
    return handle as TaskHandle<R>;
  }

  /** Tasks that are gathered into one result. */
  group(name: string): GroupHandle {
    checkName("group", name);
    void this.#listen();
    const found = this.#groups.get(name);
    if (found) return found;
    const group = new GroupHandle(this, name, () => this.#groups.delete(name));
    this.#groups.set(name, group);
    this.#client.offer(this.#room, "handoff/result");
    return group;
  }

  /**
   * Calls the handler with each final result of a task that this agent dispatched in this room,
   * also with failures: see `status`. It is acknowledged when the handler is done; if that throws,
   * the handler is called again later.
   */
  onResult<R = any>(handler: Handler<TaskResult<R>>, options: HandlerOptions = {}): () => void {
    checkFunction("a handler", handler);
    void this.#listen();
    return this.#results.add(handler as Handler<TaskResult<unknown>>, options);
  }

  /** The same as an iterator: the next step acknowledges the result before. */
  results<R = unknown>(
    options: { signal?: AbortSignal } = {},
  ): AsyncIterableIterator<TaskResult<R>> {
    void this.#listen();
    return this.#results.iterate(options) as AsyncIterableIterator<TaskResult<R>>;
  }

  onGroupResult(handler: Handler<wire.GroupResult>, options: HandlerOptions = {}): () => void {
    checkFunction("a handler", handler);
    void this.#listen();
    return this.#gathered.add(handler, options);
  }

  /** Calls the handler with each question of a worker; what it returns is the answer. */
  onQuestion(answer: (question: Question) => unknown, options: HandlerOptions = {}): () => void {
    checkFunction("a handler", answer);
    void this.#listen();
    return this.#asked.add(async (question) => {
      const said = await answer(question);
      if (said !== undefined) await question.answer(said);
    }, options);
  }

  /** Every open question in the room, whoever dispatched the task; then each new one. */
  async *questions(options: { signal?: AbortSignal } = {}): AsyncGenerator<Question, void> {
    const coming = this.#asking.iterate(options);
    const open = [...this.#open.values()];
    try {
      await this.#watchQuestions();
      yield* open;
      yield* coming;
    } finally {
      await coming.return();
    }
  }

  #watchQuestions(): Promise<void> {
    this.#watching ??= (async () => {
      this.#client.route(this.#room, "handoff/asking", (message) => {
        const asked = message.body<wire.OpenQuestion | undefined>();
        const task = message.rest[0] ?? "";
        this.#open.delete(task);
        if (asked) {
          const question = this.#question(asked);
          this.#open.set(task, question);
          this.#asking.emit(question);
        }
        return acknowledged(message);
      });
      await this.#client.subscribe(this.#room, "handoff/asking/+");
    })();
    return this.#watching;
  }

  /** Answers a worker's question. */
  async answer(
    task: string,
    attempt: number,
    answer: unknown,
    options: CallOptions & { ask?: number } = {},
  ): Promise<void> {
    const { ask } = options;
    const body = { task, attempt, ask, answer };
    await this.#client.command(this.#room, `handoff/answer/${this.#client.agent}`, body, options);
  }

  /** A task as it stands, with its result if it has ended. */
  get(task: string, options: CallOptions & { payload?: boolean } = {}): Promise<wire.TaskView> {
    const { payload } = options;
    const topic = `handoff/get/${this.#client.agent}`;
    return this.#client.query<wire.TaskView>(this.#room, topic, { task, payload }, options);
  }

  /** The room's tasks, page by page as the loop goes on. */
  async *list(
    filter: TaskFilter = {},
    options: CallOptions = {},
  ): AsyncGenerator<wire.TaskView, void> {
    for await (const page of pages((cursor) => this.listPage({ ...filter, cursor }, options))) {
      yield* page.tasks;
    }
  }

  listPage(
    query: TaskFilter & { cursor?: string | undefined; limit?: number },
    options: CallOptions = {},
  ): Promise<wire.TaskPage> {
    return this.#client.query(this.#room, `handoff/list/${this.#client.agent}`, query, options);
  }

  /** Cancels a task and all that belongs to it, or a group of one's own. */
  async cancel(
    what: string | { group: string },
    options: CallOptions & { reason?: string } = {},
  ): Promise<void> {
    const { reason } = options;
    const body = typeof what === "string" ? { task: what, reason } : { ...what, reason };
    await this.#client.command(this.#room, `handoff/cancel/${this.#client.agent}`, body, options);
  }

  /** Gives a dead task another chance. */
  async redrive(task: string, options: CallOptions = {}): Promise<void> {
    const topic = `handoff/redrive/${this.#client.agent}`;
    await this.#client.command(this.#room, topic, { task }, options);
  }

  /** Gives the dead tasks of a type another chance, the oldest first: so many, and no more. */
  async redriveAll(
    type: string,
    options: CallOptions & { limit?: number; cursor?: string } = {},
  ): Promise<wire.Redriven> {
    const { limit, cursor } = options;
    const topic = `handoff/redrive/${this.#client.agent}`;
    const reply = await this.#client.command(
      this.#room,
      topic,
      { type, limit, cursor } as object,
      options,
    );
    return reply.data as wire.Redriven;
  }

  #listen(): Promise<void> {
    this.#listening ??= (() => {
      this.#client.route(this.#room, "handoff/result", (message) => this.#came(message));
      const granted = this.#client.subscribe(this.#room, `handoff/result/${this.#client.agent}`);
      granted.catch(() => {});
      return granted;
    })();
    return this.#listening;
  }

  /** Results, parts of results, groups and questions all come on one topic. */
  #came(message: Message): boolean {
    const body = message.body<wire.TaskResult | wire.GroupResult>();
    if ("group" in body) return this.#groupCame(message, body);
    if (isQuestion(body)) return this.#questionCame(message, body);
    const result = new TaskResult<unknown>(body);
    const handle = this.#tasks.get(result.task);
    const key = `${result.task} ${result.final ? "final" : result.part} ${result.at}`;
    if (!result.final) {
      handle?.partCame(result);
      message.done();
      return true;
    }
    if (this.#seen.has(key)) {
      message.done();
      return true;
    }
    if (!handle && this.#results.none) return false;
    handle?.finalCame(result);
    this.#seen.set(key, true);
    return this.#results.give(message, result) || acknowledged(message);
  }

  #groupCame(message: Message, result: wire.GroupResult): boolean {
    const handle = this.#groups.get(result.group);
    if (!handle && this.#gathered.none) return false;
    handle?.came(result);
    return this.#gathered.give(message, result) || acknowledged(message);
  }

  #questionCame(message: Message, asked: QuestionMessage): boolean {
    const question = this.#question(asked);
    const handle = this.#tasks.get(asked.task);
    const streamed = handle?.questionCame(question) ?? false;
    if (!streamed && this.#asked.none) return false;
    return this.#asked.give(message, question) || acknowledged(message);
  }

  #question(asked: QuestionMessage): Question {
    const question: Question = new Question(asked, (answer, options) => {
      const { task, attempt, ask } = question;
      return this.answer(task, attempt, answer, { ...options, ask });
    });
    return question;
  }
}

function isQuestion(result: wire.TaskResult): result is wire.TaskResult & { ask: number } {
  return result.status === "input";
}

function acknowledged(message: Message): true {
  message.done();
  return true;
}

function taskAndOptions<P>(
  what: string | TaskSpec<P>,
  second: P | CallOptions | undefined,
  third: Omit<TaskSpec<P>, "type" | "payload"> & CallOptions,
): [TaskSpec<P>, CallOptions] {
  if (typeof what !== "string") return [what, (second ?? {}) as CallOptions];
  const { timeout, signal, ...more } = third;
  const task = { ...more, type: what, payload: second as P };
  return [task, defined({ timeout, signal })];
}

function wireOf(task: TaskSpec, id: string): wire.Task {
  const { notBefore, ttl, lease, backoff, traceparent, tracestate, ...same } = task;
  const body = Object.assign(same, traceOf({ traceparent, tracestate })) as wire.Task;
  body.id = id;
  checkName("task type", task.type);
  if (notBefore !== undefined) body.notBeforeMs = toMs(notBefore);
  if (ttl !== undefined) body.ttlMs = toMs(ttl);
  if (lease !== undefined) body.leaseMs = toMs(lease);
  if (backoff !== undefined) {
    const { initial, factor, max } = backoff;
    body.backoff = { initialMs: toMs(initial), factor, maxMs: toMs(max) };
  }
  return body;
}
