/** A room: where agents meet, with one member for each pattern. */

import type { CallOptions, Client } from "./client.js";
import { Approve } from "./patterns/approve.js";
import { Blackboard } from "./patterns/blackboard.js";
import { Handoff } from "./patterns/handoff.js";
import { Inbox } from "./patterns/inbox.js";
import { Mailbox } from "./patterns/mailbox.js";
import { Observe } from "./patterns/observe.js";
import { type AgentFilter, type Announcement, Presence } from "./patterns/presence.js";
import { Tools } from "./patterns/tools.js";
import { randomId } from "./util/names.js";
import { encode } from "./wire/codec.js";
import type * as wire from "./wire/types.js";
import { type RoomWorkerOptions, RoomWorker } from "./worker/room-worker.js";

export class Room {
  readonly name: string;
  readonly handoff: Handoff;
  readonly inbox: Inbox;
  readonly blackboard: Blackboard;
  readonly approve: Approve;
  readonly observe: Observe;
  readonly tools: Tools;
  readonly presence: Presence;
  readonly mailbox: Mailbox;
  /** Resolves when this agent can be answered here; nobody has to wait for it. */
  readonly ready: Promise<void>;
  readonly #client: Client;
  #worker: RoomWorker | undefined;

  /** @internal Use `joinRoom`. */
  constructor(client: Client, name: string) {
    this.#client = client;
    this.name = name;
    this.handoff = new Handoff(client, name);
    this.inbox = new Inbox(client, name);
    this.blackboard = new Blackboard(client, name);
    this.approve = new Approve(client, name);
    this.observe = new Observe(client, name);
    this.tools = new Tools(client, name);
    this.presence = new Presence(client, name);
    this.mailbox = new Mailbox(client, name);
    // QoS 0: a reply is no part of the window of what waits for handlers. See client.ts.
    this.ready = client.subscribe(name, `reply/${client.agent}`, 0);
    this.ready.catch(() => {});
  }

  /** Says more of this agent than its connection does; what was said before stays. */
  announce(announcement: Announcement, options: CallOptions = {}): Promise<void> {
    return this.presence.announce(announcement, options);
  }

  /** Who is here. */
  agents(filter: AgentFilter = {}, options: CallOptions = {}): Promise<wire.Presence[]> {
    return this.presence.agents(filter, options);
  }

  /** What somebody here can do, and who. */
  capabilities(options: CallOptions = {}): Promise<Map<string, string[]>> {
    return this.presence.capabilities(options);
  }

  /** This agent as a worker in this room. Add tasks and tools, then `start()`. */
  worker(options: RoomWorkerOptions = {}): RoomWorker {
    if (this.#worker && !this.#worker.ended) throw new Error("an agent is one worker in a room");
    this.#worker = new RoomWorker(this.#client, this, options);
    return this.#worker;
  }

  /** Leaves: tasks that this agent has go to others. */
  leave(options: CallOptions = {}): Promise<void> {
    return this.presence.leave(options);
  }

  /** Ends everything in the room. For administrators. */
  async close(options: CallOptions & { reason?: string } = {}): Promise<void> {
    const body = { reason: options.reason };
    await this.#client.command(this.name, `room/close/${this.#client.agent}`, body, options);
  }

  /** Lets it be used again. For administrators. */
  async open(options: CallOptions = {}): Promise<void> {
    await this.#client.command(this.name, `room/open/${this.#client.agent}`, {}, options);
  }

  /**
   * Publishes bytes, or JSON, to a topic below the room, for what this package has no method for.
   * With `reply: true` it is a command: it resolves with its reply, or throws what that says.
   */
  async publish(
    topic: string,
    body: unknown,
    options: CallOptions & { reply?: boolean } = {},
  ): Promise<wire.Reply | undefined> {
    if (options.reply) {
      const withId = { id: randomId(), ...(body as object) };
      return this.#client.command(this.name, topic, withId, options);
    }
    const bytes = body instanceof Uint8Array ? body : encode(this.#client.encoding, body);
    await this.#client.publish(this.name, topic, bytes, options);
    return undefined;
  }
}
