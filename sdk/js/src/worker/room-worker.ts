/**
 * An agent as a worker in one room: what it offers, what it has in hand, and how it stops.
 *
 * Work is acknowledged at once, for its lease and attempt cover a crash. The gateway gives no more
 * than `capacity` at a time.
 */

import type { Client, Message } from "../client.js";
import { Fatal, HallwardError, messageOf } from "../errors.js";
import type { Announcement } from "../patterns/presence.js";
import type { Room } from "../room.js";
import { onAbort } from "../util/abort.js";
import { checkCount, checkFunction, checkObject, checkOptions, fieldsOf } from "../util/checks.js";
import { sleep, within } from "../util/deferred.js";
import { type Duration, optionalMs, toMs } from "../util/duration.js";
import { checkName, malformed } from "../util/names.js";
import { defined } from "../util/objects.js";
import { inTrace } from "../util/trace.js";
import { encode } from "../wire/codec.js";
import type * as wire from "../wire/types.js";
import type { InHand } from "./attempt.js";
import { Task } from "./task.js";
import { ToolCall } from "./tool-call.js";

export interface RoomWorkerOptions {
  /** Tasks at once, over all types; 1 if not said. */
  capacity?: number;
  /** What else to say of this agent: a name, a role … */
  announcement?: Omit<Announcement, "capacity" | "status">;
  /** How long handlers may go on after `drain()`; 30 s if not said. */
  grace?: Duration;
}

export interface TaskOptions {
  /** What the worker offers for it; the type itself if not said. */
  capabilities?: string[];
  /** A handler that takes longer fails its attempt. */
  timeout?: Duration;
}

export interface ToolSpec {
  description?: string;
  inputSchema?: object;
  outputSchema?: object;
  title?: string;
  annotations?: object;
  /** How long a call may take, where it does not say. */
  timeout?: Duration;
  /** Whether a call may run again at another provider. */
  idempotent?: boolean;
  /** The gateway asks for approval before it hands a call over. */
  approval?: { action?: string; approvers?: string[]; quorum?: number; timeout?: Duration };
}

/** What a handler gets besides the task or the arguments. */
export interface TaskContext {
  /** Aborted when nobody wants the outcome any more. */
  signal: AbortSignal;
}

export type TaskHandler<P, R> = (task: Task<P>, context: TaskContext) => R | Promise<R>;
export type ToolHandler<A, R> = (args: A, call: ToolCall<A>) => R | Promise<R>;

interface OfferedTask {
  handler: TaskHandler<any, unknown>;
  capabilities: string[];
  timeoutMs: number | undefined;
}

interface OfferedTool {
  handler: ToolHandler<any, unknown>;
  spec: ToolSpec;
}

const WORKER = fieldsOf<RoomWorkerOptions>({ capacity: true, announcement: true, grace: true });
const TASK = fieldsOf<TaskOptions>({ capabilities: true, timeout: true });
/** How long handlers that were told to stop are waited for. */
const STOP_MS = 1_000;

/** The reason of a handler's `signal` when the worker stops and its grace is over. */
export class Draining extends Error {
  override readonly name = "Draining";

  constructor() {
    super("the worker stops");
  }
}

export class RoomWorker {
  readonly #client: Client;
  readonly #room: Room;
  readonly #options: RoomWorkerOptions;
  readonly #tasks = new Map<string, OfferedTask>();
  readonly #tools = new Map<string, OfferedTool>();
  readonly #inHand = new Map<string, InHand>();
  readonly #running = new Set<Promise<void>>();
  readonly #leave: (() => void)[] = [];
  #draining: Promise<void> | undefined;
  #started = false;
  /** Whether it has stopped for good. */
  ended = false;

  /** @internal Use `room.worker()`. */
  constructor(client: Client, room: Room, options: RoomWorkerOptions) {
    checkOptions("what a worker is made with", options, WORKER);
    checkCount("capacity", options.capacity, 0);
    optionalMs(options.grace);
    this.#client = client;
    this.#room = room;
    this.#options = options;
  }

  /** How many handlers run now. */
  get inFlight(): number {
    return [...this.#inHand.values()].filter((one) => !one.isOver).length;
  }

  /** Says what to do with tasks of a type. What the handler returns is the result. */
  task<P = any, R = unknown>(type: string, handler: TaskHandler<P, R>): this;
  task<P = any, R = unknown>(type: string, options: TaskOptions, handler: TaskHandler<P, R>): this;
  task<P, R>(
    type: string,
    second: TaskOptions | TaskHandler<P, R>,
    third?: TaskHandler<P, R>,
  ): this {
    const options = typeof second === "function" ? {} : (second ?? {});
    const handler = typeof second === "function" ? second : (third as TaskHandler<P, R>);
    checkOptions("what a handler of tasks is added with", options, TASK);
    checkFunction("the handler of a task", handler);
    if (options.capabilities !== undefined && !Array.isArray(options.capabilities)) {
      throw malformed("capabilities are an array of names");
    }
    this.#beforeStart();
    this.#tasks.set(checkName("task type", type), {
      handler,
      capabilities: options.capabilities ?? [type],
      timeoutMs: optionalMs(options.timeout),
    });
    return this;
  }

  /** Says what to do with calls of a tool. What the handler returns is the result. */
  tool<A = any, R = unknown>(name: string, spec: ToolSpec, handler: ToolHandler<A, R>): this {
    checkObject("what a tool is registered with", spec);
    checkFunction("the handler of a tool", handler);
    this.#beforeStart();
    this.#tools.set(checkName("tool", name), { handler, spec });
    return this;
  }

  #beforeStart(): void {
    if (this.#started) throw new Error("the worker has started: add tasks and tools before");
  }

  /** Resolves when it can be given work. */
  async start(): Promise<void> {
    this.#beforeStart();
    this.#started = true;
    const { name } = this.#room;
    this.#route("handoff/work", (message) => this.#assigned(message));
    this.#route("tools/run", (message) => this.#called(message));
    this.#route("tools/cancelled", (message) => this.#callOver(message));
    this.#route("reply", (message) => this.#replied(message));
    const { over } = this.#client;
    this.#leave.push(onAbort(over, (reason) => this.#lost(reason)));
    this.#leave.push(
      this.#client.onStatus((status) => {
        // A session that is gone may have taken the registrations with it.
        if (status.status === "connected" && !status.resumed) void this.#registerAgain();
      }),
    );
    await this.#room.announce({
      ...this.#options.announcement,
      capacity: this.#options.capacity ?? 1,
      status: undefined,
    });
    await this.#register();
    await Promise.all(this.#topics().map((topic) => this.#client.subscribe(name, topic)));
  }

  #route(kind: string, route: (message: Message) => boolean): void {
    this.#leave.push(this.#client.route(this.#room.name, kind, route));
  }

  #topics(): string[] {
    const capabilities = new Set([...this.#tasks.values()].flatMap((task) => task.capabilities));
    const topics = [...capabilities].map((name) => `handoff/work/${checkName("capability", name)}`);
    if (this.#tools.size === 0) return topics;
    const runs = [...this.#tools.keys()].map((name) => `tools/run/${name}`);
    return [...topics, ...runs, `tools/cancelled/${this.#client.agent}`];
  }

  async #register(): Promise<void> {
    await Promise.all(
      [...this.#tools].map(([tool, { spec }]) => {
        const { timeout, approval, ...same } = spec;
        const body = defined({
          description: tool,
          inputSchema: { type: "object" },
          ...same,
          timeoutMs: optionalMs(timeout),
          approval: approval && {
            ...approval,
            timeout: undefined,
            timeoutMs: optionalMs(approval.timeout),
          },
        });
        const topic = `tools/register/${this.#client.agent}/${tool}`;
        return this.#client.command(this.#room.name, topic, body);
      }),
    );
  }

  async #registerAgain(): Promise<void> {
    try {
      await this.#register();
    } catch (error) {
      this.#client.logger.error(`tools of ${this.#client.agent} could not be registered`, error);
    }
  }

  // Tasks.

  #assigned(message: Message): boolean {
    const assignment = message.body<wire.Assignment>();
    message.done();
    const { task: id, attempt } = assignment;
    const known = this.#inHand.get(id);
    if (known instanceof Task && known.attempt === attempt) {
      known.answered(assignment.answers ?? []);
      return true;
    }
    known?.stop(new Error(`attempt ${attempt} of ${id} has begun`));
    const task = new Task(this.#client, this.#room.name, assignment);
    const capability = message.rest[0] ?? "";
    const offered = this.#tasks.get(task.type) ?? this.#offeredBy(capability);
    if (!offered || this.#draining) this.#decline(task, capability, offered !== undefined);
    else this.#begin(id, task, () => this.#work(task, offered, message));
    return true;
  }

  #offeredBy(capability: string): OfferedTask | undefined {
    return [...this.#tasks.values()].find((task) => task.capabilities.includes(capability));
  }

  /** Somebody else should have it. What an earlier program offered is not offered any more. */
  #decline(task: Task, capability: string, offered: boolean): void {
    if (!offered) {
      this.#client.logger.warn(`${this.#client.agent} has no handler for tasks ${task.type}`);
      this.#client.unsubscribe(this.#room.name, `handoff/work/${capability}`);
    }
    task.release().catch(() => {});
  }

  #begin(id: string, inHand: InHand, work: () => Promise<void>): void {
    this.#inHand.set(id, inHand);
    const running = work()
      .catch((error: unknown) => {
        if (this.#client.over.aborted) return;
        const why = messageOf(error);
        this.#client.logger.warn(`the gateway did not take what came of ${id}: ${why}`);
      })
      .finally(() => {
        this.#running.delete(running);
        if (this.#inHand.get(id) === inHand) this.#inHand.delete(id);
      });
    this.#running.add(running);
  }

  async #work(task: Task, offered: OfferedTask, message: Message): Promise<void> {
    task.keepLease();
    const context = { signal: task.signal };
    let result: unknown;
    try {
      const outcome = inTrace(message.trace, async () => offered.handler(task, context));
      result = await within(outcome, {
        timeoutMs: offered.timeoutMs,
        what: `result from the handler of ${task.type}`,
      });
    } catch (error) {
      if (task.isOver) return;
      this.#client.logger.error(`task ${task.id} (${task.type}), attempt ${task.attempt}`, error);
      await task.fail(error);
      task.stop(error);
      return;
    }
    await this.#succeed(task, result);
  }

  /** A result that the gateway refuses (too large, say) fails the task: it would be the same. */
  async #succeed(task: Task, result: unknown): Promise<void> {
    try {
      await task.succeed(result);
    } catch (error) {
      const refused = error instanceof HallwardError && [400, 413, 422].includes(error.code);
      if (!refused) throw error;
      task.isOver = false;
      await task.fail(new Fatal(error.message, { code: error.kind }));
    }
  }

  /** 409 or 408 for a task in hand: it was cancelled, or its time is over. */
  #replied(message: Message): boolean {
    const reply = message.body<wire.Reply>();
    if (reply.command !== "handoff/work" || reply.task === undefined) return false;
    const task = this.#inHand.get(reply.task);
    if (task instanceof Task && (reply.code === 409 || reply.code === 408)) task.revoked(reply);
    return true;
  }

  // Calls of tools.

  #called(message: Message): boolean {
    const run = message.body<wire.ToolRun>();
    message.done();
    const known = this.#inHand.get(run.call);
    if (known) {
      known.answered(run.answers ?? []);
      return true;
    }
    const call = new ToolCall(this.#client, this.#room.name, run);
    const offered = this.#tools.get(call.tool);
    if (offered) this.#begin(call.id, call, () => this.#serve(call, offered, message));
    else this.#client.unsubscribe(this.#room.name, `tools/run/${call.tool}`);
    return true;
  }

  async #serve(call: ToolCall, offered: OfferedTool, message: Message): Promise<void> {
    let result: unknown;
    try {
      result = await inTrace(message.trace, async () => offered.handler(call.arguments, call));
    } catch (error) {
      if (call.isOver) return;
      this.#client.logger.error(`call ${call.id} of ${call.tool}`, error);
      await call.fail(error);
      return;
    }
    await call.succeed(result);
  }

  #callOver(message: Message): boolean {
    const over = message.body<wire.CallOver>();
    message.done();
    this.#inHand.get(over.call)?.stop(new Error(`${over.code}: ${over.reason}`));
    return true;
  }

  // The end.

  /**
   * Stops in good order: no new work from now on, what runs may go on for the grace, what is left
   * then is given back. Resolves when everything that it said has arrived.
   */
  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async #drain(): Promise<void> {
    if (this.#started && !this.#client.over.aborted) await this.#stopInOrder();
    for (const leave of this.#leave.splice(0)) leave();
    this.ended = true;
  }

  async #stopInOrder(): Promise<void> {
    const quietly = (promise: Promise<unknown>) => promise.catch(() => {});
    await quietly(this.#room.announce({ status: "draining" }));
    await this.#settled(toMs(this.#options.grace ?? "30s"));
    await Promise.all([...this.#inHand.values()].map((one) => quietly(this.#giveBack(one))));
    await this.#settled(STOP_MS);
    await Promise.all([...this.#tools.keys()].map((tool) => quietly(this.#withdraw(tool))));
    for (const topic of this.#topics()) this.#client.unsubscribe(this.#room.name, topic);
  }

  /** Nothing runs any more, or time is over. What waits for an answer is not waited for. */
  async #settled(ms: number): Promise<void> {
    const done = new AbortController();
    let late = false;
    const limit = sleep(ms, done.signal).then((slept) => {
      late = slept;
    });
    const busy = () => [...this.#inHand.values()].some((one) => !one.isSuspended);
    while (busy() && !late) await Promise.race([...this.#running, limit]);
    done.abort();
  }

  async #giveBack(inHand: InHand): Promise<void> {
    // A task that asks something waits at the gateway: whoever is there gets the answer.
    if (inHand instanceof Task && !inHand.isSuspended) {
      const released = inHand.release();
      inHand.stop(new Draining());
      await released;
    } else {
      inHand.stop(new Draining());
    }
  }

  async #withdraw(tool: string): Promise<void> {
    const topic = `tools/register/${this.#client.agent}/${tool}`;
    await this.#client.publish(this.#room.name, topic, encode("json", undefined));
  }

  /** The connection is over for good: nobody will hear of what is in hand. */
  #lost(reason: unknown): void {
    for (const inHand of this.#inHand.values()) inHand.stop(reason);
    this.ended = true;
  }
}
