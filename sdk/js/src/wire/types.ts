// Generated from schemas/ by scripts/generate-types.mjs: do not edit.

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export type Agent = string;

/** `presence/announce/{me}`: what an agent says of itself. An empty payload leaves the room. */
export interface Announcement {
  /** What it can do besides what its subscriptions offer. */
  capabilities?: Array<Capability>;
  /** Tasks at once, shared by all its capabilities; 1 if not said. */
  capacity?: number;
  /** Echoed in the reply. */
  correlationId?: string;
  /** The encoding in which it wants to be answered, everywhere, until it announces another. */
  encoding?: Encoding;
  /** Its own measure of load, 0 to 1. */
  load?: number;
  /**
   * The largest packet that it can take of what is for it alone: header, topic and payload.
   * Larger work goes to another (rounded down for that by at most an eighth), the rest is
   * refused to its sender, or comes short.
   */
  maxBytes?: number;
  /** Anything else, shown as it is. */
  metadata?: unknown;
  /** A name for people. */
  name?: string;
  /** A role, as `approvers: ["role:…"]` names it. */
  role?: string;
  /** How much work it wants; derived where not said. */
  status?: Status;
}

/** `tools/answer/{me}`: the answer to what a call's provider asked its caller. */
export interface AnswerCall {
  /** The answer; it must be what the question's schema asks for. */
  answer: unknown;
  /** Which of its questions; the one that is open if not said, and another one is 409. */
  ask?: number;
  /** The call. */
  call: CallId;
  /** Echoed in the reply. */
  correlationId?: string;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
}

/** `handoff/answer/{me}`: the answer to what a task's worker asked. */
export interface AnswerTask {
  /** The answer; it must be what the question's schema asks for. */
  answer: unknown;
  /** Which of its questions; the one that is open if not said, and another one is 409. */
  ask?: number;
  /** The attempt that asks; another one is 409. */
  attempt: number;
  /** Echoed in the reply. */
  correlationId?: string;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** The task. */
  task: TaskId;
}

export type ApprovalId = string;

/** `approve/request/{me}`: ask for a decision. */
export interface ApprovalRequest {
  /** What is to be done, in a word or a sentence. */
  action: string;
  /**
   * Who may decide: agents, users, or `role:NAME`; nobody named means anybody but the
   * requester.
   */
  approvers?: Array<string>;
  /** The call of a tool that it stands before, or is about. */
  call?: CallId;
  /** What exactly is to be approved. */
  content?: unknown;
  /** Echoed in the reply and the decision. */
  correlationId?: string;
  /** Who is asked after a time-out with `escalate`. */
  escalateTo?: Array<string>;
  /** The requester's own id; a repeat is a no-op that returns the first outcome. */
  id?: ApprovalId;
  /** What a time-out means. */
  onTimeout?: OnTimeout;
  /** How many approvals it takes; 1 if not said. */
  quorum?: number;
  /** The task that it stands before, or is about. */
  task?: TaskId;
  /** Milliseconds until it times out; the room's default if not said. */
  timeoutMs?: number;
  /** W3C Trace Context, carried to whoever decides and into the decision. */
  traceparent?: string;
  /** What vendors add to it. */
  tracestate?: string;
  /** A hint for people: `low`, `medium`, `high`, `critical`. */
  urgency?: string;
}

/**
 * What a tool or a type of tasks asks for before anything is handed over: an approval of
 * just
 * this.
 */
export interface ApprovalRule {
  /** What is to be done, in a word or a sentence; the tool's name if not said. */
  action?: string;
  /** Who may decide: agents, users, or `role:NAME`; nobody named means anybody but the caller. */
  approvers?: Array<string>;
  /** How many approvals it takes; 1 if not said. */
  quorum?: number;
  /** Milliseconds until it times out, and so is refused; the room's default if not said. */
  timeoutMs?: number;
}

/** Where an approval stands. */
export type ApprovalState = "pending" | "approved" | "rejected" | "timedOut" | "cancelled";

/** `handoff/work/{capability}`: the task, for exactly one worker. */
export interface Assignment {
  /**
   * What came of the questions that were asked of the task so far, in their order. Left out
   * where the assignment would be larger with them than its worker takes.
   */
  answers?: Array<GivenAnswer>;
  /** The fencing token: every update must carry it. */
  attempt: number;
  /** What it needs. */
  capabilities: Array<Capability>;
  /** As dispatched. */
  correlationId?: string;
  /** When it was dispatched, Unix milliseconds. */
  createdAt: number;
  /** When it expires, Unix milliseconds. */
  deadline?: number;
  /** Who wants it done. */
  dispatcher: Agent;
  /**
   * What was said last of it, by a worker that had it before: with `progress`, `error` or
   * `release`. Left out where the assignment would be larger with it than its worker takes.
   */
  lastProgress?: unknown;
  /** Milliseconds that the worker may be silent; any update starts them anew. */
  leaseMs: number;
  /** As dispatched. */
  payload?: unknown;
  /** As dispatched. */
  priority: Priority;
  /** The task. */
  task: TaskId;
  /** As dispatched. */
  traceparent?: string;
  /** As dispatched. */
  tracestate?: string;
  /** What kind of task. */
  type: TaskType;
}

/** How an attempt came to its end. */
export type AttemptOutcome = "succeeded" | "failed" | "released" | "lost" | "expired" | "cancelled";

/** One attempt at a task. */
export interface AttemptView {
  /** When it was assigned, Unix milliseconds. */
  assignedAt: number;
  /** Its number, the fencing token. */
  attempt: number;
  /** When it ended, Unix milliseconds; absent while it goes on. */
  endedAt?: number;
  /** What went wrong, shortened. */
  error?: string;
  /** How it ended. */
  outcome?: AttemptOutcome;
  /** Who had it. */
  worker: Agent;
}

/** What somebody did about an approval. */
export type AuditAct = 
  | "requested"
  | "approved"
  | "edited"
  | "rejected"
  | "deferred"
  | "escalated"
  | "timedOut"
  | "cancelled";

/** One line of an approval's audit trail. */
export interface AuditEntry {
  /** What. */
  act: AuditAct;
  /** When, Unix milliseconds. */
  at: number;
  /** The digest of what it was about, where that is new. */
  digest?: string;
  /** Why. */
  reason?: string;
  /** Who; `gateway` where it was the time. */
  who: Agent;
}

/** A page of approvals. */
export interface AuditPage {
  /** Oldest first. */
  approvals: Array<AuditedApproval>;
  /** Where the next page begins, if there may be more. */
  cursor?: string;
}

/** `approve/audit/{me}`: look approvals up, oldest first; answered in the reply's `data`. */
export interface AuditQuery {
  /** Just this one. */
  approval?: ApprovalId;
  /** Echoed in the reply. */
  correlationId?: string;
  /** Where the page before ended: its `cursor`. */
  cursor?: string;
  /** At most so many. */
  limit?: number;
  /** Those asked at this time or later, Unix milliseconds. */
  since?: number;
  /** Those in this state. */
  state?: ApprovalState;
  /** Those asked before this time, Unix milliseconds. */
  until?: number;
}

/**
 * An approval as the audit shows it. Contents are in it where one approval was asked for;
 * the
 * digest says which one it was.
 */
export interface AuditedApproval {
  /** What for. */
  action: string;
  /** Who may decide, or might last. */
  approvers: Array<string>;
  /** Who decided. */
  by?: Array<Agent>;
  /** The call of a tool that it stands before, or is about. */
  call?: CallId;
  /** The content as it was last, approved or not; only where just this approval was asked for. */
  content?: unknown;
  /** There is no room for the content any more, or none in this answer. */
  contentOmitted?: boolean;
  /** When it was decided, Unix milliseconds. */
  decidedAt?: number;
  /** Of the content as it was last. */
  digest: string;
  /** Whether an approver changed the content. */
  edited: boolean;
  /** When it times out, or would have, Unix milliseconds. */
  expiresAt: number;
  /** The approval. */
  id: ApprovalId;
  /** How many approvals it takes. */
  quorum: number;
  /** When it was asked, Unix milliseconds. */
  requestedAt: number;
  /** Who asked. */
  requester: Agent;
  /** Where it stands. */
  state: ApprovalState;
  /** The task that it stands before, or is about. */
  task?: TaskId;
  /** Everything that happened to it, in order. */
  trail: Array<AuditEntry>;
}

/** How long a task waits before its next attempt. */
export interface Backoff {
  /** Each wait is the last one times this; 1 or more. */
  factor: number;
  /** Before the second attempt, in milliseconds. */
  initialMs: number;
  /** No wait is longer, in milliseconds. */
  maxMs: number;
}

export type CallId = string;

/** `tools/cancelled/{provider}`: a call that its provider need not answer any more. */
export interface CallOver {
  /** When, Unix milliseconds. */
  at: number;
  /** The call. */
  call: CallId;
  /**
   * As the caller is told: `cancelled`, `timeout` …; `rerouted` if another provider has it
   * now.
   */
  code: string;
  /** In words. */
  reason: string;
  /**
   * In place of a message of so many bytes, which is more than its reader takes: something has
   * been left out, or cut short.
   */
  tooLarge?: number;
  /** The tool. */
  tool: Tool;
}

/** Where a call stands. */
export type CallState = "approving" | "running" | "asking" | "success" | "error";

/** A call as `tools/get` shows it. */
export interface CallView {
  /** The approval that it waits for. */
  approval?: ApprovalId;
  /**
   * As the caller gave them; where they were asked for, as long as another provider may get
   * the
   * call.
   */
  arguments?: unknown;
  /** The call. */
  call: CallId;
  /** When it was called, Unix milliseconds. */
  calledAt: number;
  /** Who called. */
  caller: Agent;
  /** When its time is over, or would have been, Unix milliseconds. */
  deadline: number;
  /** When it ended, Unix milliseconds; absent while it runs. */
  endedAt?: number;
  /** Why it came to nothing. */
  error?: ToolError;
  /** Who has it, or had it last; `gateway` where it was not approved, or not yet. */
  provider: Agent;
  /** Its final result, as its provider gave it. */
  result?: unknown;
  /**
   * It had a result, or an error that said more, for which there is no room any more, or none
   * in
   * this answer.
   */
  resultOmitted?: boolean;
  /** Where it stands. */
  state: CallState;
  /** The tool. */
  tool: Tool;
}

/**
 * `handoff/cancel/{me}`: either a task, with all that belongs to it, or a group of one's
 * own.
 */
export interface Cancel {
  /** Echoed in the reply. */
  correlationId?: string;
  /** The group: what has not ended of it is cancelled, and its result comes with what there is. */
  group?: string;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** Why. */
  reason?: string;
  /** The task. */
  task?: TaskId;
}

/** `approve/cancel/{me}`: take one's own request back. */
export interface CancelApproval {
  /** The approval. */
  approval: ApprovalId;
  /** Echoed in the reply. */
  correlationId?: string;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** Why. */
  reason?: string;
}

/** `tools/cancel/{me}`: end one's own call. */
export interface CancelCall {
  /** The call. */
  call: CallId;
  /** Echoed in the reply. */
  correlationId?: string;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** Why. */
  reason?: string;
}

export type Capability = string;

/** `room/close/{me}` and `room/open/{me}`; may be empty. */
export interface CloseRoom {
  /** Echoed in the reply. */
  correlationId?: string;
  /** Echoed in the reply; a repeat changes nothing. */
  id?: CommandId;
  /** Why, for the room's event. */
  reason?: string;
}

/** A refusal's or an acceptance's number. */
export type Code = number;

export type CommandId = string;

/** Whether the gateway holds the agent's connection. */
export type ConnectionState = "online" | "away" | "offline";

/** `approve/decide/{me}/{id}`: one approver's word. */
export interface Decide {
  /** Echoed in the reply. */
  correlationId?: string;
  /** `approve`; `defer` asks for more time; anything else is a rejection. */
  decision: string;
  /**
   * With `defer`: milliseconds from now until it times out; the request's own time-out if not
   * said.
   */
  deferMs?: number;
  /** The digest of what was seen; a mismatch is 409. */
  digest?: string;
  /** The content as it should be instead. */
  edit?: unknown;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** Why. */
  reason?: string;
}

/** `approve/decision/{requester}`: the outcome, exactly once per approval. */
export interface Decision {
  /** What was asked for. */
  action?: string;
  /** Whether to go ahead. */
  approved: boolean;
  /** Who decided; empty for a time-out. */
  by: Array<Agent>;
  /** Whether the requester took it back. */
  cancelled?: boolean;
  /** The content as approved, edited or not. */
  content?: unknown;
  /** Echoed from the request. */
  correlationId?: string;
  /** When, Unix milliseconds. */
  decidedAt: number;
  /** The same in a word. */
  decision: Verdict;
  /**
   * SHA-256 over the canonical JSON (RFC 8785) of `{action, content}` as decided on, in
   * hexadecimal.
   */
  digest?: string;
  /** Whether an approver changed the content. */
  edited: boolean;
  /** Whether it was asked again of `escalateTo`. */
  escalated?: boolean;
  /** The approval. */
  id: ApprovalId;
  /** The last decider's reason, or that it timed out. */
  reason?: string;
  /** Whether the time ran out. */
  timedOut: boolean;
  /**
   * In place of a message of so many bytes, which is more than its reader takes: something has
   * been left out, or cut short.
   */
  tooLarge?: number;
  /** W3C Trace Context, from the request. */
  traceparent?: string;
  /** What vendors add to it. */
  tracestate?: string;
}

/** `blackboard/delete/{me}/{key…}`: remove a key. An empty payload means no condition. */
export interface Delete {
  /** Echoed in the reply. */
  correlationId?: string;
  /** Delete only while this lock is held under this token. */
  fence?: Fence;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** Delete only if this is the key's version. */
  ifVersion?: number;
}

/** Somebody who was in the room. */
export interface Departed {
  /** The agent. */
  agent: Agent;
  /** When it last did something there, Unix milliseconds. */
  lastSeen: number;
  /** When it left, or its session was over, Unix milliseconds. */
  leftAt: number;
  /** As announced. */
  name?: string;
  /** As announced. */
  role?: string;
  /** It was in the room since, Unix milliseconds. */
  since: number;
}

/**
 * `data` of the reply that stands for refusals which had to give way, because their reader
 * had
 * `mailbox.max_replies` to read already. Its `command` is `reply`, its `code` that of the
 * last.
 */
export interface DroppedRefusals {
  /** How many. */
  dropped: number;
  /** The first one's `id`, or its `correlationId` where it had none. */
  firstId?: string;
  /** The last one's. */
  lastId?: string;
}

/** Which encoding an agent wants to be answered in. */
export type Encoding = "json" | "cbor";

/** `blackboard/state/{key…}`: a key as it stands (retained; an empty payload means deleted). */
export interface Entry {
  /** When it deletes itself, Unix milliseconds. */
  expiresAt?: number;
  /** The key. */
  key: Key;
  /** Counts the writes of the room. */
  revision: number;
  /** When it was written, Unix milliseconds. */
  updatedAt: number;
  /** Who wrote it. */
  updatedBy: Agent;
  /** The value, as its writer wrote it. */
  value: unknown;
  /** Counts the writes of this key: from 1, +1 each, never reused after a delete. */
  version: number;
}

/** `observe/events/gateway/{category}`: one state change of one pattern. */
export interface Event {
  /** When, Unix milliseconds. */
  at: number;
  /** Particulars: attempt, worker, version, reason … */
  detail?: unknown;
  /** The state before, where there was one. */
  from?: string;
  /** Of an agent's own event: what it said, where that is JSON or CBOR and not too large. */
  payload?: unknown;
  /** Where. */
  room: Room;
  /** Counts the events of the room, from 1, without a gap. */
  seq: number;
  /** The task, key, approval, agent, tool or call that it happened to. */
  subject: string;
  /** The state after, where there is one. */
  to?: string;
  /** W3C trace context, carried from the dispatch. */
  traceparent?: string;
  /** What happened, as `pattern.transition`: `handoff.assigned`. */
  what: string;
  /** Who caused it. */
  who: Agent;
}

/**
 * Lets a write take effect only while a lock is held under a token: one of an earlier holder
 * is
 * refused.
 */
export interface Fence {
  /** The lock. */
  lock: LockName;
  /** The token that the lock command returned. */
  token: number;
}

/**
 * `blackboard/get/{me}`: a consistent snapshot of every key under a prefix, in the reply's
 * `data`.
 */
export interface Get {
  /** Echoed in the reply. */
  correlationId?: string;
  /** Whether to list the locks that are held now, too. */
  locks?: boolean;
  /** The key, or the segments that keys begin with; absent means all keys of the room. */
  prefix?: Key;
  /**
   * The room as it was at this revision, as far as the history of its keys reaches; absent
   * means
   * as it is now.
   */
  revision?: number;
}

/** `tools/get/{me}`: one call as it stands, in the reply's `data`. */
export interface GetCall {
  /** Whether its arguments are wanted, too. */
  arguments?: boolean;
  /** The call. */
  call: CallId;
  /** Echoed in the reply. */
  correlationId?: string;
}

/** `blackboard/history/{me}`: the last versions of a key, in the reply's `data`. */
export interface GetHistory {
  /** Echoed in the reply. */
  correlationId?: string;
  /** The key. */
  key: Key;
  /** How many versions at most, the newest; absent means all that are kept. */
  limit?: number;
}

/** `handoff/get/{me}`: one task as it stands, in the reply's `data`. */
export interface GetTask {
  /** Echoed in the reply. */
  correlationId?: string;
  /** Whether its payload is wanted, too. */
  payload?: boolean;
  /** The task. */
  task: TaskId;
}

/** What came of a question: an answer, or none in time. */
export interface GivenAnswer {
  /** What was answered; absent where nobody did in time. */
  answer?: unknown;
  /** Which question of the task or call it was, counted from 1. */
  ask: number;
  /** Nobody answered in time. */
  timedOut?: boolean;
}

/** How a task of a group ended. */
export interface GroupEntry {
  /** How many attempts there were. */
  attempts: number;
  /** What went wrong, where something did. */
  error?: TaskError;
  /** Its result or error had no room here; the task's own result has it. */
  omitted?: boolean;
  /** What the worker returned. */
  result?: unknown;
  /** How it ended. */
  status: ResultStatus;
  /** The task. */
  task: TaskId;
  /** What kind of task. */
  type: TaskType;
  /** Who had it last. */
  worker?: Agent;
}

/**
 * `handoff/result/{dispatcher}`: all results of a group, when the last of its tasks has
 * ended.
 */
export interface GroupResult {
  /** When this result came about, Unix milliseconds. */
  at: number;
  /** Whether all its tasks were dispatched; if not, no further one came for too long. */
  complete: boolean;
  /** Always: a group has one result. */
  final: boolean;
  /** The group's name. */
  group: string;
  /** How many tasks it was to have. */
  size: number;
  /** `group`. */
  status: GroupStatus;
  /** How each ended, in the order in which they were dispatched. */
  tasks: Array<GroupEntry>;
  /**
   * In place of a message of so many bytes, which is more than its reader takes: something has
   * been left out, or cut short.
   */
  tooLarge?: number;
}

/** Tells a group's result from a task's. */
export type GroupStatus = "group";

/** What `blackboard/history` answers in the reply's `data`. */
export interface History {
  /** The key. */
  key: Key;
  /** Its versions, oldest first. */
  versions: Array<Version>;
}

export type Key = string;

/** A key without its value. */
export interface KeyLine {
  /** How many bytes its value has as JSON. */
  bytes: number;
  /** When it deletes itself, Unix milliseconds. */
  expiresAt?: number;
  /** The key. */
  key: Key;
  /** The room's revision that the last write made. */
  revision: number;
  /** When it was written last, Unix milliseconds. */
  updatedAt: number;
  /** By whom. */
  updatedBy: Agent;
  /** Counts the writes of the key. */
  version: number;
}

/** `data` of the reply to a list of keys. */
export interface KeyPage {
  /** Where the next page begins, if there may be more. */
  cursor?: string;
  /** Keys that have a value, by name. */
  keys: Array<KeyLine>;
  /** The room's revision: if it is another one on the next page, something was written between. */
  revision: number;
}

/** `blackboard/list/{me}`: which keys there are, without their values, a page at a time. */
export interface ListKeys {
  /** Echoed in the reply. */
  correlationId?: string;
  /** From an earlier page: where this one begins. */
  cursor?: string;
  /** Keys in one answer at most. */
  limit?: number;
  /** The key, or the segments that keys begin with; absent means all keys of the room. */
  prefix?: Key;
}

/**
 * `handoff/list/{me}`: a page of the room's tasks, in the reply's `data`. All conditions
 * must
 * hold.
 */
export interface ListTasks {
  /** Only tasks that ask for this capability. */
  capability?: Capability;
  /** Echoed in the reply. */
  correlationId?: string;
  /** Only tasks dispatched then or later, Unix milliseconds. */
  createdAfter?: number;
  /** Only tasks dispatched earlier than that, Unix milliseconds. */
  createdBefore?: number;
  /** From the page before, with the same conditions. */
  cursor?: string;
  /** Only tasks of this dispatcher. */
  dispatcher?: Agent;
  /** Tasks on the page at most. */
  limit?: number;
  /** The youngest first; else the oldest. */
  newestFirst?: boolean;
  /** Only tasks in this state, or in one of these. */
  state?: States;
  /** Only tasks of this type. */
  type?: TaskType;
}

/**
 * `blackboard/lock/{me}/{name}`: take a lock, or renew the lease on one that the writer
 * holds. May
 * be empty.
 *
 * It is always answered: at once, or where it waits when it holds the lock (200) or has
 * given up
 * (408).
 */
export interface Lock {
  /** Echoed in the reply. */
  correlationId?: string;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** Only renew, and only if the lock is still held under this token. */
  token?: number;
  /** Milliseconds after which the lock is free again, unless it is renewed. */
  ttlMs?: number;
  /** Wait while another holds it, in the order of asking; else that is 409. */
  wait?: boolean;
  /** Milliseconds to wait at most; it says `wait`, too. */
  waitMs?: number;
}

export type LockName = string;

/** A lock that somebody holds. */
export interface LockState {
  /** When the lease ends, Unix milliseconds. */
  expiresAt: number;
  /** Who holds it. */
  holder: Agent;
  /** The lock. */
  name: LockName;
  /** The fencing token: larger than every earlier one, of any lock of the room. */
  token: number;
  /** How many wait for it. */
  waiting: number;
}

/** One message that waits. */
export interface Mail {
  /** Its payload's bytes. */
  bytes: number;
  /** When it is dropped undelivered, Unix milliseconds. */
  expiresAt?: number;
  /** What it is. */
  kind: MailKind;
  /** Whether it has been sent on the present connection and waits for its acknowledgement. */
  sent?: boolean;
  /** Its number in the mailbox. */
  seq: number;
  /** Where it will arrive. */
  topic: string;
}

/** What kind of directed message waits. */
export type MailKind = "inbox" | "assignment" | "result" | "decision" | "reply";

/**
 * `mailbox/list/{me}`, or `mailbox/list/{me}/{agent}` for another's: asks what waits from
 * this
 * room, a page at a time.
 */
export interface MailboxList {
  /** The page behind the message of this number. */
  after?: number;
  /** Echoed in the reply. */
  correlationId?: string;
  /** Only this kind. */
  kind?: MailKind;
  /** Messages in one answer at most. */
  limit?: number;
}

/** `data` of the reply to a list. */
export interface MailboxPage {
  /** Whose mailbox. */
  agent: Agent;
  /** What waits from this room, oldest first. */
  mail: Array<Mail>;
  /** `after` of the next page, where there is more. */
  next?: number;
}

/**
 * `mailbox/purge/{me}`, or `mailbox/purge/{me}/{agent}` for another's: takes out what waits
 * from
 * this room. One of `seqs`, `kind` and `all` says what.
 */
export interface MailboxPurge {
  /** Everything. */
  all?: boolean;
  /** Echoed in the reply. */
  correlationId?: string;
  /** A repeat takes out nothing more. */
  id?: CommandId;
  /** All of this kind. */
  kind?: MailKind;
  /** These messages. */
  seqs?: Array<number>;
}

/** What happens when nobody decides in time. */
export type OnTimeout = "reject" | "approve" | "escalate";

/** One operation of a transaction. */
export interface Op {
  /** Only if this is the key's version; 0 means only if it is absent. A `check` needs it. */
  ifVersion?: number;
  /** To which key. */
  key: Key;
  /** With `set`: apply `value` as a JSON Merge Patch (RFC 7396) instead of replacing. */
  merge?: boolean;
  /** What it does. */
  op: OpKind;
  /** With `set`: milliseconds after which the key deletes itself. */
  ttlMs?: number;
  /** With `set`, the new value; `null` is a value. */
  value?: unknown;
}

/** What an operation of a transaction does. */
export type OpKind = "set" | "delete" | "check";

/**
 * `handoff/asking/{task}`: a question that awaits its answer, for whoever may give it;
 * empty: it
 * has one, or needs none any more.
 */
export interface OpenQuestion {
  /** Who may answer besides the dispatcher: agents, or `role:NAME`. */
  answerers?: Array<string>;
  /** Which question of the task this is, counted from 1. */
  ask: number;
  /** When it was asked, Unix milliseconds. */
  askedAt: number;
  /** The attempt that asks: an answer must carry it. */
  attempt: number;
  /** Who dispatched the task. */
  dispatcher: Agent;
  /** When nobody waits for the answer any more, Unix milliseconds. */
  expiresAt: number;
  /** What is asked. */
  question: unknown;
  /** What the answer must look like: a JSON Schema. */
  schema?: unknown;
  /** The task. */
  task: TaskId;
  /** As dispatched. */
  traceparent?: string;
  /** As dispatched. */
  tracestate?: string;
  /** What kind of task. */
  type: TaskType;
  /** Who asks. */
  worker: Agent;
}

/** `approve/pending/{id}`: what awaits a decision (retained; cleared when decided). */
export interface PendingApproval {
  /** What is to be done. */
  action: string;
  /** Who approved so far. */
  approvedBy: Array<Agent>;
  /** Who may decide; empty means anybody but the requester. */
  approvers: Array<string>;
  /** The call of a tool that it stands before, or is about. */
  call?: CallId;
  /** What exactly is to be approved. */
  content?: unknown;
  /** SHA-256, in hexadecimal, over the canonical JSON (RFC 8785) of `{action, content}`. */
  digest: string;
  /** Whether it timed out once and was asked again of `escalateTo`. */
  escalated?: boolean;
  /** When it times out, Unix milliseconds. */
  expiresAt: number;
  /** The approval. */
  id: ApprovalId;
  /** How many approvals it takes. */
  quorum: number;
  /** When it was asked, Unix milliseconds. */
  requestedAt: number;
  /** Who asks. */
  requester: Agent;
  /** The task that it stands before, or is about. */
  task?: TaskId;
  /** W3C Trace Context, from the request. */
  traceparent?: string;
  /** What vendors add to it. */
  tracestate?: string;
  /** A hint for people. */
  urgency?: string;
}

/** `presence/agent/{agent}`: the merged truth about an agent in a room (retained). */
export interface Presence {
  /** The agent. */
  agent: Agent;
  /** Announced and subscribed, in order. */
  capabilities: Array<Capability>;
  /** Tasks at once. */
  capacity: number;
  /** Whether it is connected. */
  connection: ConnectionState;
  /** Tasks that it holds now in this room. */
  inFlight: number;
  /**
   * When the gateway last changed this record for something that the agent did, Unix
   * milliseconds.
   */
  lastSeen: number;
  /** As announced. */
  load?: number;
  /** As announced. */
  metadata?: unknown;
  /** As announced. */
  name?: string;
  /** As announced. */
  role?: string;
  /** In the room since, Unix milliseconds. */
  since: number;
  /** Announced or derived. */
  status: Status;
}

/** `presence/list/{me}`: asks who is in the room, in one consistent look, a page at a time. */
export interface PresenceList {
  /** The page after this agent. */
  after?: Agent;
  /** Only those that offer or announce it. */
  capability?: Capability;
  /** Only those whose connection is so. */
  connection?: ConnectionState;
  /** Echoed in the reply. */
  correlationId?: string;
  /**
   * In place of those who are there: those who have left, as long as they are remembered.
   * `status`, `connection` and `capability` say nothing about them.
   */
  departed?: boolean;
  /** Agents in one answer at most. */
  limit?: number;
  /** Only those with this role. */
  role?: string;
  /** Only those with this status. */
  status?: Status;
}

/** Which task goes first. */
export type Priority = "low" | "medium" | "high" | "critical";

/** `data` of the reply to a purge. */
export interface Purged {
  /** Whether there may be more: say it again. */
  more: boolean;
  /** How many messages were taken out. */
  purged: number;
}

/**
 * `handoff/redrive/{me}`: queue a dead task again, or the dead tasks of a type; each ends
 * with
 * another final result.
 */
export interface Redrive {
  /** Echoed in the reply. */
  correlationId?: string;
  /**
   * With `type`: from the answer to the command before, to go on behind what that one looked
   * at.
   */
  cursor?: string;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** With `type`: how many at most. */
  limit?: number;
  /** This one task. */
  task?: TaskId;
  /** The dead tasks of this type, oldest first. */
  type?: TaskType;
}

/** What a redrive by type came to, in the reply's `data`. */
export interface Redriven {
  /** Where the next command is to go on; absent when all were looked at. */
  cursor?: string;
  /** Tasks that were queued again. */
  redriven: number;
  /** Dead tasks of the type that were not looked at; without skipped ones. */
  remaining: number;
  /** Dead tasks that were looked at and had to stay. */
  skipped: number;
  /** Why they had to. */
  skippedBecause?: Array<Skipped>;
}

/**
 * `tools/register/{me}/{tool}`: say what a tool is, and that one provides it. An empty
 * payload
 * withdraws.
 */
export interface Registration {
  /** Hints as MCP has them (`ToolAnnotations`); shown, not interpreted. */
  annotations?: unknown;
  /** Each call waits for an approval of just its arguments, which the gateway asks for. */
  approval?: ApprovalRule;
  /** Echoed in the reply. */
  correlationId?: string;
  /** What it does, for whoever chooses a tool. */
  description: string;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** Whether a call may be run twice: if its provider vanishes, another one is asked. */
  idempotent?: boolean;
  /** JSON Schema of the arguments. */
  inputSchema: unknown;
  /** JSON Schema of the result, an object; results are not checked where there is none. */
  outputSchema?: unknown;
  /** Milliseconds that a call may take where the caller does not say. */
  timeoutMs?: number;
  /** A name for people. */
  title?: string;
}

/**
 * `observe/replay/{me}`: asks for the past of the room, a page at a time. It begins at the
 * oldest
 * event that is kept, where neither `fromSeq` nor `since` says otherwise.
 */
export interface Replay {
  /** Echoed in the reply. */
  correlationId?: string;
  /** Which events: a topic filter below the room, `observe/events/gateway/handoff`. */
  filter?: string;
  /** The first event wanted, by its number. */
  fromSeq?: number;
  /** Events in one answer at most. */
  limit?: number;
  /** In place of `fromSeq`: the first time wanted, Unix milliseconds. */
  since?: number;
  /** The first time that is not wanted any more, Unix milliseconds. */
  until?: number;
}

/** `data` of the reply to a replay: one page of the past. */
export interface ReplayPage {
  /** Whether everything that was asked for is still kept; if not, it begins at `oldest`. */
  complete: boolean;
  /** Whether there is nothing more, at present or before `until`. */
  end: boolean;
  /**
   * In the order of their numbers. There may be none though there are more pages: what matches
   * lies further on.
   */
  events: Array<Event>;
  /** The newest event of the room; 0 where there was none. */
  newest: number;
  /**
   * `fromSeq` of the next page; after the last one the number of the next event that will
   * happen.
   */
  next: number;
  /** The oldest event that is kept; `newest` and one more where none is. */
  oldest: number;
}

/**
 * What the gateway answers on `reply/{me}`.
 *
 * An accepted command is answered if it carried an `id` or a `correlationId`, a rejected one
 * always.
 */
export interface Reply {
  /** The approval concerned. */
  approval?: ApprovalId;
  /** The tool call concerned. */
  call?: CallId;
  /** HTTP's number for it. */
  code: Code;
  /** The command, by its topic: `handoff/dispatch`. */
  command: string;
  /** Echoed from the command. */
  correlationId?: string;
  /** The entry as it stands, with a 409 of the blackboard. */
  current?: Entry;
  /** What a query found. */
  data?: unknown;
  /** The command's own id, echoed. */
  id?: CommandId;
  /** The lock that is held now, or that is in the way. */
  lock?: LockState;
  /** The field that is to blame, where one is. */
  path?: string;
  /** In words, with every rejection. */
  reason?: string;
  /** The room's revision after a blackboard write, or of a snapshot. */
  revision?: number;
  /** Accepted or rejected. */
  status: ReplyStatus;
  /** The task concerned. */
  task?: TaskId;
  /**
   * In place of a message of so many bytes, which is more than its reader takes: something has
   * been left out, or cut short.
   */
  tooLarge?: number;
  /** The version that a blackboard write made. */
  version?: number;
  /** What a transaction made of each key that it wrote, in the order of its operations. */
  versions?: Array<Written>;
}

/** Whether a command was taken. */
export type ReplyStatus = "accepted" | "rejected";

/** How a result says it ended, or that it did not yet. */
export type ResultStatus = "partial" | "input" | "succeeded" | "dead" | "expired" | "cancelled";

/** What a provider's answer, and its caller's result, is. */
export type ReturnStatus = "success" | "error" | "partial" | "input";

/** `data` of the reply to a list: who is there, or was. */
export interface Roll {
  /** Those who are there, by name; empty where those who have left were asked for. */
  agents: Array<Presence>;
  /** When it was so, Unix milliseconds. */
  at: number;
  /** Those who have left, by name, where they were asked for. */
  departed: Array<Departed>;
  /** `after` of the next page, where there is more. */
  next?: Agent;
  /** How many agents are in the room, whatever was asked for. */
  present: number;
}

export type Room = string;

/** `blackboard/set/{me}/{key…}`: write a key. */
export interface Set {
  /** Echoed in the reply. */
  correlationId?: string;
  /** Write only while this lock is held under this token. */
  fence?: Fence;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** Write only if this is the key's version; 0 means only if it is absent. */
  ifVersion?: number;
  /** Apply `value` as a JSON Merge Patch (RFC 7396) instead of replacing. */
  merge?: boolean;
  /** Milliseconds after which the key deletes itself. */
  ttlMs?: number;
  /** The new value; `null` is a value. */
  value: unknown;
}

/** Why a redrive by type left dead tasks where they are. */
export interface Skipped {
  /**
   * As if that one task had been redriven: 408 out of time, 409 what it is tied to, 429 no
   * room
   * for it or for its result.
   */
  code: Code;
  /** How many. */
  count: number;
  /** In words, of the first of them. */
  reason: string;
}

/** What `blackboard/get` answers in the reply's `data`. */
export interface Snapshot {
  /** The keys, in order. */
  entries: Array<Entry>;
  /** The locks that are held now, by name, if they were asked for. */
  locks?: Array<LockState>;
  /** The room's revision that it shows. */
  revision: number;
}

/** One state or several. */
export type States = TaskState | Array<TaskState>;

/** How much work an agent wants, as it says or as the gateway derives it. */
export type Status = "idle" | "busy" | "overloaded" | "draining";

/** `handoff/dispatch/{me}`: hand a task to whoever can do it. */
export interface Task {
  /** The same value prefers the same worker. */
  affinity?: string;
  /** Besides, the worker must be able to do one of these. */
  anyOf?: Array<Capability>;
  /** The wait between attempts. */
  backoff?: Backoff;
  /** What the worker must be able to do, all of it; the type alone if not said. */
  capabilities?: Array<Capability>;
  /** Echoed in the reply and in every result. */
  correlationId?: string;
  /** Tasks of the room that must succeed first; one that ends otherwise fails this one. */
  dependsOn?: Array<TaskId>;
  /** Tasks of one group are gathered into one group result. */
  group?: string;
  /** How many tasks the group has; with the first of them at least. */
  groupSize?: number;
  /** The dispatcher's own id; a repeat is a no-op that returns the first outcome. */
  id?: TaskId;
  /** Milliseconds that a worker may be silent. */
  leaseMs?: number;
  /** Attempts before it is dead. */
  maxAttempts?: number;
  /** How often one attempt is sent to its worker before it counts as lost. */
  maxDeliveries?: number;
  /** Milliseconds to wait before the first attempt. */
  notBeforeMs?: number;
  /** The task that this one belongs to; cancelling that one cancels this. */
  parent?: TaskId;
  /** What the worker gets, as it is. */
  payload?: unknown;
  /** Which goes first. */
  priority?: Priority;
  /** Refuse with 503 if nobody online can do it, instead of waiting. */
  requireOnline?: boolean;
  /** W3C trace context, carried to the worker, the events and the result. */
  traceparent?: string;
  /** W3C trace state, carried along. */
  tracestate?: string;
  /** Milliseconds after which it expires unless it ended. */
  ttlMs?: number;
  /** What kind of task. */
  type: TaskType;
}

/** What went wrong. */
export interface TaskError {
  /** A short name of the error. */
  code?: string;
  /** In words. */
  message: string;
  /** Whether another attempt may help; true if not said. */
  retryable?: boolean;
}

export type TaskId = string;

/**
 * What `handoff/list` shows. A page may have fewer tasks than its limit, even none, and
 * still not
 * be the last.
 */
export interface TaskPage {
  /** Where the next page begins; absent on the last one. */
  cursor?: string;
  /** The tasks, without their histories. */
  tasks: Array<TaskView>;
}

/** `handoff/result/{dispatcher}`: exactly one final one per task, and partial ones before it. */
export interface TaskResult {
  /** With `input`: which question of the task this is, counted from 1. */
  ask?: number;
  /** When this result came about, Unix milliseconds. */
  at: number;
  /** How many attempts there were; with `input` the one that asks. */
  attempts: number;
  /** As dispatched. */
  correlationId?: string;
  /** When it was dispatched, Unix milliseconds. */
  createdAt: number;
  /** What went wrong, where something did. */
  error?: TaskError;
  /** With `input`: when nobody waits for the answer any more, Unix milliseconds. */
  expiresAt?: number;
  /** Whether this is the one final result. */
  final: boolean;
  /** Which partial result of the task this is, counted from 1. */
  part?: number;
  /** With `input`: what is asked. */
  question?: unknown;
  /** What the worker returned. */
  result?: unknown;
  /** With `input`: what the answer must look like, a JSON Schema. */
  schema?: unknown;
  /** How it ended, or `partial`, or `input`. */
  status: ResultStatus;
  /** The task. */
  task: TaskId;
  /**
   * In place of a message of so many bytes, which is more than its reader takes: something has
   * been left out, or cut short.
   */
  tooLarge?: number;
  /** As dispatched. */
  traceparent?: string;
  /** As dispatched. */
  tracestate?: string;
  /** What kind of task. */
  type: TaskType;
  /** Who had it last. */
  worker?: Agent;
}

/** Where a task stands. */
export type TaskState = 
  | "waiting"
  | "queued"
  | "assigned"
  | "running"
  | "asking"
  | "succeeded"
  | "dead"
  | "expired"
  | "cancelled";

export type TaskType = string;

/** A task as `handoff/get` and `handoff/list` show it. */
export interface TaskView {
  /** What came of the questions before. Only in the answer to `handoff/get`. */
  answers?: Array<GivenAnswer>;
  /** Of which it needs one besides. */
  anyOf?: Array<Capability>;
  /** The approval that it waits for. */
  approval?: ApprovalId;
  /** What its worker waits to be answered. Only in the answer to `handoff/get`. */
  asking?: OpenQuestion;
  /** The attempt that it is at; 0 before the first. */
  attempt: number;
  /** The size of its assignment as a packet: what `maxBytes` of a worker is held against. */
  bytes?: number;
  /** What it needs, all of it. */
  capabilities: Array<Capability>;
  /** When it was dispatched, Unix milliseconds. */
  createdAt: number;
  /** When it expires, Unix milliseconds. */
  deadline?: number;
  /** What it depends on. */
  dependsOn?: Array<TaskId>;
  /** Who dispatched it. */
  dispatcher: Agent;
  /**
   * When it may be handed out at the earliest, Unix milliseconds; for one that waits for its
   * delay or backoff.
   */
  dueAt?: number;
  /** What went wrong last. */
  error?: TaskError;
  /** The group that it is of. */
  group?: string;
  /**
   * Its attempts, oldest first; only the latest where there were many. Only in the answer to
   * `handoff/get`.
   */
  history?: Array<AttemptView>;
  /** What its worker said last of how far it is. Only in the answer to `handoff/get`. */
  lastProgress?: unknown;
  /** Attempts before it is dead. */
  maxAttempts: number;
  /** The task that it belongs to. */
  parent?: TaskId;
  /** As dispatched; where it was asked for, as long as the task may be handed out. */
  payload?: unknown;
  /** Which goes first. */
  priority: Priority;
  /** Its final result, as its worker gave it. Only in the answer to `handoff/get`. */
  result?: unknown;
  /** It had a result, for which there is no room any more, or none in this answer. */
  resultOmitted?: boolean;
  /** Where it stands. */
  state: TaskState;
  /** The task. */
  task: TaskId;
  /** What kind of task. */
  type: TaskType;
  /** When it last changed, Unix milliseconds. */
  updatedAt: number;
  /** What of that it still waits for. */
  waitsFor?: Array<TaskId>;
  /** Who has it, or had it last. */
  worker?: Agent;
}

export type Tool = string;

/** `tools/call/{me}/{tool}`: have a tool run. */
export interface ToolCall {
  /** What the provider gets, as it is; `{}` if not said. */
  arguments?: unknown;
  /** Echoed in the reply, to the provider and in the results. */
  correlationId?: string;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** Milliseconds until the caller gives up; the tool's own if not said. */
  timeoutMs?: number;
  /** W3C trace context, carried to the provider and the results. */
  traceparent?: string;
  /** W3C trace state, carried along. */
  tracestate?: string;
}

/**
 * `tools/card/{tool}`: an MCP `Tool` object and who provides it (retained; cleared when
 * nobody has
 * registered it any more).
 */
export interface ToolCard {
  /** Hints as MCP has them. */
  annotations?: unknown;
  /** What each call has to be approved by first. */
  approval?: ApprovalRule;
  /** What it does. */
  description: string;
  /** Whether a call whose provider vanishes goes to another. */
  idempotent: boolean;
  /** JSON Schema of the arguments. */
  inputSchema: unknown;
  /** The tool. */
  name: Tool;
  /** JSON Schema of the result. */
  outputSchema?: unknown;
  /**
   * Who can be called now: registered, subscribed to `tools/run/{tool}`, online and not
   * draining.
   */
  providers: Array<Agent>;
  /** Milliseconds that a call may take where the caller does not say. */
  timeoutMs: number;
  /** A name for people. */
  title?: string;
}

/** Why a call came to nothing. */
export interface ToolError {
  /**
   * A short name: the provider's own, or of the gateway's `timeout`, `cancelled`,
   * `provider-gone`, `withdrawn`, `tool-changed`, `too-large`, `not-approved`,
   * `unavailable`.
   */
  code?: string;
  /** Whatever else the provider says. */
  data?: unknown;
  /** In words. */
  message: string;
}

/** `tools/result/{caller}`: what came of a call; exactly one of them is `final`. */
export interface ToolResult {
  /** With `input`: which question of the call this is, counted from 1. */
  ask?: number;
  /** When this was said, Unix milliseconds. */
  at: number;
  /** The call. */
  call: CallId;
  /** When it was called, Unix milliseconds. */
  calledAt: number;
  /** Echoed from the call. */
  correlationId?: string;
  /** Why it came to nothing. */
  error?: ToolError;
  /** With `input`: when nobody waits for the answer any more, Unix milliseconds. */
  expiresAt?: number;
  /** Whether the call is over with this. */
  final: boolean;
  /** Who ran it last; `gateway` where it was never approved. */
  provider: Agent;
  /** With `input`: what is asked of the caller. */
  question?: unknown;
  /** As the provider gave it. */
  result?: unknown;
  /** With `input`: what the answer must look like, a JSON Schema. */
  schema?: unknown;
  /** What it is. */
  status: ReturnStatus;
  /**
   * In place of a message of so many bytes, which is more than its reader takes: something has
   * been left out, or cut short.
   */
  tooLarge?: number;
  /** The tool. */
  tool: Tool;
  /** Carried from the call. */
  traceparent?: string;
  /** Carried from the call. */
  tracestate?: string;
}

/** `tools/return/{me}`: a provider's answer. */
export interface ToolReturn {
  /** The call; 409 if it is over. */
  call: CallId;
  /** Echoed in the reply. */
  correlationId?: string;
  /** With `error`. */
  error?: ToolError;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** With `input`: what is asked of the caller. */
  question?: unknown;
  /** The result, or a part of it; with `success` it must satisfy the output schema. */
  result?: unknown;
  /** With `input`: what the answer must look like, a JSON Schema. */
  schema?: unknown;
  /** What the answer is. */
  status: ReturnStatus;
  /** With `input`: milliseconds after which the provider goes on without an answer. */
  ttlMs?: number;
}

/** `tools/run/{tool}`: a call, for exactly one provider. */
export interface ToolRun {
  /** What came of the questions that were asked so far, in their order. */
  answers?: Array<GivenAnswer>;
  /**
   * As the caller gave them; they satisfy the input schema. Left out in a run that comes again
   * with an answer, where the tool is not idempotent: its provider has them.
   */
  arguments?: unknown;
  /** The call. */
  call: CallId;
  /** When it was called, Unix milliseconds. */
  calledAt: number;
  /** Who calls. */
  caller: Agent;
  /** Echoed from the call. */
  correlationId?: string;
  /** When nobody waits for the answer any more, Unix milliseconds. */
  deadline: number;
  /** The tool. */
  tool: Tool;
  /** Carried from the call. */
  traceparent?: string;
  /** Carried from the call. */
  tracestate?: string;
}

/**
 * `blackboard/txn/{me}`: several writes and conditions, all or nothing, as one revision of
 * the
 * room.
 *
 * Every condition is about the room as it was before. A key is written by one operation at
 * most.
 */
export interface Txn {
  /** Echoed in the reply. */
  correlationId?: string;
  /** Only while this lock is held under this token. */
  fence?: Fence;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** What is to be done, in order; one at least. */
  ops: Array<Op>;
}

/** `blackboard/unlock/{me}/{name}`: give a lock back, or no longer wait for it. May be empty. */
export interface Unlock {
  /** Echoed in the reply. */
  correlationId?: string;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** Only if the lock is held under this token. */
  token?: number;
}

/** `handoff/update/{me}`: a worker's word on its task. */
export interface Update {
  /** With `input`: who may answer besides the dispatcher: agents, or `role:NAME`. */
  answerers?: Array<string>;
  /** From the assignment; an old one is 409 and changes nothing. */
  attempt: number;
  /** Echoed in the reply. */
  correlationId?: string;
  /** With `error`. */
  error?: TaskError;
  /** Makes a repeat a no-op that returns the first outcome. */
  id?: CommandId;
  /** With `input`: what is asked. */
  question?: unknown;
  /**
   * The result (`success`), or a partial one (`progress`); with `error` and `release` what the
   * next attempt is to know.
   */
  result?: unknown;
  /** With `input`: what the answer must look like, a JSON Schema. */
  schema?: unknown;
  /** What happened. */
  status: UpdateStatus;
  /** The task. */
  task: TaskId;
  /** With `input`: milliseconds after which the worker goes on without an answer. */
  ttlMs?: number;
}

/** What a worker says of its task. */
export type UpdateStatus = "accepted" | "progress" | "success" | "error" | "release" | "input";

/** How an approval ended. */
export type Verdict = "approve" | "reject";

/** One version of a key, or the end of one. */
export interface Version {
  /** Whether the key was deleted. */
  deleted?: boolean;
  /** When the value was to delete itself, Unix milliseconds. */
  expiresAt?: number;
  /** The room's revision that this write made. */
  revision: number;
  /** When, Unix milliseconds. */
  updatedAt: number;
  /** Who; `gateway` where its time to live was over. */
  updatedBy: Agent;
  /** The value; absent where the key was deleted. */
  value?: unknown;
  /** Counts the writes of the key; where it was deleted, the version that it had. */
  version: number;
}

/** What a transaction made of one key. */
export interface Written {
  /** The key. */
  key: Key;
  /** Its version; where it was deleted, the version that it had. */
  version: number;
}
