/** A program that is nothing but a worker: it connects, serves, and stops in good order. */

import { type AgentOptions, HallwardAgents } from "../agents.js";
import { Closed } from "../errors.js";
import { onAbort } from "../util/abort.js";
import { checkObject } from "../util/checks.js";
import { Deferred } from "../util/deferred.js";
import type {
  RoomWorker,
  RoomWorkerOptions,
  TaskHandler,
  TaskOptions,
  ToolHandler,
  ToolSpec,
} from "./room-worker.js";

export interface WorkerOptions extends AgentOptions, RoomWorkerOptions {
  url: string;
  room: string;
}

export interface RunOptions {
  /** Drains when it is aborted. */
  signal?: AbortSignal;
  /** Whether SIGTERM and SIGINT drain (in Node.js); true if not said. */
  handleSignals?: boolean;
}

export class Worker {
  readonly agents: HallwardAgents;
  readonly #worker: RoomWorker;
  readonly #stopped = new Deferred<void>();

  constructor(options: WorkerOptions) {
    checkObject("what a worker is made with", options);
    const { url, room, capacity, announcement, grace, ...more } = options;
    this.agents = new HallwardAgents(url, more);
    this.#worker = this.agents.joinRoom(room).worker({
      ...(capacity === undefined ? {} : { capacity }),
      ...(announcement === undefined ? {} : { announcement }),
      ...(grace === undefined ? {} : { grace }),
    });
  }

  /** Says what to do with tasks of a type. What the handler returns is the result. */
  task<P = any, R = unknown>(type: string, handler: TaskHandler<P, R>): this;
  task<P = any, R = unknown>(type: string, options: TaskOptions, handler: TaskHandler<P, R>): this;
  task(type: string, ...rest: [any, any?]): this {
    this.#worker.task(type, ...(rest as [TaskOptions, TaskHandler<unknown, unknown>]));
    return this;
  }

  /** Says what to do with calls of a tool. What the handler returns is the result. */
  tool<A = any, R = unknown>(name: string, spec: ToolSpec, handler: ToolHandler<A, R>): this {
    this.#worker.tool(name, spec, handler);
    return this;
  }

  /** Connects, and resolves when it can be given work. */
  async start(): Promise<void> {
    await this.agents.connect();
    await this.#worker.start();
  }

  /** Ends `run()` in good order. */
  stop(): void {
    this.#stopped.resolve();
  }

  /**
   * Serves until SIGTERM, SIGINT, `stop()` or the signal; resolves when the worker has drained. A
   * second SIGTERM or SIGINT ends the process at once. Rejects with `SessionTaken` if another
   * program takes this agent's name.
   */
  async run(options: RunOptions = {}): Promise<void> {
    const { signal, handleSignals = true } = options;
    const restore = handleSignals ? onSignals(() => this.stop()) : () => {};
    const leave = [
      onAbort(signal, () => this.stop()),
      onAbort(this.agents.over, (reason) => this.#stopped.reject(reason)),
    ];
    try {
      await this.start();
      await this.#stopped.promise;
      await this.#worker.drain();
    } catch (error) {
      if (!(error instanceof Closed)) throw error;
    } finally {
      for (const off of leave) off();
      await this.agents.close();
      restore();
    }
  }
}

/** What is used of Node's `process`, where there is one. */
interface Process {
  on(signal: string, listener: () => void): void;
  off(signal: string, listener: () => void): void;
  exit(code: number): never;
}

const SIGNALS = { SIGTERM: 15, SIGINT: 2 } as const;

/** The first signal stops in good order, the second one ends the process. */
function onSignals(stop: () => void): () => void {
  const process = (globalThis as { process?: Process }).process;
  if (typeof process?.on !== "function") return () => {};
  let seen = false;
  const listeners = Object.entries(SIGNALS).map(([name, number]) => {
    const listener = () => {
      if (seen) process.exit(128 + number);
      seen = true;
      stop();
    };
    process.on(name, listener);
    return () => process.off(name, listener);
  });
  return () => {
    for (const off of listeners) off();
  };
}
