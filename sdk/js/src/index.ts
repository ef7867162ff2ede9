/**
 * Agents that work together over MQTT, through a Hallward gateway.
 *
 * @example
 * const me = await connect("mqtt://localhost", { agent: "editor" });
 * const room = me.joinRoom("newsroom");
 * const draft = await room.handoff.run("draft", { title: "Tides" });
 */

export { type AgentOptions, HallwardAgents, connect } from "./agents.js";
export type { CallOptions, ConnectionStatus } from "./client.js";
export * from "./errors.js";
export type { Protocol, TlsOptions } from "./mqtt/connection.js";
export {
  type Approval,
  type ApprovalChange,
  type ApprovalSpec,
  type Approve,
  type DecideOptions,
  PendingApproval,
} from "./patterns/approve.js";
export type {
  Blackboard,
  Change,
  Entry,
  LockOptions,
  Operation,
  SetOptions,
  WriteOptions,
  Written,
} from "./patterns/blackboard.js";
export type { Handoff, TaskFilter, TaskSpec } from "./patterns/handoff.js";
export type { Handler, HandlerOptions } from "./patterns/handlers.js";
export { type Inbox, InboxMessage } from "./patterns/inbox.js";
export { Lock } from "./patterns/lock.js";
export type { Mailbox, Purge } from "./patterns/mailbox.js";
export type {
  EventsOptions,
  EventsQuery,
  GatewayEvent,
  Observe,
  Observed,
} from "./patterns/observe.js";
export type { AgentFilter, Announcement, Presence, PresenceChange } from "./patterns/presence.js";
export { Question, ToolQuestion } from "./patterns/question.js";
export { GroupHandle, TaskHandle, TaskResult } from "./patterns/task.js";
export type { ToolCallOptions, ToolChange, Tools } from "./patterns/tools.js";
export { Room } from "./room.js";
export type { Duration, Moment } from "./util/duration.js";
export type { Logger } from "./util/logger.js";
export { randomId } from "./util/names.js";
export { decode, encode } from "./wire/codec.js";
export type * as wire from "./wire/types.js";
export type { AskOptions } from "./worker/attempt.js";
export {
  Draining,
  RoomWorker,
  type RoomWorkerOptions,
  type TaskContext,
  type TaskHandler,
  type TaskOptions,
  type ToolHandler,
  type ToolSpec,
} from "./worker/room-worker.js";
export { Task } from "./worker/task.js";
export { ToolCall } from "./worker/tool-call.js";
export { type RunOptions, Worker, type WorkerOptions } from "./worker/worker.js";
