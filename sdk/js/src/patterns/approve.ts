/** Approve: some things wait for somebody's yes. It fails closed. */

import type { CallOptions, Client, Message } from "../client.js";
import { messageOf } from "../errors.js";
import { checkFunction, checkObject, checkOptions, fieldsOf } from "../util/checks.js";
import { Deferred, within } from "../util/deferred.js";
import { type Duration, optionalMs } from "../util/duration.js";
import { checkName, randomId } from "../util/names.js";
import { RecentMap, defined } from "../util/objects.js";
import { type TraceContext, traceOf } from "../util/trace.js";
import type * as wire from "../wire/types.js";
import { Live } from "./live.js";
import { pages } from "./pages.js";

export interface ApprovalSpec extends TraceContext {
  /** What is to be done, in a word or a sentence. */
  action: string;
  /** What exactly is to be approved: any JSON. */
  content?: unknown;
  /** Random if not said. With one of your own a restarted program gets the same decision. */
  id?: string;
  /** Agents, or `role:NAME`; anybody but you if not said. */
  approvers?: string[];
  quorum?: number;
  /** After that it is rejected; 15 minutes if not said. */
  timeout?: Duration;
  onTimeout?: wire.OnTimeout;
  escalateTo?: string[];
  urgency?: string;
  correlationId?: string;
}

/** The outcome of a request. */
export interface Approval<T = any> extends Omit<wire.Decision, "content"> {
  /** As approved: an approver may have edited it. */
  content: T;
}

export interface DecideOptions extends CallOptions {
  reason?: string;
  /** Of what was seen: `Conflict` if the content is another one now. Send it for people. */
  digest?: string;
}

/** A request that waits, and the means to decide it. */
export class PendingApproval<T = any> {
  readonly id: string;
  readonly requester: string;
  readonly action: string;
  readonly content: T;
  readonly approvers: readonly string[];
  readonly approvedBy: readonly string[];
  readonly quorum: number;
  readonly digest: string;
  readonly urgency: string | undefined;
  readonly requestedAt: number;
  readonly expiresAt: number;
  readonly escalated: boolean;
  /** As it came. */
  readonly message: wire.PendingApproval;
  readonly #approve: Approve;

  constructor(message: wire.PendingApproval, approve: Approve) {
    this.message = message;
    this.id = message.id;
    this.requester = message.requester;
    this.action = message.action;
    this.content = message.content as T;
    this.approvers = message.approvers;
    this.approvedBy = message.approvedBy;
    this.quorum = message.quorum;
    this.digest = message.digest;
    this.urgency = message.urgency;
    this.requestedAt = message.requestedAt;
    this.expiresAt = message.expiresAt;
    this.escalated = message.escalated ?? false;
    this.#approve = approve;
  }

  approve(options: DecideOptions & { edit?: unknown } = {}): Promise<void> {
    return this.#approve.decide(this.id, "approve", { digest: this.digest, ...options });
  }

  reject(options: DecideOptions = {}): Promise<void> {
    return this.#approve.decide(this.id, "reject", { digest: this.digest, ...options });
  }

  /** Not yet: it times out so much later. */
  defer(by?: Duration, options: DecideOptions = {}): Promise<void> {
    return this.#approve.decide(this.id, "defer", { ...options, ...(by ? { deferBy: by } : {}) });
  }
}

/** What has become of a request: it waits, or it is decided. */
export type ApprovalChange =
  { id: string; pending: PendingApproval } | { id: string; pending: undefined };

const SPEC = fieldsOf<ApprovalSpec & { signal: unknown }>({
  action: true,
  content: true,
  id: true,
  approvers: true,
  quorum: true,
  timeout: true,
  onTimeout: true,
  escalateTo: true,
  urgency: true,
  correlationId: true,
  traceparent: true,
  tracestate: true,
  signal: true,
});

export class Approve {
  readonly #client: Client;
  readonly #room: string;
  readonly #waiting = new Map<string, Deferred<Approval>>();
  readonly #seen = new RecentMap<string, true>(1_024);
  readonly #pending = new Map<string, PendingApproval>();
  readonly #changes: Live<ApprovalChange>;
  #listening = false;
  #watching: Promise<void> | undefined;

  constructor(client: Client, room: string) {
    this.#client = client;
    this.#room = room;
    this.#changes = new Live(client, `approvals of ${room}`);
  }

  /**
   * Asks, and waits for the decision: as long as that takes, for the gateway ends it by a
   * rejection. `signal` ends the wait alone; the request stands, and the same `id` waits again.
   */
  async request<T = any>(
    spec: ApprovalSpec & { signal?: AbortSignal | undefined },
    options: CallOptions = {},
  ): Promise<Approval<T>> {
    checkObject("a request", spec);
    checkOptions("a request", spec, SPEC);
    const { signal = options.signal, timeout, traceparent, tracestate, ...same } = spec;
    const id = checkName("approval id", spec.id ?? randomId());
    const trace = traceOf({ traceparent, tracestate });
    const body = defined({ ...same, ...trace, id, timeoutMs: optionalMs(timeout) });
    this.#listen();
    const decided = this.#waiting.get(id) ?? new Deferred<Approval>();
    this.#waiting.set(id, decided);
    this.#client.offer(this.#room, "approve/decision");
    const ended = new AbortController();
    try {
      const topic = `approve/request/${this.#client.agent}`;
      await this.#client.command(this.#room, topic, body, { ...options, signal });
      if (spec.id !== undefined) void this.#look(id, decided, ended.signal);
      const { over } = this.#client;
      const limits = { signals: [signal, over], what: `decision on ${id}` };
      return await within(decided.promise, limits);
    } finally {
      ended.abort();
      this.#waiting.delete(id);
    }
  }

  /** Says yes, no, or not yet. */
  async decide(
    approval: string,
    decision: "approve" | "reject" | "defer",
    options: DecideOptions & { edit?: unknown; deferBy?: Duration } = {},
  ): Promise<void> {
    const { reason, digest, edit, deferBy } = options;
    const body = { decision, reason, digest, edit, deferMs: optionalMs(deferBy) };
    const topic = `approve/decide/${this.#client.agent}/${checkName("approval id", approval)}`;
    await this.#client.command(this.#room, topic, body, options);
  }

  /** Takes a request of one's own back. */
  async cancel(approval: string, options: CallOptions & { reason?: string } = {}): Promise<void> {
    const body = { approval, reason: options.reason };
    await this.#client.command(this.#room, `approve/cancel/${this.#client.agent}`, body, options);
  }

  /** Every request that waits, then each new one (also after a change of its content). */
  async *pending(options: { signal?: AbortSignal } = {}): AsyncGenerator<PendingApproval, void> {
    for await (const change of this.watch(options)) if (change.pending) yield change.pending;
  }

  /** As `pending`, and that one is decided. */
  async *watch(options: { signal?: AbortSignal } = {}): AsyncGenerator<ApprovalChange, void> {
    const changes = this.#changes.iterate(options);
    const there = [...this.#pending.values()];
    try {
      await this.#watch();
      for (const pending of there) yield { id: pending.id, pending };
      yield* changes;
    } finally {
      await changes.return();
    }
  }

  /** Calls the handler with each request that waits for somebody. */
  onRequest(handler: (request: PendingApproval) => unknown): () => void {
    checkFunction("a handler", handler);
    const stop = this.#changes.on(
      ({ pending }) => (pending ? handler(pending) : undefined),
      ({ pending }) => pending?.message ?? {},
    );
    for (const pending of this.#pending.values()) this.#changes.call(handler, pending);
    void this.#watch().catch(() => {});
    return stop;
  }

  /** What was asked and decided, the oldest first. */
  async *audit(
    query: {
      approval?: string;
      state?: wire.ApprovalState;
      since?: number;
      until?: number;
    } = {},
    options: CallOptions = {},
  ): AsyncGenerator<wire.AuditedApproval, void> {
    const topic = `approve/audit/${this.#client.agent}`;
    const ask = (cursor?: string) =>
      this.#client.query<wire.AuditPage>(this.#room, topic, { ...query, cursor }, options);
    for await (const page of pages(ask)) yield* page.approvals;
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    this.#client.route(this.#room, "approve/decision", (message) => this.#decided(message));
    this.#client.subscribe(this.#room, `approve/decision/${this.#client.agent}`).catch(() => {});
  }

  #decided(message: Message): boolean {
    const decision = message.body<Approval>();
    const waiting = this.#waiting.get(decision.id);
    if (!waiting && !this.#seen.has(decision.id)) return false;
    this.#seen.set(decision.id, true);
    waiting?.resolve({ ...decision, content: decision.content });
    message.done();
    return true;
  }

  #watch(): Promise<void> {
    this.#watching ??= (async () => {
      this.#client.route(this.#room, "approve/pending", (message) => {
        this.#changed(message.rest[0] ?? "", message.body<wire.PendingApproval | undefined>());
        message.done();
        return true;
      });
      await this.#client.subscribe(this.#room, "approve/pending/+");
    })();
    return this.#watching;
  }

  #changed(id: string, message: wire.PendingApproval | undefined): void {
    if (message === undefined) {
      this.#pending.delete(id);
      this.#changes.emit({ id, pending: undefined });
      return;
    }
    const pending = new PendingApproval(message, this);
    this.#pending.set(id, pending);
    this.#changes.emit({ id, pending });
  }

  /** Asks whether it is decided: an earlier run of this program may have been told. */
  async #look(id: string, decided: Deferred<Approval>, ended: AbortSignal): Promise<void> {
    try {
      for await (const audited of this.audit({ approval: id }, { signal: ended })) {
        if (audited.state !== "pending") decided.resolve(decisionOf(audited));
      }
    } catch (error) {
      if (!ended.aborted) this.#client.logger.debug(`approval ${id}: ${messageOf(error)}`);
    }
  }
}

/** What the audit knows, as the decision that the requester was sent. */
function decisionOf(audited: wire.AuditedApproval): Approval {
  const last = audited.trail.at(-1);
  const approved = audited.state === "approved";
  return defined({
    id: audited.id,
    action: audited.action,
    digest: audited.digest,
    approved,
    decision: approved ? ("approve" as const) : ("reject" as const),
    by: audited.by ?? [],
    reason: last?.reason,
    content: approved ? audited.content : undefined,
    edited: audited.edited,
    decidedAt: audited.decidedAt ?? last?.at ?? 0,
    timedOut: audited.state === "timedOut",
    cancelled: audited.state === "cancelled" ? true : undefined,
  }) as Approval;
}
