/** Tools, from the side of who calls them. Who provides them is in `worker/`. */

import type { CallOptions, Client, Message } from "../client.js";
import { NotFound, ToolError } from "../errors.js";
import { Channel } from "../util/channel.js";
import { onAbort } from "../util/abort.js";
import { checkFunction, checkOptions, fieldsOf } from "../util/checks.js";
import { Deferred, within } from "../util/deferred.js";
import { type Duration, optionalMs } from "../util/duration.js";
import { checkName, malformed, randomId, shown } from "../util/names.js";
import { RecentMap } from "../util/objects.js";
import { type TraceContext, traceOf } from "../util/trace.js";
import type * as wire from "../wire/types.js";
import { Live } from "./live.js";
import { ToolQuestion } from "./question.js";

export interface ToolCallOptions extends CallOptions, TraceContext {
  /** Random if not said. With one of your own a restarted program gets the same answer. */
  id?: string;
  /** How long the call may take; else what the tool's registration says. */
  within?: Duration;
  /** Whether the call is cancelled when `signal` ends the wait for it; true if not said. */
  cancel?: boolean;
  correlationId?: string;
  /** Called with each partial result. */
  onPart?: (part: unknown) => void;
  /** Called with each question of the provider; what it returns is the answer. */
  onQuestion?: (question: ToolQuestion) => unknown;
}

/** What has become of a tool. */
export type ToolChange = { name: string; card: wire.ToolCard } | { name: string; card: undefined };

interface Waiting {
  final: Deferred<wire.ToolResult>;
  part: (result: unknown) => void;
  answer: ((question: ToolQuestion) => unknown) | undefined;
}

const CALL = fieldsOf<ToolCallOptions>({
  id: true,
  within: true,
  cancel: true,
  correlationId: true,
  onPart: true,
  onQuestion: true,
  timeout: true,
  signal: true,
  traceparent: true,
  tracestate: true,
});
const MAX_PARTS = 1_000;

export class Tools {
  readonly #client: Client;
  readonly #room: string;
  readonly #calls = new Map<string, Waiting>();
  readonly #seen = new RecentMap<string, true>(1_024);
  readonly #cards = new Map<string, wire.ToolCard>();
  readonly #changes: Live<ToolChange>;
  #answer: ((question: ToolQuestion) => unknown) | undefined;
  #listening = false;
  #watching: Promise<void> | undefined;

  constructor(client: Client, room: string) {
    this.#client = client;
    this.#room = room;
    this.#changes = new Live(client, `tools of ${room}`);
  }

  /**
   * Calls a tool and returns what it says. Throws `ToolError` if that is an error, `Unavailable`
   * at once if nobody provides the tool now, `Invalid` if the arguments do not fit its schema.
   */
  async call<R = any>(tool: string, args: unknown = {}, options: ToolCallOptions = {}): Promise<R> {
    checkOptions("what a tool is called with", options, CALL);
    if (options.onPart !== undefined) checkFunction("onPart", options.onPart);
    if (options.onQuestion !== undefined) checkFunction("onQuestion", options.onQuestion);
    const { signal, cancel, onPart, onQuestion, traceparent, tracestate } = options;
    const id = checkName("call id", options.id ?? randomId());
    checkName("tool", tool);
    const call = `${this.#client.agent}/${id}`;
    const body = {
      id,
      arguments: args,
      timeoutMs: optionalMs(options.within),
      correlationId: options.correlationId,
      ...traceOf({ traceparent, tracestate }),
    };
    this.#listen();
    const waiting: Waiting = {
      final: new Deferred<wire.ToolResult>(),
      part: onPart ?? (() => {}),
      answer: onQuestion,
    };
    this.#calls.set(call, waiting);
    this.#client.offer(this.#room, "tools/result");
    const ended = new AbortController();
    try {
      const topic = `tools/call/${this.#client.agent}/${tool}`;
      await this.#client.command(this.#room, topic, body, { ...options, retry: false });
      if (options.id !== undefined) void this.#look(call, waiting.final, ended.signal);
      const { over } = this.#client;
      const limits = { signals: [signal, over], what: `result of call ${call}` };
      return resultOf(await within(waiting.final.promise, limits));
    } catch (error) {
      if (signal?.aborted && cancel !== false) this.cancel(call).catch(() => {});
      throw error;
    } finally {
      ended.abort();
      this.#calls.delete(call);
    }
  }

  /** Calls a tool, yields its partial results, and returns what it says in the end. */
  async *stream<R = any>(
    tool: string,
    args: unknown = {},
    options: Omit<ToolCallOptions, "onPart"> = {},
  ): AsyncGenerator<unknown, R> {
    const left = new AbortController();
    const { signal } = options;
    const parts = new Channel<unknown>({ limit: MAX_PARTS, what: `parts of ${tool}` });
    const stop = onAbort(signal, (reason) => left.abort(reason));
    const result = this.call<R>(tool, args, {
      ...options,
      signal: left.signal,
      onPart: (part) => void parts.push(part),
    });
    result.then(
      () => parts.end(),
      (error: unknown) => parts.fail(error),
    );
    try {
      for await (const part of parts) yield part;
      return await result;
    } finally {
      stop();
      left.abort(new Error("nobody reads the stream any more"));
    }
  }

  /** Ends a call of one's own; the caller gets its `ToolError` with the code `cancelled`. */
  async cancel(call: string, options: CallOptions & { reason?: string } = {}): Promise<void> {
    const body = { call, reason: options.reason };
    await this.#client.command(this.#room, `tools/cancel/${this.#client.agent}`, body, options);
  }

  /** A call as it stands: `{caller}/{id}`, or the id of one of your own. */
  get(call: string, options: CallOptions & { arguments?: boolean } = {}): Promise<wire.CallView> {
    if (typeof call !== "string") throw malformed(`call ${shown(call)} is no text`);
    const whole = call.includes("/") ? call : `${this.#client.agent}/${call}`;
    const body = { call: whole, arguments: options.arguments };
    return this.#client.query(this.#room, `tools/get/${this.#client.agent}`, body, options);
  }

  /** What answers providers' questions about calls that have no `onQuestion` of their own. */
  onQuestion(answer: (question: ToolQuestion) => unknown): () => void {
    checkFunction("a handler", answer);
    this.#answer = answer;
    return () => {
      if (this.#answer === answer) this.#answer = undefined;
    };
  }

  /** Answers a question of a tool's provider. */
  async answer(
    call: string,
    answer: unknown,
    options: CallOptions & { ask?: number } = {},
  ): Promise<void> {
    const body = { call, ask: options.ask, answer };
    await this.#client.command(this.#room, `tools/answer/${this.#client.agent}`, body, options);
  }

  /** Every tool of the room as it stands, then each change. */
  async *watch(options: { signal?: AbortSignal } = {}): AsyncGenerator<ToolChange, void> {
    const changes = this.#changes.iterate(options);
    const there = [...this.#cards.values()];
    try {
      await this.#watch();
      for (const card of there) yield { name: card.name, card };
      yield* changes;
    } finally {
      await changes.return();
    }
  }

  /** Waits until somebody can be called. */
  async available(tool: string, options: CallOptions = {}): Promise<wire.ToolCard> {
    const { timeoutMs, signal } = this.#client.limits(options);
    const limit = new AbortController();
    const find = async (): Promise<wire.ToolCard> => {
      for await (const { name, card } of this.watch({ signal: limit.signal })) {
        if (name === tool && card && card.providers.length > 0) return card;
      }
      throw new Error("the watch ended"); // Never: it ends by an error.
    };
    try {
      return await within(find(), { timeoutMs, signals: [signal], what: `provider of ${tool}` });
    } finally {
      limit.abort(new Error("found"));
    }
  }

  #watch(): Promise<void> {
    this.#watching ??= (async () => {
      this.#client.route(this.#room, "tools/card", (message) => {
        const name = message.rest[0] ?? "";
        const card = message.body<wire.ToolCard | undefined>();
        if (card) this.#cards.set(name, card);
        else this.#cards.delete(name);
        this.#changes.emit({ name, card } as ToolChange);
        message.done();
        return true;
      });
      await this.#client.subscribe(this.#room, "tools/card/+");
    })();
    return this.#watching;
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    this.#client.route(this.#room, "tools/result", (message) => this.#came(message));
    this.#client.subscribe(this.#room, `tools/result/${this.#client.agent}`).catch(() => {});
  }

  #came(message: Message): boolean {
    const result = message.body<wire.ToolResult>();
    const waiting = this.#calls.get(result.call);
    if (!waiting && !this.#seen.has(result.call)) return false;
    if (result.status === "input") {
      this.#asked(result, waiting);
    } else if (result.final) {
      this.#seen.set(result.call, true);
      waiting?.final.resolve(result);
    } else {
      waiting?.part(result.result);
    }
    message.done();
    return true;
  }

  #asked(result: wire.ToolResult, waiting: Waiting | undefined): void {
    const question = new ToolQuestion(result, (answer, options) =>
      this.answer(result.call, answer, { ...options, ask: question.ask }),
    );
    const handler = waiting?.answer ?? this.#answer;
    void (async () => {
      const said = await handler?.(question);
      if (said !== undefined) await question.answer(said);
    })().catch((error: unknown) => {
      this.#client.logger.error(`question ${result.ask} of ${result.call} was not answered`, error);
    });
  }

  /** Asks for the call: an earlier run of this program may have been told how it ended. */
  async #look(call: string, final: Deferred<wire.ToolResult>, ended: AbortSignal): Promise<void> {
    try {
      const view = await this.get(call, { signal: ended });
      if (view.state === "success" || view.state === "error") final.resolve(finalOf(view));
    } catch (error) {
      if (error instanceof NotFound) final.reject(error);
    }
  }
}

function resultOf<R>(final: wire.ToolResult): R {
  if (final.status === "success") return final.result as R;
  const { message, code, data } = final.error ?? { message: "the call came to nothing" };
  throw new ToolError(final.call, message, code, data);
}

/** What `tools/get` knows of a call that is over, as the result that its caller got. */
function finalOf(view: wire.CallView): wire.ToolResult {
  return {
    call: view.call,
    tool: view.tool,
    status: view.state as wire.ReturnStatus,
    final: true,
    result: view.result,
    ...(view.error && { error: view.error }),
    provider: view.provider,
    calledAt: view.calledAt,
    at: view.endedAt ?? view.calledAt,
  };
}
