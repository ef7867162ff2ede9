"""The messages of the wire, one class each.

Written by `tools/generate_messages.py` from the gateway's JSON Schemas: do not edit.
"""

# ruff: noqa: E501, RUF012

from __future__ import annotations

from typing import Any, Literal

from ._message import Message

NAMES: dict[str, str] = {
    "act": "act",
    "action": "action",
    "affinity": "affinity",
    "after": "after",
    "agent": "agent",
    "agents": "agents",
    "all": "all",
    "annotations": "annotations",
    "answer": "answer",
    "answerers": "answerers",
    "answers": "answers",
    "any_of": "anyOf",
    "approval": "approval",
    "approvals": "approvals",
    "approved": "approved",
    "approved_by": "approvedBy",
    "approvers": "approvers",
    "arguments": "arguments",
    "ask": "ask",
    "asked_at": "askedAt",
    "asking": "asking",
    "assigned_at": "assignedAt",
    "at": "at",
    "attempt": "attempt",
    "attempts": "attempts",
    "backoff": "backoff",
    "by": "by",
    "bytes": "bytes",
    "call": "call",
    "called_at": "calledAt",
    "caller": "caller",
    "cancelled": "cancelled",
    "capabilities": "capabilities",
    "capability": "capability",
    "capacity": "capacity",
    "code": "code",
    "command": "command",
    "complete": "complete",
    "connection": "connection",
    "content": "content",
    "content_omitted": "contentOmitted",
    "correlation_id": "correlationId",
    "count": "count",
    "created_after": "createdAfter",
    "created_at": "createdAt",
    "created_before": "createdBefore",
    "current": "current",
    "cursor": "cursor",
    "data": "data",
    "deadline": "deadline",
    "decided_at": "decidedAt",
    "decision": "decision",
    "defer_ms": "deferMs",
    "deleted": "deleted",
    "departed": "departed",
    "depends_on": "dependsOn",
    "description": "description",
    "detail": "detail",
    "digest": "digest",
    "dispatcher": "dispatcher",
    "dropped": "dropped",
    "due_at": "dueAt",
    "edit": "edit",
    "edited": "edited",
    "encoding": "encoding",
    "end": "end",
    "ended_at": "endedAt",
    "entries": "entries",
    "error": "error",
    "escalate_to": "escalateTo",
    "escalated": "escalated",
    "events": "events",
    "expires_at": "expiresAt",
    "factor": "factor",
    "fence": "fence",
    "filter": "filter",
    "final": "final",
    "first_id": "firstId",
    "from_": "from",
    "from_seq": "fromSeq",
    "group": "group",
    "group_size": "groupSize",
    "history": "history",
    "holder": "holder",
    "id": "id",
    "idempotent": "idempotent",
    "if_version": "ifVersion",
    "in_flight": "inFlight",
    "initial_ms": "initialMs",
    "input_schema": "inputSchema",
    "key": "key",
    "keys": "keys",
    "kind": "kind",
    "last_id": "lastId",
    "last_progress": "lastProgress",
    "last_seen": "lastSeen",
    "lease_ms": "leaseMs",
    "left_at": "leftAt",
    "limit": "limit",
    "load": "load",
    "lock": "lock",
    "locks": "locks",
    "mail": "mail",
    "max_attempts": "maxAttempts",
    "max_bytes": "maxBytes",
    "max_deliveries": "maxDeliveries",
    "max_ms": "maxMs",
    "merge": "merge",
    "message": "message",
    "metadata": "metadata",
    "more": "more",
    "name": "name",
    "newest": "newest",
    "newest_first": "newestFirst",
    "next": "next",
    "not_before_ms": "notBeforeMs",
    "oldest": "oldest",
    "omitted": "omitted",
    "on_timeout": "onTimeout",
    "op": "op",
    "ops": "ops",
    "outcome": "outcome",
    "output_schema": "outputSchema",
    "parent": "parent",
    "part": "part",
    "path": "path",
    "payload": "payload",
    "prefix": "prefix",
    "present": "present",
    "priority": "priority",
    "provider": "provider",
    "providers": "providers",
    "purged": "purged",
    "question": "question",
    "quorum": "quorum",
    "reason": "reason",
    "redriven": "redriven",
    "remaining": "remaining",
    "requested_at": "requestedAt",
    "requester": "requester",
    "require_online": "requireOnline",
    "result": "result",
    "result_omitted": "resultOmitted",
    "retryable": "retryable",
    "revision": "revision",
    "role": "role",
    "room": "room",
    "schema": "schema",
    "sent": "sent",
    "seq": "seq",
    "seqs": "seqs",
    "since": "since",
    "size": "size",
    "skipped": "skipped",
    "skipped_because": "skippedBecause",
    "state": "state",
    "status": "status",
    "subject": "subject",
    "task": "task",
    "tasks": "tasks",
    "timed_out": "timedOut",
    "timeout_ms": "timeoutMs",
    "title": "title",
    "to": "to",
    "token": "token",
    "too_large": "tooLarge",
    "tool": "tool",
    "topic": "topic",
    "traceparent": "traceparent",
    "tracestate": "tracestate",
    "trail": "trail",
    "ttl_ms": "ttlMs",
    "type": "type",
    "until": "until",
    "updated_at": "updatedAt",
    "updated_by": "updatedBy",
    "urgency": "urgency",
    "value": "value",
    "version": "version",
    "versions": "versions",
    "wait": "wait",
    "wait_ms": "waitMs",
    "waiting": "waiting",
    "waits_for": "waitsFor",
    "what": "what",
    "who": "who",
    "worker": "worker",
}
"""Python name to wire name, of all fields."""
Message._names = NAMES  # pyright: ignore[reportPrivateUsage]

ApprovalState = Literal["pending", "approved", "rejected", "timedOut", "cancelled"]
"""Where an approval stands."""
AttemptOutcome = Literal["succeeded", "failed", "released", "lost", "expired", "cancelled"]
"""How an attempt came to its end."""
AuditAct = Literal[
    "requested",
    "approved",
    "edited",
    "rejected",
    "deferred",
    "escalated",
    "timedOut",
    "cancelled",
]
"""What somebody did about an approval."""
CallState = Literal["approving", "running", "asking", "success", "error"]
"""Where a call stands."""
ConnectionState = Literal["online", "away", "offline"]
"""Whether the gateway holds the agent's connection."""
Encoding = Literal["json", "cbor"]
"""Which encoding an agent wants to be answered in."""
GroupStatus = Literal["group"]
"""Tells a group's result from a task's."""
MailKind = Literal["inbox", "assignment", "result", "decision", "reply"]
"""What kind of directed message waits."""
OnTimeout = Literal["reject", "approve", "escalate"]
"""What happens when nobody decides in time."""
OpKind = Literal["set", "delete", "check"]
"""What an operation of a transaction does."""
Priority = Literal["low", "medium", "high", "critical"]
"""Which task goes first."""
ReplyStatus = Literal["accepted", "rejected"]
"""Whether a command was taken."""
ResultStatus = Literal["partial", "input", "succeeded", "dead", "expired", "cancelled"]
"""How a result says it ended, or that it did not yet."""
ReturnStatus = Literal["success", "error", "partial", "input"]
"""What a provider's answer, and its caller's result, is."""
Status = Literal["idle", "busy", "overloaded", "draining"]
"""How much work an agent wants, as it says or as the gateway derives it."""
TaskState = Literal[
    "waiting",
    "queued",
    "assigned",
    "running",
    "asking",
    "succeeded",
    "dead",
    "expired",
    "cancelled",
]
"""Where a task stands."""
UpdateStatus = Literal["accepted", "progress", "success", "error", "release", "input"]
"""What a worker says of its task."""
Verdict = Literal["approve", "reject"]
"""How an approval ended."""

class ApprovalRule(Message):
    """What a tool or a type of tasks asks for before anything is handed over: an approval of just
    this.
    """

    action: str | None = None
    """What is to be done, in a word or a sentence; the tool's name if not said."""
    approvers: list[str] | None = None
    """Who may decide: agents, users, or `role:NAME`; nobody named means anybody but the caller."""
    quorum: int | None = None
    """How many approvals it takes; 1 if not said."""
    timeout_ms: int | None = None
    """Milliseconds until it times out, and so is refused; the room's default if not said."""


class AttemptView(Message):
    """One attempt at a task."""

    assigned_at: int
    """When it was assigned, Unix milliseconds."""
    attempt: int
    """Its number, the fencing token."""
    worker: str
    """Who had it."""
    ended_at: int | None = None
    """When it ended, Unix milliseconds; absent while it goes on."""
    error: str | None = None
    """What went wrong, shortened."""
    outcome: AttemptOutcome | None = None
    """How it ended."""


class AuditEntry(Message):
    """One line of an approval's audit trail."""

    act: AuditAct
    """What."""
    at: int
    """When, Unix milliseconds."""
    who: str
    """Who; `gateway` where it was the time."""
    digest: str | None = None
    """The digest of what it was about, where that is new."""
    reason: str | None = None
    """Why."""


class AuditedApproval(Message):
    """An approval as the audit shows it. Contents are in it where one approval was asked for; the
    digest says which one it was.
    """

    _nested = {"trail": AuditEntry}

    action: str
    """What for."""
    approvers: list[str]
    """Who may decide, or might last."""
    digest: str
    """Of the content as it was last."""
    edited: bool
    """Whether an approver changed the content."""
    expires_at: int
    """When it times out, or would have, Unix milliseconds."""
    id: str
    """The approval."""
    quorum: int
    """How many approvals it takes."""
    requested_at: int
    """When it was asked, Unix milliseconds."""
    requester: str
    """Who asked."""
    state: ApprovalState
    """Where it stands."""
    trail: list[AuditEntry]
    """Everything that happened to it, in order."""
    by: list[str] | None = None
    """Who decided."""
    call: str | None = None
    """The call of a tool that it stands before, or is about."""
    content: Any = None
    """The content as it was last, approved or not; only where just this approval was asked for."""
    content_omitted: bool | None = None
    """There is no room for the content any more, or none in this answer."""
    decided_at: int | None = None
    """When it was decided, Unix milliseconds."""
    task: str | None = None
    """The task that it stands before, or is about."""


class Backoff(Message):
    """How long a task waits before its next attempt."""

    factor: float
    """Each wait is the last one times this; 1 or more."""
    initial_ms: int
    """Before the second attempt, in milliseconds."""
    max_ms: int
    """No wait is longer, in milliseconds."""


class Departed(Message):
    """Somebody who was in the room."""

    agent: str
    """The agent."""
    last_seen: int
    """When it last did something there, Unix milliseconds."""
    left_at: int
    """When it left, or its session was over, Unix milliseconds."""
    since: int
    """It was in the room since, Unix milliseconds."""
    name: str | None = None
    """As announced."""
    role: str | None = None
    """As announced."""


class Fence(Message):
    """Lets a write take effect only while a lock is held under a token: one of an earlier holder is
    refused.
    """

    lock: str
    """The lock."""
    token: int
    """The token that the lock command returned."""


class GivenAnswer(Message):
    """What came of a question: an answer, or none in time."""

    ask: int
    """Which question of the task or call it was, counted from 1."""
    answer: Any = None
    """What was answered; absent where nobody did in time."""
    timed_out: bool | None = None
    """Nobody answered in time."""


class TaskError(Message):
    """What went wrong."""

    message: str
    """In words."""
    code: str | None = None
    """A short name of the error."""
    retryable: bool | None = None
    """Whether another attempt may help; true if not said."""


class GroupEntry(Message):
    """How a task of a group ended."""

    _nested = {"error": TaskError}

    attempts: int
    """How many attempts there were."""
    status: ResultStatus
    """How it ended."""
    task: str
    """The task."""
    type: str
    """What kind of task."""
    error: TaskError | None = None
    """What went wrong, where something did."""
    omitted: bool | None = None
    """Its result or error had no room here; the task's own result has it."""
    result: Any = None
    """What the worker returned."""
    worker: str | None = None
    """Who had it last."""


class KeyLine(Message):
    """A key without its value."""

    bytes: int
    """How many bytes its value has as JSON."""
    key: str
    """The key."""
    revision: int
    """The room's revision that the last write made."""
    updated_at: int
    """When it was written last, Unix milliseconds."""
    updated_by: str
    """By whom."""
    version: int
    """Counts the writes of the key."""
    expires_at: int | None = None
    """When it deletes itself, Unix milliseconds."""


class LockState(Message):
    """A lock that somebody holds."""

    expires_at: int
    """When the lease ends, Unix milliseconds."""
    holder: str
    """Who holds it."""
    name: str
    """The lock."""
    token: int
    """The fencing token: larger than every earlier one, of any lock of the room."""
    waiting: int
    """How many wait for it."""


class Mail(Message):
    """One message that waits."""

    bytes: int
    """Its payload's bytes."""
    kind: MailKind
    """What it is."""
    seq: int
    """Its number in the mailbox."""
    topic: str
    """Where it will arrive."""
    expires_at: int | None = None
    """When it is dropped undelivered, Unix milliseconds."""
    sent: bool | None = None
    """Whether it has been sent on the present connection and waits for its acknowledgement."""


class Op(Message):
    """One operation of a transaction."""

    key: str
    """To which key."""
    op: OpKind
    """What it does."""
    if_version: int | None = None
    """Only if this is the key's version; 0 means only if it is absent. A `check` needs it."""
    merge: bool | None = None
    """With `set`: apply `value` as a JSON Merge Patch (RFC 7396) instead of replacing."""
    ttl_ms: int | None = None
    """With `set`: milliseconds after which the key deletes itself."""
    value: Any = None
    """With `set`, the new value; `null` is a value."""


class Skipped(Message):
    """Why a redrive by type left dead tasks where they are."""

    code: int
    """As if that one task had been redriven: 408 out of time, 409 what it is tied to, 429 no room for
    it or for its result.
    """
    count: int
    """How many."""
    reason: str
    """In words, of the first of them."""


class ToolError(Message):
    """Why a call came to nothing."""

    message: str
    """In words."""
    code: str | None = None
    """A short name: the provider's own, or of the gateway's `timeout`, `cancelled`, `provider-gone`,
    `withdrawn`, `tool-changed`, `too-large`, `not-approved`, `unavailable`.
    """
    data: Any = None
    """Whatever else the provider says."""


class Version(Message):
    """One version of a key, or the end of one."""

    revision: int
    """The room's revision that this write made."""
    updated_at: int
    """When, Unix milliseconds."""
    updated_by: str
    """Who; `gateway` where its time to live was over."""
    version: int
    """Counts the writes of the key; where it was deleted, the version that it had."""
    deleted: bool | None = None
    """Whether the key was deleted."""
    expires_at: int | None = None
    """When the value was to delete itself, Unix milliseconds."""
    value: Any = None
    """The value; absent where the key was deleted."""


class Written(Message):
    """What a transaction made of one key."""

    key: str
    """The key."""
    version: int
    """Its version; where it was deleted, the version that it had."""


class Announcement(Message):
    """`presence/announce/{me}`: what an agent says of itself. An empty payload leaves the room."""

    capabilities: list[str] | None = None
    """What it can do besides what its subscriptions offer."""
    capacity: int | None = None
    """Tasks at once, shared by all its capabilities; 1 if not said."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    encoding: Encoding | None = None
    """The encoding in which it wants to be answered, everywhere, until it announces another."""
    load: float | None = None
    """Its own measure of load, 0 to 1."""
    max_bytes: int | None = None
    """The largest packet that it can take of what is for it alone: header, topic and payload. Larger
    work goes to another (rounded down for that by at most an eighth), the rest is refused to its
    sender, or comes short.
    """
    metadata: Any = None
    """Anything else, shown as it is."""
    name: str | None = None
    """A name for people."""
    role: str | None = None
    """A role, as `approvers: ["role:…"]` names it."""
    status: Status | None = None
    """How much work it wants; derived where not said."""


class AnswerCall(Message):
    """`tools/answer/{me}`: the answer to what a call's provider asked its caller."""

    answer: Any
    """The answer; it must be what the question's schema asks for."""
    call: str
    """The call."""
    ask: int | None = None
    """Which of its questions; the one that is open if not said, and another one is 409."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""


class AnswerTask(Message):
    """`handoff/answer/{me}`: the answer to what a task's worker asked."""

    answer: Any
    """The answer; it must be what the question's schema asks for."""
    attempt: int
    """The attempt that asks; another one is 409."""
    task: str
    """The task."""
    ask: int | None = None
    """Which of its questions; the one that is open if not said, and another one is 409."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""


class ApprovalRequest(Message):
    """`approve/request/{me}`: ask for a decision."""

    action: str
    """What is to be done, in a word or a sentence."""
    approvers: list[str] | None = None
    """Who may decide: agents, users, or `role:NAME`; nobody named means anybody but the requester.
    """
    call: str | None = None
    """The call of a tool that it stands before, or is about."""
    content: Any = None
    """What exactly is to be approved."""
    correlation_id: str | None = None
    """Echoed in the reply and the decision."""
    escalate_to: list[str] | None = None
    """Who is asked after a time-out with `escalate`."""
    id: str | None = None
    """The requester's own id; a repeat is a no-op that returns the first outcome."""
    on_timeout: OnTimeout | None = None
    """What a time-out means."""
    quorum: int | None = None
    """How many approvals it takes; 1 if not said."""
    task: str | None = None
    """The task that it stands before, or is about."""
    timeout_ms: int | None = None
    """Milliseconds until it times out; the room's default if not said."""
    traceparent: str | None = None
    """W3C Trace Context, carried to whoever decides and into the decision."""
    tracestate: str | None = None
    """What vendors add to it."""
    urgency: str | None = None
    """A hint for people: `low`, `medium`, `high`, `critical`."""


class Assignment(Message):
    """`handoff/work/{capability}`: the task, for exactly one worker."""

    _nested = {"answers": GivenAnswer}

    attempt: int
    """The fencing token: every update must carry it."""
    capabilities: list[str]
    """What it needs."""
    created_at: int
    """When it was dispatched, Unix milliseconds."""
    dispatcher: str
    """Who wants it done."""
    lease_ms: int
    """Milliseconds that the worker may be silent; any update starts them anew."""
    priority: Priority
    """As dispatched."""
    task: str
    """The task."""
    type: str
    """What kind of task."""
    answers: list[GivenAnswer] | None = None
    """What came of the questions that were asked of the task so far, in their order. Left out where
    the assignment would be larger with them than its worker takes.
    """
    correlation_id: str | None = None
    """As dispatched."""
    deadline: int | None = None
    """When it expires, Unix milliseconds."""
    last_progress: Any = None
    """What was said last of it, by a worker that had it before: with `progress`, `error` or `release`.
    Left out where the assignment would be larger with it than its worker takes.
    """
    payload: Any = None
    """As dispatched."""
    traceparent: str | None = None
    """As dispatched."""
    tracestate: str | None = None
    """As dispatched."""


class AuditPage(Message):
    """A page of approvals."""

    _nested = {"approvals": AuditedApproval}

    approvals: list[AuditedApproval]
    """Oldest first."""
    cursor: str | None = None
    """Where the next page begins, if there may be more."""


class AuditQuery(Message):
    """`approve/audit/{me}`: look approvals up, oldest first; answered in the reply's `data`."""

    approval: str | None = None
    """Just this one."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    cursor: str | None = None
    """Where the page before ended: its `cursor`."""
    limit: int | None = None
    """At most so many."""
    since: int | None = None
    """Those asked at this time or later, Unix milliseconds."""
    state: ApprovalState | None = None
    """Those in this state."""
    until: int | None = None
    """Those asked before this time, Unix milliseconds."""


class CallOver(Message):
    """`tools/cancelled/{provider}`: a call that its provider need not answer any more."""

    at: int
    """When, Unix milliseconds."""
    call: str
    """The call."""
    code: str
    """As the caller is told: `cancelled`, `timeout` …; `rerouted` if another provider has it now.
    """
    reason: str
    """In words."""
    tool: str
    """The tool."""
    too_large: int | None = None
    """In place of a message of so many bytes, which is more than its reader takes: something has been
    left out, or cut short.
    """


class CallView(Message):
    """A call as `tools/get` shows it."""

    _nested = {"error": ToolError}

    call: str
    """The call."""
    called_at: int
    """When it was called, Unix milliseconds."""
    caller: str
    """Who called."""
    deadline: int
    """When its time is over, or would have been, Unix milliseconds."""
    provider: str
    """Who has it, or had it last; `gateway` where it was not approved, or not yet."""
    state: CallState
    """Where it stands."""
    tool: str
    """The tool."""
    approval: str | None = None
    """The approval that it waits for."""
    arguments: Any = None
    """As the caller gave them; where they were asked for, as long as another provider may get the
    call.
    """
    ended_at: int | None = None
    """When it ended, Unix milliseconds; absent while it runs."""
    error: ToolError | None = None
    """Why it came to nothing."""
    result: Any = None
    """Its final result, as its provider gave it."""
    result_omitted: bool | None = None
    """It had a result, or an error that said more, for which there is no room any more, or none in
    this answer.
    """


class CancelApproval(Message):
    """`approve/cancel/{me}`: take one's own request back."""

    approval: str
    """The approval."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    reason: str | None = None
    """Why."""


class CancelCall(Message):
    """`tools/cancel/{me}`: end one's own call."""

    call: str
    """The call."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    reason: str | None = None
    """Why."""


class Cancel(Message):
    """`handoff/cancel/{me}`: either a task, with all that belongs to it, or a group of one's own.
    """

    correlation_id: str | None = None
    """Echoed in the reply."""
    group: str | None = None
    """The group: what has not ended of it is cancelled, and its result comes with what there is."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    reason: str | None = None
    """Why."""
    task: str | None = None
    """The task."""


class CloseRoom(Message):
    """`room/close/{me}` and `room/open/{me}`; may be empty."""

    correlation_id: str | None = None
    """Echoed in the reply."""
    id: str | None = None
    """Echoed in the reply; a repeat changes nothing."""
    reason: str | None = None
    """Why, for the room's event."""


class Decide(Message):
    """`approve/decide/{me}/{id}`: one approver's word."""

    decision: str
    """`approve`; `defer` asks for more time; anything else is a rejection."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    defer_ms: int | None = None
    """With `defer`: milliseconds from now until it times out; the request's own time-out if not said.
    """
    digest: str | None = None
    """The digest of what was seen; a mismatch is 409."""
    edit: Any = None
    """The content as it should be instead."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    reason: str | None = None
    """Why."""


class Decision(Message):
    """`approve/decision/{requester}`: the outcome, exactly once per approval."""

    approved: bool
    """Whether to go ahead."""
    by: list[str]
    """Who decided; empty for a time-out."""
    decided_at: int
    """When, Unix milliseconds."""
    decision: Verdict
    """The same in a word."""
    edited: bool
    """Whether an approver changed the content."""
    id: str
    """The approval."""
    timed_out: bool
    """Whether the time ran out."""
    action: str | None = None
    """What was asked for."""
    cancelled: bool | None = None
    """Whether the requester took it back."""
    content: Any = None
    """The content as approved, edited or not."""
    correlation_id: str | None = None
    """Echoed from the request."""
    digest: str | None = None
    """SHA-256 over the canonical JSON (RFC 8785) of `{action, content}` as decided on, in hexadecimal.
    """
    escalated: bool | None = None
    """Whether it was asked again of `escalateTo`."""
    reason: str | None = None
    """The last decider's reason, or that it timed out."""
    too_large: int | None = None
    """In place of a message of so many bytes, which is more than its reader takes: something has been
    left out, or cut short.
    """
    traceparent: str | None = None
    """W3C Trace Context, from the request."""
    tracestate: str | None = None
    """What vendors add to it."""


class Delete(Message):
    """`blackboard/delete/{me}/{key…}`: remove a key. An empty payload means no condition."""

    _nested = {"fence": Fence}

    correlation_id: str | None = None
    """Echoed in the reply."""
    fence: Fence | None = None
    """Delete only while this lock is held under this token."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    if_version: int | None = None
    """Delete only if this is the key's version."""


class DroppedRefusals(Message):
    """`data` of the reply that stands for refusals which had to give way, because their reader had
    `mailbox.max_replies` to read already. Its `command` is `reply`, its `code` that of the last.
    """

    dropped: int
    """How many."""
    first_id: str | None = None
    """The first one's `id`, or its `correlationId` where it had none."""
    last_id: str | None = None
    """The last one's."""


class Entry(Message):
    """`blackboard/state/{key…}`: a key as it stands (retained; an empty payload means deleted)."""

    key: str
    """The key."""
    revision: int
    """Counts the writes of the room."""
    updated_at: int
    """When it was written, Unix milliseconds."""
    updated_by: str
    """Who wrote it."""
    value: Any
    """The value, as its writer wrote it."""
    version: int
    """Counts the writes of this key: from 1, +1 each, never reused after a delete."""
    expires_at: int | None = None
    """When it deletes itself, Unix milliseconds."""


class Event(Message):
    """`observe/events/gateway/{category}`: one state change of one pattern."""

    at: int
    """When, Unix milliseconds."""
    room: str
    """Where."""
    seq: int
    """Counts the events of the room, from 1, without a gap."""
    subject: str
    """The task, key, approval, agent, tool or call that it happened to."""
    what: str
    """What happened, as `pattern.transition`: `handoff.assigned`."""
    who: str
    """Who caused it."""
    detail: Any = None
    """Particulars: attempt, worker, version, reason …"""
    from_: str | None = None
    """The state before, where there was one."""
    payload: Any = None
    """Of an agent's own event: what it said, where that is JSON or CBOR and not too large."""
    to: str | None = None
    """The state after, where there is one."""
    traceparent: str | None = None
    """W3C trace context, carried from the dispatch."""


class GetCall(Message):
    """`tools/get/{me}`: one call as it stands, in the reply's `data`."""

    call: str
    """The call."""
    arguments: bool | None = None
    """Whether its arguments are wanted, too."""
    correlation_id: str | None = None
    """Echoed in the reply."""


class GetHistory(Message):
    """`blackboard/history/{me}`: the last versions of a key, in the reply's `data`."""

    key: str
    """The key."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    limit: int | None = None
    """How many versions at most, the newest; absent means all that are kept."""


class GetTask(Message):
    """`handoff/get/{me}`: one task as it stands, in the reply's `data`."""

    task: str
    """The task."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    payload: bool | None = None
    """Whether its payload is wanted, too."""


class Get(Message):
    """`blackboard/get/{me}`: a consistent snapshot of every key under a prefix, in the reply's `data`.
    """

    correlation_id: str | None = None
    """Echoed in the reply."""
    locks: bool | None = None
    """Whether to list the locks that are held now, too."""
    prefix: str | None = None
    """The key, or the segments that keys begin with; absent means all keys of the room."""
    revision: int | None = None
    """The room as it was at this revision, as far as the history of its keys reaches; absent means as
    it is now.
    """


class GroupResult(Message):
    """`handoff/result/{dispatcher}`: all results of a group, when the last of its tasks has ended.
    """

    _nested = {"tasks": GroupEntry}

    at: int
    """When this result came about, Unix milliseconds."""
    complete: bool
    """Whether all its tasks were dispatched; if not, no further one came for too long."""
    final: bool
    """Always: a group has one result."""
    group: str
    """The group's name."""
    size: int
    """How many tasks it was to have."""
    status: GroupStatus
    """`group`."""
    tasks: list[GroupEntry]
    """How each ended, in the order in which they were dispatched."""
    too_large: int | None = None
    """In place of a message of so many bytes, which is more than its reader takes: something has been
    left out, or cut short.
    """


class History(Message):
    """What `blackboard/history` answers in the reply's `data`."""

    _nested = {"versions": Version}

    key: str
    """The key."""
    versions: list[Version]
    """Its versions, oldest first."""


class KeyPage(Message):
    """`data` of the reply to a list of keys."""

    _nested = {"keys": KeyLine}

    keys: list[KeyLine]
    """Keys that have a value, by name."""
    revision: int
    """The room's revision: if it is another one on the next page, something was written between."""
    cursor: str | None = None
    """Where the next page begins, if there may be more."""


class ListKeys(Message):
    """`blackboard/list/{me}`: which keys there are, without their values, a page at a time."""

    correlation_id: str | None = None
    """Echoed in the reply."""
    cursor: str | None = None
    """From an earlier page: where this one begins."""
    limit: int | None = None
    """Keys in one answer at most."""
    prefix: str | None = None
    """The key, or the segments that keys begin with; absent means all keys of the room."""


class ListTasks(Message):
    """`handoff/list/{me}`: a page of the room's tasks, in the reply's `data`. All conditions must
    hold.
    """

    capability: str | None = None
    """Only tasks that ask for this capability."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    created_after: int | None = None
    """Only tasks dispatched then or later, Unix milliseconds."""
    created_before: int | None = None
    """Only tasks dispatched earlier than that, Unix milliseconds."""
    cursor: str | None = None
    """From the page before, with the same conditions."""
    dispatcher: str | None = None
    """Only tasks of this dispatcher."""
    limit: int | None = None
    """Tasks on the page at most."""
    newest_first: bool | None = None
    """The youngest first; else the oldest."""
    state: TaskState | list[TaskState] | None = None
    """Only tasks in this state, or in one of these."""
    type: str | None = None
    """Only tasks of this type."""


class Lock(Message):
    """`blackboard/lock/{me}/{name}`: take a lock, or renew the lease on one that the writer holds. May
    be empty. It is always answered: at once, or where it waits when it holds the lock (200) or has
    given up (408).
    """

    correlation_id: str | None = None
    """Echoed in the reply."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    token: int | None = None
    """Only renew, and only if the lock is still held under this token."""
    ttl_ms: int | None = None
    """Milliseconds after which the lock is free again, unless it is renewed."""
    wait: bool | None = None
    """Wait while another holds it, in the order of asking; else that is 409."""
    wait_ms: int | None = None
    """Milliseconds to wait at most; it says `wait`, too."""


class MailboxList(Message):
    """`mailbox/list/{me}`, or `mailbox/list/{me}/{agent}` for another's: asks what waits from this
    room, a page at a time.
    """

    after: int | None = None
    """The page behind the message of this number."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    kind: MailKind | None = None
    """Only this kind."""
    limit: int | None = None
    """Messages in one answer at most."""


class MailboxPage(Message):
    """`data` of the reply to a list."""

    _nested = {"mail": Mail}

    agent: str
    """Whose mailbox."""
    mail: list[Mail]
    """What waits from this room, oldest first."""
    next: int | None = None
    """`after` of the next page, where there is more."""


class MailboxPurge(Message):
    """`mailbox/purge/{me}`, or `mailbox/purge/{me}/{agent}` for another's: takes out what waits from
    this room. One of `seqs`, `kind` and `all` says what.
    """

    all: bool | None = None
    """Everything."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    id: str | None = None
    """A repeat takes out nothing more."""
    kind: MailKind | None = None
    """All of this kind."""
    seqs: list[int] | None = None
    """These messages."""


class OpenQuestion(Message):
    """`handoff/asking/{task}`: a question that awaits its answer, for whoever may give it; empty: it
    has one, or needs none any more.
    """

    ask: int
    """Which question of the task this is, counted from 1."""
    asked_at: int
    """When it was asked, Unix milliseconds."""
    attempt: int
    """The attempt that asks: an answer must carry it."""
    dispatcher: str
    """Who dispatched the task."""
    expires_at: int
    """When nobody waits for the answer any more, Unix milliseconds."""
    question: Any
    """What is asked."""
    task: str
    """The task."""
    type: str
    """What kind of task."""
    worker: str
    """Who asks."""
    answerers: list[str] | None = None
    """Who may answer besides the dispatcher: agents, or `role:NAME`."""
    schema: Any = None
    """What the answer must look like: a JSON Schema."""
    traceparent: str | None = None
    """As dispatched."""
    tracestate: str | None = None
    """As dispatched."""


class PendingApproval(Message):
    """`approve/pending/{id}`: what awaits a decision (retained; cleared when decided)."""

    action: str
    """What is to be done."""
    approved_by: list[str]
    """Who approved so far."""
    approvers: list[str]
    """Who may decide; empty means anybody but the requester."""
    digest: str
    """SHA-256, in hexadecimal, over the canonical JSON (RFC 8785) of `{action, content}`."""
    expires_at: int
    """When it times out, Unix milliseconds."""
    id: str
    """The approval."""
    quorum: int
    """How many approvals it takes."""
    requested_at: int
    """When it was asked, Unix milliseconds."""
    requester: str
    """Who asks."""
    call: str | None = None
    """The call of a tool that it stands before, or is about."""
    content: Any = None
    """What exactly is to be approved."""
    escalated: bool | None = None
    """Whether it timed out once and was asked again of `escalateTo`."""
    task: str | None = None
    """The task that it stands before, or is about."""
    traceparent: str | None = None
    """W3C Trace Context, from the request."""
    tracestate: str | None = None
    """What vendors add to it."""
    urgency: str | None = None
    """A hint for people."""


class PresenceList(Message):
    """`presence/list/{me}`: asks who is in the room, in one consistent look, a page at a time."""

    after: str | None = None
    """The page after this agent."""
    capability: str | None = None
    """Only those that offer or announce it."""
    connection: ConnectionState | None = None
    """Only those whose connection is so."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    departed: bool | None = None
    """In place of those who are there: those who have left, as long as they are remembered. `status`,
    `connection` and `capability` say nothing about them.
    """
    limit: int | None = None
    """Agents in one answer at most."""
    role: str | None = None
    """Only those with this role."""
    status: Status | None = None
    """Only those with this status."""


class Presence(Message):
    """`presence/agent/{agent}`: the merged truth about an agent in a room (retained)."""

    agent: str
    """The agent."""
    capabilities: list[str]
    """Announced and subscribed, in order."""
    capacity: int
    """Tasks at once."""
    connection: ConnectionState
    """Whether it is connected."""
    in_flight: int
    """Tasks that it holds now in this room."""
    last_seen: int
    """When the gateway last changed this record for something that the agent did, Unix milliseconds.
    """
    since: int
    """In the room since, Unix milliseconds."""
    status: Status
    """Announced or derived."""
    load: float | None = None
    """As announced."""
    metadata: Any = None
    """As announced."""
    name: str | None = None
    """As announced."""
    role: str | None = None
    """As announced."""


class Purged(Message):
    """`data` of the reply to a purge."""

    more: bool
    """Whether there may be more: say it again."""
    purged: int
    """How many messages were taken out."""


class Redrive(Message):
    """`handoff/redrive/{me}`: queue a dead task again, or the dead tasks of a type; each ends with
    another final result.
    """

    correlation_id: str | None = None
    """Echoed in the reply."""
    cursor: str | None = None
    """With `type`: from the answer to the command before, to go on behind what that one looked at.
    """
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    limit: int | None = None
    """With `type`: how many at most."""
    task: str | None = None
    """This one task."""
    type: str | None = None
    """The dead tasks of this type, oldest first."""


class Redriven(Message):
    """What a redrive by type came to, in the reply's `data`."""

    _nested = {"skipped_because": Skipped}

    redriven: int
    """Tasks that were queued again."""
    remaining: int
    """Dead tasks of the type that were not looked at; without skipped ones."""
    skipped: int
    """Dead tasks that were looked at and had to stay."""
    cursor: str | None = None
    """Where the next command is to go on; absent when all were looked at."""
    skipped_because: list[Skipped] | None = None
    """Why they had to."""


class Registration(Message):
    """`tools/register/{me}/{tool}`: say what a tool is, and that one provides it. An empty payload
    withdraws.
    """

    _nested = {"approval": ApprovalRule}

    description: str
    """What it does, for whoever chooses a tool."""
    input_schema: Any
    """JSON Schema of the arguments."""
    annotations: Any = None
    """Hints as MCP has them (`ToolAnnotations`); shown, not interpreted."""
    approval: ApprovalRule | None = None
    """Each call waits for an approval of just its arguments, which the gateway asks for."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    idempotent: bool | None = None
    """Whether a call may be run twice: if its provider vanishes, another one is asked."""
    output_schema: Any = None
    """JSON Schema of the result, an object; results are not checked where there is none."""
    timeout_ms: int | None = None
    """Milliseconds that a call may take where the caller does not say."""
    title: str | None = None
    """A name for people."""


class ReplayPage(Message):
    """`data` of the reply to a replay: one page of the past."""

    _nested = {"events": Event}

    complete: bool
    """Whether everything that was asked for is still kept; if not, it begins at `oldest`."""
    end: bool
    """Whether there is nothing more, at present or before `until`."""
    events: list[Event]
    """In the order of their numbers. There may be none though there are more pages: what matches lies
    further on.
    """
    newest: int
    """The newest event of the room; 0 where there was none."""
    next: int
    """`fromSeq` of the next page; after the last one the number of the next event that will happen.
    """
    oldest: int
    """The oldest event that is kept; `newest` and one more where none is."""


class Replay(Message):
    """`observe/replay/{me}`: asks for the past of the room, a page at a time. It begins at the oldest
    event that is kept, where neither `fromSeq` nor `since` says otherwise.
    """

    correlation_id: str | None = None
    """Echoed in the reply."""
    filter: str | None = None
    """Which events: a topic filter below the room, `observe/events/gateway/handoff`."""
    from_seq: int | None = None
    """The first event wanted, by its number."""
    limit: int | None = None
    """Events in one answer at most."""
    since: int | None = None
    """In place of `fromSeq`: the first time wanted, Unix milliseconds."""
    until: int | None = None
    """The first time that is not wanted any more, Unix milliseconds."""


class Reply(Message):
    """What the gateway answers on `reply/{me}`. An accepted command is answered if it carried an `id`
    or a `correlationId`, a rejected one always.
    """

    _nested = {"current": Entry, "lock": LockState, "versions": Written}

    code: int
    """HTTP's number for it."""
    command: str
    """The command, by its topic: `handoff/dispatch`."""
    status: ReplyStatus
    """Accepted or rejected."""
    approval: str | None = None
    """The approval concerned."""
    call: str | None = None
    """The tool call concerned."""
    correlation_id: str | None = None
    """Echoed from the command."""
    current: Entry | None = None
    """The entry as it stands, with a 409 of the blackboard."""
    data: Any = None
    """What a query found."""
    id: str | None = None
    """The command's own id, echoed."""
    lock: LockState | None = None
    """The lock that is held now, or that is in the way."""
    path: str | None = None
    """The field that is to blame, where one is."""
    reason: str | None = None
    """In words, with every rejection."""
    revision: int | None = None
    """The room's revision after a blackboard write, or of a snapshot."""
    task: str | None = None
    """The task concerned."""
    too_large: int | None = None
    """In place of a message of so many bytes, which is more than its reader takes: something has been
    left out, or cut short.
    """
    version: int | None = None
    """The version that a blackboard write made."""
    versions: list[Written] | None = None
    """What a transaction made of each key that it wrote, in the order of its operations."""


class Roll(Message):
    """`data` of the reply to a list: who is there, or was."""

    _nested = {"agents": Presence, "departed": Departed}

    agents: list[Presence]
    """Those who are there, by name; empty where those who have left were asked for."""
    at: int
    """When it was so, Unix milliseconds."""
    departed: list[Departed]
    """Those who have left, by name, where they were asked for."""
    present: int
    """How many agents are in the room, whatever was asked for."""
    next: str | None = None
    """`after` of the next page, where there is more."""


class Set(Message):
    """`blackboard/set/{me}/{key…}`: write a key."""

    _nested = {"fence": Fence}

    value: Any
    """The new value; `null` is a value."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    fence: Fence | None = None
    """Write only while this lock is held under this token."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    if_version: int | None = None
    """Write only if this is the key's version; 0 means only if it is absent."""
    merge: bool | None = None
    """Apply `value` as a JSON Merge Patch (RFC 7396) instead of replacing."""
    ttl_ms: int | None = None
    """Milliseconds after which the key deletes itself."""


class Snapshot(Message):
    """What `blackboard/get` answers in the reply's `data`."""

    _nested = {"entries": Entry, "locks": LockState}

    entries: list[Entry]
    """The keys, in order."""
    revision: int
    """The room's revision that it shows."""
    locks: list[LockState] | None = None
    """The locks that are held now, by name, if they were asked for."""


class TaskView(Message):
    """A task as `handoff/get` and `handoff/list` show it."""

    _nested = {
        "answers": GivenAnswer,
        "asking": OpenQuestion,
        "error": TaskError,
        "history": AttemptView,
    }

    attempt: int
    """The attempt that it is at; 0 before the first."""
    capabilities: list[str]
    """What it needs, all of it."""
    created_at: int
    """When it was dispatched, Unix milliseconds."""
    dispatcher: str
    """Who dispatched it."""
    max_attempts: int
    """Attempts before it is dead."""
    priority: Priority
    """Which goes first."""
    state: TaskState
    """Where it stands."""
    task: str
    """The task."""
    type: str
    """What kind of task."""
    updated_at: int
    """When it last changed, Unix milliseconds."""
    answers: list[GivenAnswer] | None = None
    """What came of the questions before. Only in the answer to `handoff/get`."""
    any_of: list[str] | None = None
    """Of which it needs one besides."""
    approval: str | None = None
    """The approval that it waits for."""
    asking: OpenQuestion | None = None
    """What its worker waits to be answered. Only in the answer to `handoff/get`."""
    bytes: int | None = None
    """The size of its assignment as a packet: what `maxBytes` of a worker is held against."""
    deadline: int | None = None
    """When it expires, Unix milliseconds."""
    depends_on: list[str] | None = None
    """What it depends on."""
    due_at: int | None = None
    """When it may be handed out at the earliest, Unix milliseconds; for one that waits for its delay
    or backoff.
    """
    error: TaskError | None = None
    """What went wrong last."""
    group: str | None = None
    """The group that it is of."""
    history: list[AttemptView] | None = None
    """Its attempts, oldest first; only the latest where there were many. Only in the answer to
    `handoff/get`.
    """
    last_progress: Any = None
    """What its worker said last of how far it is. Only in the answer to `handoff/get`."""
    parent: str | None = None
    """The task that it belongs to."""
    payload: Any = None
    """As dispatched; where it was asked for, as long as the task may be handed out."""
    result: Any = None
    """Its final result, as its worker gave it. Only in the answer to `handoff/get`."""
    result_omitted: bool | None = None
    """It had a result, for which there is no room any more, or none in this answer."""
    waits_for: list[str] | None = None
    """What of that it still waits for."""
    worker: str | None = None
    """Who has it, or had it last."""


class TaskPage(Message):
    """What `handoff/list` shows. A page may have fewer tasks than its limit, even none, and still not
    be the last.
    """

    _nested = {"tasks": TaskView}

    tasks: list[TaskView]
    """The tasks, without their histories."""
    cursor: str | None = None
    """Where the next page begins; absent on the last one."""


class TaskResult(Message):
    """`handoff/result/{dispatcher}`: exactly one final one per task, and partial ones before it."""

    _nested = {"error": TaskError}

    at: int
    """When this result came about, Unix milliseconds."""
    attempts: int
    """How many attempts there were; with `input` the one that asks."""
    created_at: int
    """When it was dispatched, Unix milliseconds."""
    final: bool
    """Whether this is the one final result."""
    status: ResultStatus
    """How it ended, or `partial`, or `input`."""
    task: str
    """The task."""
    type: str
    """What kind of task."""
    ask: int | None = None
    """With `input`: which question of the task this is, counted from 1."""
    correlation_id: str | None = None
    """As dispatched."""
    error: TaskError | None = None
    """What went wrong, where something did."""
    expires_at: int | None = None
    """With `input`: when nobody waits for the answer any more, Unix milliseconds."""
    part: int | None = None
    """Which partial result of the task this is, counted from 1."""
    question: Any = None
    """With `input`: what is asked."""
    result: Any = None
    """What the worker returned."""
    schema: Any = None
    """With `input`: what the answer must look like, a JSON Schema."""
    too_large: int | None = None
    """In place of a message of so many bytes, which is more than its reader takes: something has been
    left out, or cut short.
    """
    traceparent: str | None = None
    """As dispatched."""
    tracestate: str | None = None
    """As dispatched."""
    worker: str | None = None
    """Who had it last."""


class Task(Message):
    """`handoff/dispatch/{me}`: hand a task to whoever can do it."""

    _nested = {"backoff": Backoff}

    type: str
    """What kind of task."""
    affinity: str | None = None
    """The same value prefers the same worker."""
    any_of: list[str] | None = None
    """Besides, the worker must be able to do one of these."""
    backoff: Backoff | None = None
    """The wait between attempts."""
    capabilities: list[str] | None = None
    """What the worker must be able to do, all of it; the type alone if not said."""
    correlation_id: str | None = None
    """Echoed in the reply and in every result."""
    depends_on: list[str] | None = None
    """Tasks of the room that must succeed first; one that ends otherwise fails this one."""
    group: str | None = None
    """Tasks of one group are gathered into one group result."""
    group_size: int | None = None
    """How many tasks the group has; with the first of them at least."""
    id: str | None = None
    """The dispatcher's own id; a repeat is a no-op that returns the first outcome."""
    lease_ms: int | None = None
    """Milliseconds that a worker may be silent."""
    max_attempts: int | None = None
    """Attempts before it is dead."""
    max_deliveries: int | None = None
    """How often one attempt is sent to its worker before it counts as lost."""
    not_before_ms: int | None = None
    """Milliseconds to wait before the first attempt."""
    parent: str | None = None
    """The task that this one belongs to; cancelling that one cancels this."""
    payload: Any = None
    """What the worker gets, as it is."""
    priority: Priority | None = None
    """Which goes first."""
    require_online: bool | None = None
    """Refuse with 503 if nobody online can do it, instead of waiting."""
    traceparent: str | None = None
    """W3C trace context, carried to the worker, the events and the result."""
    tracestate: str | None = None
    """W3C trace state, carried along."""
    ttl_ms: int | None = None
    """Milliseconds after which it expires unless it ended."""


class ToolCall(Message):
    """`tools/call/{me}/{tool}`: have a tool run."""

    arguments: Any = None
    """What the provider gets, as it is; `{}` if not said."""
    correlation_id: str | None = None
    """Echoed in the reply, to the provider and in the results."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    timeout_ms: int | None = None
    """Milliseconds until the caller gives up; the tool's own if not said."""
    traceparent: str | None = None
    """W3C trace context, carried to the provider and the results."""
    tracestate: str | None = None
    """W3C trace state, carried along."""


class ToolCard(Message):
    """`tools/card/{tool}`: an MCP `Tool` object and who provides it (retained; cleared when nobody has
    registered it any more).
    """

    _nested = {"approval": ApprovalRule}

    description: str
    """What it does."""
    idempotent: bool
    """Whether a call whose provider vanishes goes to another."""
    input_schema: Any
    """JSON Schema of the arguments."""
    name: str
    """The tool."""
    providers: list[str]
    """Who can be called now: registered, subscribed to `tools/run/{tool}`, online and not draining.
    """
    timeout_ms: int
    """Milliseconds that a call may take where the caller does not say."""
    annotations: Any = None
    """Hints as MCP has them."""
    approval: ApprovalRule | None = None
    """What each call has to be approved by first."""
    output_schema: Any = None
    """JSON Schema of the result."""
    title: str | None = None
    """A name for people."""


class ToolResult(Message):
    """`tools/result/{caller}`: what came of a call; exactly one of them is `final`."""

    _nested = {"error": ToolError}

    at: int
    """When this was said, Unix milliseconds."""
    call: str
    """The call."""
    called_at: int
    """When it was called, Unix milliseconds."""
    final: bool
    """Whether the call is over with this."""
    provider: str
    """Who ran it last; `gateway` where it was never approved."""
    status: ReturnStatus
    """What it is."""
    tool: str
    """The tool."""
    ask: int | None = None
    """With `input`: which question of the call this is, counted from 1."""
    correlation_id: str | None = None
    """Echoed from the call."""
    error: ToolError | None = None
    """Why it came to nothing."""
    expires_at: int | None = None
    """With `input`: when nobody waits for the answer any more, Unix milliseconds."""
    question: Any = None
    """With `input`: what is asked of the caller."""
    result: Any = None
    """As the provider gave it."""
    schema: Any = None
    """With `input`: what the answer must look like, a JSON Schema."""
    too_large: int | None = None
    """In place of a message of so many bytes, which is more than its reader takes: something has been
    left out, or cut short.
    """
    traceparent: str | None = None
    """Carried from the call."""
    tracestate: str | None = None
    """Carried from the call."""


class ToolReturn(Message):
    """`tools/return/{me}`: a provider's answer."""

    _nested = {"error": ToolError}

    call: str
    """The call; 409 if it is over."""
    status: ReturnStatus
    """What the answer is."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    error: ToolError | None = None
    """With `error`."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    question: Any = None
    """With `input`: what is asked of the caller."""
    result: Any = None
    """The result, or a part of it; with `success` it must satisfy the output schema."""
    schema: Any = None
    """With `input`: what the answer must look like, a JSON Schema."""
    ttl_ms: int | None = None
    """With `input`: milliseconds after which the provider goes on without an answer."""


class ToolRun(Message):
    """`tools/run/{tool}`: a call, for exactly one provider."""

    _nested = {"answers": GivenAnswer}

    call: str
    """The call."""
    called_at: int
    """When it was called, Unix milliseconds."""
    caller: str
    """Who calls."""
    deadline: int
    """When nobody waits for the answer any more, Unix milliseconds."""
    tool: str
    """The tool."""
    answers: list[GivenAnswer] | None = None
    """What came of the questions that were asked so far, in their order."""
    arguments: Any = None
    """As the caller gave them; they satisfy the input schema. Left out in a run that comes again with
    an answer, where the tool is not idempotent: its provider has them.
    """
    correlation_id: str | None = None
    """Echoed from the call."""
    traceparent: str | None = None
    """Carried from the call."""
    tracestate: str | None = None
    """Carried from the call."""


class Txn(Message):
    """`blackboard/txn/{me}`: several writes and conditions, all or nothing, as one revision of the
    room. Every condition is about the room as it was before. A key is written by one operation at
    most.
    """

    _nested = {"ops": Op, "fence": Fence}

    ops: list[Op]
    """What is to be done, in order; one at least."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    fence: Fence | None = None
    """Only while this lock is held under this token."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""


class Unlock(Message):
    """`blackboard/unlock/{me}/{name}`: give a lock back, or no longer wait for it. May be empty."""

    correlation_id: str | None = None
    """Echoed in the reply."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    token: int | None = None
    """Only if the lock is held under this token."""


class Update(Message):
    """`handoff/update/{me}`: a worker's word on its task."""

    _nested = {"error": TaskError}

    attempt: int
    """From the assignment; an old one is 409 and changes nothing."""
    status: UpdateStatus
    """What happened."""
    task: str
    """The task."""
    answerers: list[str] | None = None
    """With `input`: who may answer besides the dispatcher: agents, or `role:NAME`."""
    correlation_id: str | None = None
    """Echoed in the reply."""
    error: TaskError | None = None
    """With `error`."""
    id: str | None = None
    """Makes a repeat a no-op that returns the first outcome."""
    question: Any = None
    """With `input`: what is asked."""
    result: Any = None
    """The result (`success`), or a partial one (`progress`); with `error` and `release` what the next
    attempt is to know.
    """
    schema: Any = None
    """With `input`: what the answer must look like, a JSON Schema."""
    ttl_ms: int | None = None
    """With `input`: milliseconds after which the worker goes on without an answer."""



BY_SCHEMA: dict[str, type[Message]] = {
    "announcement": Announcement,
    "answer-call": AnswerCall,
    "answer-task": AnswerTask,
    "approval-request": ApprovalRequest,
    "assignment": Assignment,
    "audit-page": AuditPage,
    "audit-query": AuditQuery,
    "call-over": CallOver,
    "call-view": CallView,
    "cancel-approval": CancelApproval,
    "cancel-call": CancelCall,
    "cancel": Cancel,
    "close-room": CloseRoom,
    "decide": Decide,
    "decision": Decision,
    "delete": Delete,
    "dropped-refusals": DroppedRefusals,
    "entry": Entry,
    "event": Event,
    "get-call": GetCall,
    "get-history": GetHistory,
    "get-task": GetTask,
    "get": Get,
    "group-result": GroupResult,
    "history": History,
    "key-page": KeyPage,
    "list-keys": ListKeys,
    "list-tasks": ListTasks,
    "lock": Lock,
    "mailbox-list": MailboxList,
    "mailbox-page": MailboxPage,
    "mailbox-purge": MailboxPurge,
    "open-question": OpenQuestion,
    "pending-approval": PendingApproval,
    "presence-list": PresenceList,
    "presence": Presence,
    "purged": Purged,
    "redrive": Redrive,
    "redriven": Redriven,
    "registration": Registration,
    "replay-page": ReplayPage,
    "replay": Replay,
    "reply": Reply,
    "roll": Roll,
    "set": Set,
    "snapshot": Snapshot,
    "task-page": TaskPage,
    "task-result": TaskResult,
    "task-view": TaskView,
    "task": Task,
    "tool-call": ToolCall,
    "tool-card": ToolCard,
    "tool-result": ToolResult,
    "tool-return": ToolReturn,
    "tool-run": ToolRun,
    "txn": Txn,
    "unlock": Unlock,
    "update": Update,
}
"""Each message by the name of its schema's file."""
