// What the tests share: a gateway per file, rooms and agents with names of their own, and waiting
// for things with a deadline.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

import type { AgentOptions, HallwardAgents, Logger } from "hallward";
import { type GatewayOptions, type TestGateway, startGateway } from "hallward/testing";

export const DEADLINE_MS = 20_000;

let count = 0;

/** A name that no other test uses. */
export function fresh(what: string): string {
  count += 1;
  return `${what}-${process.pid}-${count}`;
}

/** The gateway of this test file. */
export async function testGateway(options: GatewayOptions = {}): Promise<TestGateway> {
  const gateway = await startGateway(options);
  after(() => gateway.stop());
  return gateway;
}

/** Keeps what would go to the console. */
export class MemoryLogger implements Logger {
  readonly lines: string[] = [];

  debug(): void {}

  warn(message: string, error?: unknown): void {
    this.lines.push(`${message} ${error ?? ""}`);
  }

  error(message: string, error?: unknown): void {
    this.lines.push(`${message} ${error ?? ""}`);
  }
}

/** An agent with a name of its own that logs nowhere. */
export function agent(
  gateway: TestGateway,
  what: string,
  options: Omit<AgentOptions, "agent"> = {},
): Promise<HallwardAgents> {
  return gateway.connect(fresh(what), { logger: new MemoryLogger(), ...options });
}

/** The promise, or an error that says what did not happen. */
export function soon<T>(promise: Promise<T>, what = "it"): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not happen in time`)), DEADLINE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A list that can be waited for. */
export class Seen<T> {
  readonly items: T[] = [];
  readonly #waiting = new Set<() => void>();

  add(item: T): void {
    this.items.push(item);
    for (const look of this.#waiting) look();
  }

  /** The first item that fits, there already or to come. */
  find(fits: (item: T) => boolean, what = "the item"): Promise<T> {
    return soon(
      new Promise((resolve) => {
        const look = () => {
          const found = this.items.find(fits);
          if (found === undefined) return;
          this.#waiting.delete(look);
          resolve(found);
        };
        this.#waiting.add(look);
        look();
      }),
      what,
    );
  }

  async count(number: number): Promise<T[]> {
    await this.find(() => this.items.length >= number, `item ${number}`);
    return this.items;
  }
}

/** A gate that somebody opens. */
export function gate<T = void>(): { promise: Promise<T>; open: (value: T) => void } {
  let open!: (value: T) => void;
  const promise = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

/** Another program, of test/programs, that says what it does in lines of JSON. */
export class Program {
  readonly said = new Seen<Record<string, any>>();
  readonly #child: ChildProcess;
  readonly exited: Promise<number | null>;

  constructor(name: string, args: string[]) {
    const path = fileURLToPath(new URL(`../../test/programs/${name}`, import.meta.url));
    this.#child = spawn(process.execPath, [path, ...args], { stdio: ["pipe", "pipe", "inherit"] });
    const lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream });
    lines.on("line", (line) => this.said.add(JSON.parse(line) as Record<string, unknown>));
    this.exited = once(this.#child, "exit").then(([code]) => code as number | null);
    after(() => void this.#child.kill("SIGKILL"));
  }

  signal(signal: "SIGTERM" | "SIGKILL"): void {
    this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await soon(this.exited, "the end of the program");
  }
}
