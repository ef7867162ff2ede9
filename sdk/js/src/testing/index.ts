/**
 * A real gateway for tests, on ports of its own, over a folder that is removed at the end.
 *
 * @example
 * await using gateway = await startGateway();
 * const me = await gateway.connect("editor");
 */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, watch } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type AgentOptions, type HallwardAgents, connect } from "../index.js";
import { findGateway } from "./binary.js";

export { findGateway } from "./binary.js";

export interface GatewayOptions {
  /** The gateway's program; else `HALLWARD_BIN`, `@hallward/gateway`, or what is in `PATH`. */
  binary?: string;
  /** Where its data goes; a temporary folder if not said, removed by `stop()`. */
  data?: string;
  /** Settings by their environment names: `{ HALLWARD__ROOMS__RECONNECT_GRACE: "1s" }`. */
  env?: Record<string, string>;
  /** Also listens for WebSocket, as browsers need it. */
  websocket?: boolean;
  /** How long it may take to start; 30,000 ms if not said. */
  startTimeoutMs?: number;
}

interface ReadyFile {
  mqtt: string;
  http: string;
  ws?: string;
}

/** What a gateway said last, for whoever wonders why it did not start. */
const MAX_OUTPUT = 64 * 1024;

export class TestGateway implements AsyncDisposable {
  readonly #options: GatewayOptions;
  readonly #binary: string;
  readonly #folder: string;
  readonly #agents: HallwardAgents[] = [];
  #process: ChildProcess | undefined;
  #places: ReadyFile | undefined;
  #output = "";

  private constructor(options: GatewayOptions) {
    this.#options = options;
    this.#binary = findGateway(options.binary);
    this.#folder = mkdtempSync(join(tmpdir(), "hallward-test-"));
  }

  static async start(options: GatewayOptions = {}): Promise<TestGateway> {
    const gateway = new TestGateway(options);
    try {
      await gateway.#start();
    } catch (error) {
      rmSync(gateway.#folder, { recursive: true, force: true });
      throw error;
    }
    return gateway;
  }

  get url(): string {
    return `mqtt://${this.#ready.mqtt}`;
  }

  /** With the option `websocket`. */
  get wsUrl(): string {
    const { ws } = this.#ready;
    if (ws === undefined) throw new Error("start the gateway with { websocket: true }");
    return `ws://${addressOf(ws)}/mqtt`;
  }

  get httpUrl(): string {
    return this.#ready.http;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** What it has logged. */
  get output(): string {
    return this.#output;
  }

  get #ready(): ReadyFile {
    if (!this.#places) throw new Error("the gateway has not started");
    return this.#places;
  }

  /** Connects an agent that is closed together with the gateway. */
  async connect(agent: string, options: Omit<AgentOptions, "agent"> = {}): Promise<HallwardAgents> {
    const agents = await connect(this.url, { ...options, agent });
    this.#agents.push(agents);
    return agents;
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Starts it again, over the same data and on the same ports, after `kill` or in its place. */
  async restart(): Promise<void> {
    await this.#end("SIGTERM");
    await this.#start();
  }

  /** Ends agents and gateway, and removes the data. */
  async stop(): Promise<void> {
    await Promise.allSettled(this.#agents.splice(0).map((agents) => agents.close()));
    await this.#end("SIGTERM");
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #start(): Promise<void> {
    const { data = join(this.#folder, "data"), env = {}, websocket } = this.#options;
    const readyFile = join(this.#folder, "ready.json");
    rmSync(readyFile, { force: true });
    const known = this.#places;
    const mqtt = addressOf(known?.mqtt);
    const http = addressOf(known?.http);
    const ws = addressOf(known?.ws);
    const args = ["serve", "--data", data, "--mqtt", mqtt, "--http", http];
    const child = spawn(this.#binary, [...args, "--ready-file", readyFile], {
      env: { ...inherited(), ...(websocket && { HALLWARD__WEBSOCKET__LISTEN: ws }), ...env },
      stdio: ["ignore", "pipe", "pipe"],
      cwd: this.#folder,
    });
    this.#process = child;
    const keep = (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-MAX_OUTPUT);
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
    await this.#untilReady(child, readyFile);
    this.#places = JSON.parse(readFileSync(readyFile, "utf8")) as ReadyFile;
  }

  #untilReady(child: ChildProcess, readyFile: string): Promise<void> {
    const { startTimeoutMs = 30_000 } = this.#options;
    return new Promise((resolve, reject) => {
      const look = () => {
        if (existsSync(readyFile)) settle(resolve);
      };
      const watcher = watch(this.#folder, look);
      const fail = (why: string) => {
        settle(() => reject(new Error(`${this.#binary} ${why}\n${this.#output}`)));
      };
      const timer = setTimeout(() => {
        child.kill("SIGKILL");
        fail(`was not ready within ${startTimeoutMs} ms`);
      }, startTimeoutMs);
      const failed = (error: Error) => fail(`cannot be started: ${error.message}`);
      const exited = (code: number | null) => fail(`ended with ${code}`);
      const settle = (outcome: () => void) => {
        clearTimeout(timer);
        watcher.close();
        child.off("error", failed);
        child.off("exit", exited);
        outcome();
      };
      child.once("error", failed);
      child.once("exit", exited);
      look();
    });
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill(signal);
    await exited;
  }
}

/** Host and port, without scheme and path; any free port if there is none yet. */
function addressOf(place = "127.0.0.1:0"): string {
  return place.replace(/^\w+:\/\//, "").replace(/\/.*$/, "");
}

/** The environment without this package's own variables: the gateway takes them for settings. */
function inherited(): Record<string, string | undefined> {
  const { HALLWARD_BIN: _, ...others } = process.env;
  return others;
}

/** Starts a gateway for tests. */
export function startGateway(options: GatewayOptions = {}): Promise<TestGateway> {
  return TestGateway.start(options);
}
