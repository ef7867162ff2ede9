/**
 * Everything that can go wrong, as types.
 *
 * Each error has a `kind`, a string that also tells them apart where `instanceof` does not (two
 * copies of this package in one program).
 */

import type { Entry, LockState, Reply, TaskError } from "./wire/types.js";

export type ErrorKind =
  | "Malformed"
  | "Forbidden"
  | "NotFound"
  | "Expired"
  | "Conflict"
  | "TooLarge"
  | "Invalid"
  | "TooMany"
  | "Unavailable"
  | "Refused"
  | "TaskFailed"
  | "TaskExpired"
  | "TaskCancelled"
  | "ToolError"
  | "Timeout"
  | "Disconnected"
  | "SessionTaken"
  | "Closed"
  | "Overflow"
  | "Gap";

/** What an error says beyond its message. */
export interface ErrorDetails {
  /** As in HTTP; 0 where the gateway said nothing. */
  code?: number;
  /** The field that is to blame. */
  path?: string | undefined;
  /** Which command, by its topic: `handoff/dispatch`. */
  command?: string | undefined;
  /** Whether the same may succeed later. */
  retryable?: boolean;
  cause?: unknown;
}

/** The base of every error that this package throws. */
export class HallwardError extends Error {
  readonly kind: ErrorKind;
  readonly code: number;
  readonly reason: string;
  readonly path: string | undefined;
  readonly command: string | undefined;
  readonly retryable: boolean;

  constructor(kind: ErrorKind, reason: string, details: ErrorDetails = {}) {
    const { command, path } = details;
    const where = path === undefined ? "" : ` (${path})`;
    const options = details.cause === undefined ? undefined : { cause: details.cause };
    super(`${command ? `${command}: ` : ""}${reason}${where}`, options);
    this.name = kind;
    this.kind = kind;
    this.code = details.code ?? 0;
    this.reason = reason;
    this.path = path;
    this.command = command;
    this.retryable = details.retryable ?? false;
  }
}

/** The gateway refused a command. */
export class Refused extends HallwardError {
  constructor(kind: ErrorKind, reply: Reply, cause?: unknown) {
    super(kind, reply.reason ?? `refused with ${reply.code}`, {
      cause,
      code: reply.code,
      path: reply.path,
      command: reply.command,
      retryable: reply.code === 429 || reply.code === 503,
    });
  }
}

/** 400: the topic or the body could not be understood. */
export class Malformed extends Refused {}
/** A message from others that is neither JSON nor CBOR. No later look at it can help. */
export class Undecodable extends Malformed {
  constructor(reason: string, cause: unknown) {
    super("Malformed", { command: "", status: "rejected", code: 400, reason }, cause);
  }
}
/** 403: not yours to do. */
export class Forbidden extends Refused {}
/** 404: no such task, key, approval or call. */
export class NotFound extends Refused {}
/** 408: its time was over already. */
export class Expired extends Refused {}
/** 413: larger than a limit. */
export class TooLarge extends Refused {}
/** 422: a value that is not allowed there; `path` says which. */
export class Invalid extends Refused {}
/** 503: nobody can do it now. */
export class Unavailable extends Refused {}

/** 409: another version, attempt or state than you think. */
export class Conflict extends Refused {
  /** The entry as it stands, where it was about a key. */
  readonly current: Entry | undefined;
  /** The lock that is in your way. */
  readonly lock: LockState | undefined;

  constructor(kind: ErrorKind, reply: Reply) {
    super(kind, reply);
    this.current = reply.current;
    this.lock = reply.lock;
  }
}

/** 429: a limit on how many is reached. */
export class TooMany extends Refused {
  /** Milliseconds after which to try again, where the gateway's reason says so. */
  readonly retryAfter: number | undefined;

  constructor(kind: ErrorKind, reply: Reply) {
    super(kind, reply);
    const said = /again in (\d+) ms/.exec(reply.reason ?? "");
    this.retryAfter = said ? Number(said[1]) : undefined;
  }
}

const BY_CODE: Record<number, [ErrorKind, new (kind: ErrorKind, reply: Reply) => Refused]> = {
  400: ["Malformed", Malformed],
  403: ["Forbidden", Forbidden],
  404: ["NotFound", NotFound],
  408: ["Expired", Expired],
  409: ["Conflict", Conflict],
  413: ["TooLarge", TooLarge],
  422: ["Invalid", Invalid],
  429: ["TooMany", TooMany],
  503: ["Unavailable", Unavailable],
};

/** The error for a reply that says `rejected`. */
export function refusal(reply: Reply): Refused {
  const [kind, type] = BY_CODE[reply.code] ?? (["Refused", Refused] as const);
  return new type(kind, reply);
}

/** What a task came to, where that is no result. */
export class TaskFailed extends HallwardError {
  readonly task: string;
  readonly attempts: number;
  readonly error: TaskError | undefined;

  constructor(kind: ErrorKind, task: string, attempts: number, error: TaskError | undefined) {
    super(kind, `task ${task}: ${error?.message ?? "came to nothing"}`);
    this.task = task;
    this.attempts = attempts;
    this.error = error;
  }
}

/** The task's time to live is over. */
export class TaskExpired extends TaskFailed {}
/** Somebody cancelled the task; also the reason of a worker's `signal`. */
export class TaskCancelled extends TaskFailed {}

/** What a tool's provider, or the gateway in its place, answered to a call. */
export class ToolError extends HallwardError {
  readonly call: string;
  /** A short name: the provider's own, or one of the gateway's (`timeout`, `provider-gone` …). */
  readonly errorCode: string | undefined;
  readonly data: unknown;

  constructor(call: string, message: string, errorCode?: string, data?: unknown) {
    super("ToolError", message, { command: `tool call ${call}` });
    this.call = call;
    this.errorCode = errorCode;
    this.data = data;
  }
}

/** Nobody answered in time. What was asked for may still happen: ids make a retry safe. */
export class Timeout extends HallwardError {
  constructor(what: string, ms: number, hint = "") {
    super("Timeout", `no ${what} within ${ms} ms${hint}`, { retryable: true });
  }
}

/** There is no connection, or it ended before the answer came. */
export class Disconnected extends HallwardError {
  constructor(reason: string, cause?: unknown) {
    super("Disconnected", reason, { retryable: true, cause });
  }
}

/** Another program connected with the same agent id. This one stops and never fights. */
export class SessionTaken extends HallwardError {
  constructor(agent: string) {
    super("SessionTaken", `another program connected as ${agent}`);
  }
}

/** It was closed by this program. */
export class Closed extends HallwardError {
  constructor(what = "the connection was closed by close()") {
    super("Closed", what);
  }
}

/** A bounded queue is full: the message was not taken. */
export class Overflow extends HallwardError {
  constructor(what: string, limit: number) {
    super("Overflow", `${what}: its limit is ${limit}`, { retryable: true });
  }
}

/** Events are missing, and are not kept any more. */
export class Gap extends HallwardError {
  /** The first number that is missing. */
  readonly from: number;
  /** The first number that is there again. */
  readonly to: number;

  constructor(from: number, to: number) {
    super("Gap", `events ${from} to ${to - 1} are not kept any more`);
    this.from = from;
    this.to = to;
  }
}

/** Thrown in a handler: fail this attempt, and try again (after a pause of the task's own). */
export class Retry extends Error {
  override readonly name = "Retry";
  readonly code: string | undefined;

  constructor(message: string, options: { code?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = options.code;
  }
}

/** Thrown in a handler: no further attempt will help. */
export class Fatal extends Error {
  override readonly name = "Fatal";
  readonly code: string | undefined;

  constructor(message: string, options: { code?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = options.code;
  }
}

/** The words of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
