/** Presence: who is here, and what they can take. */

import type { CallOptions, Client } from "../client.js";
import type * as wire from "../wire/types.js";
import { encode } from "../wire/codec.js";
import { checkFunction, checkOptions, fieldsOf } from "../util/checks.js";
import { defined } from "../util/objects.js";
import { Live } from "./live.js";

export type Announcement = Omit<wire.Announcement, "correlationId">;

export interface AgentFilter {
  role?: string;
  status?: wire.Status;
  connection?: wire.ConnectionState;
  capability?: string;
}

/** What has become of an agent in a room. */
export type PresenceChange =
  | { room: string; agent: string; presence: wire.Presence }
  | { room: string; agent: string; presence: undefined };

const ANNOUNCEMENT = fieldsOf<Announcement>({
  capabilities: true,
  capacity: true,
  encoding: true,
  load: true,
  maxBytes: true,
  metadata: true,
  name: true,
  role: true,
  status: true,
});
const PAGE = 1_000;

export class Presence {
  readonly #client: Client;
  readonly #room: string;
  readonly #agents = new Map<string, wire.Presence>();
  readonly #changes: Live<PresenceChange>;
  #announced: Announcement | undefined;
  #watching: Promise<void> | undefined;

  constructor(client: Client, room: string) {
    this.#client = client;
    this.#room = room;
    this.#changes = new Live(client, `presence in ${room}`);
    client.onStatus((status) => {
      // A session that is gone has taken with it what was said of this agent.
      if (status.status !== "connected" || status.resumed || !this.#announced) return;
      this.announce({}).catch((error: unknown) => {
        client.logger.warn(`could not announce ${client.agent} in ${room} again`, error);
      });
    });
  }

  /** Says more of this agent than its connection does; what was said before stays. */
  async announce(announcement: Announcement, options: CallOptions = {}): Promise<void> {
    checkOptions("an announcement", announcement, ANNOUNCEMENT);
    this.#announced = defined({ ...this.#announced, ...announcement });
    await this.#client.query(
      this.#room,
      `presence/announce/${this.#client.agent}`,
      this.#announced,
      options,
    );
  }

  /** Leaves the room: tasks that this agent has go to others. */
  async leave(options: CallOptions = {}): Promise<void> {
    this.#announced = undefined;
    const nothing = encode("json", undefined);
    const suffix = `presence/announce/${this.#client.agent}`;
    await this.#client.publish(this.#room, suffix, nothing, options);
  }

  /** Who is here, in one consistent look (beyond 1,000 agents: one look a page). */
  async agents(filter: AgentFilter = {}, options: CallOptions = {}): Promise<wire.Presence[]> {
    const agents: wire.Presence[] = [];
    let after: string | undefined;
    do {
      const roll = await this.#roll({ ...filter, after }, options);
      agents.push(...roll.agents);
      after = roll.next;
    } while (after !== undefined);
    return agents;
  }

  /** Who was here, the last ones that the gateway remembers. */
  async departed(options: CallOptions = {}): Promise<wire.Departed[]> {
    return (await this.#roll({ departed: true }, options)).departed;
  }

  /** What somebody here can do, and who. */
  async capabilities(options: CallOptions = {}): Promise<Map<string, string[]>> {
    const able = new Map<string, string[]>();
    for (const { agent, capabilities } of await this.agents({}, options)) {
      for (const name of capabilities) able.set(name, [...(able.get(name) ?? []), agent]);
    }
    return able;
  }

  #roll(query: wire.PresenceList, options: CallOptions): Promise<wire.Roll> {
    const topic = `presence/list/${this.#client.agent}`;
    return this.#client.query(this.#room, topic, { ...query, limit: PAGE }, options);
  }

  /** Everybody as they stand, then each change. */
  async *watch(options: { signal?: AbortSignal } = {}): AsyncGenerator<PresenceChange, void> {
    const changes = this.#changes.iterate(options);
    const there = [...this.#agents.values()];
    try {
      await this.#watch();
      for (const presence of there) yield { room: this.#room, agent: presence.agent, presence };
      yield* changes;
    } finally {
      await changes.return();
    }
  }

  onChange(handler: (change: PresenceChange) => unknown): () => void {
    checkFunction("a handler", handler);
    void this.#watch().catch(() => {});
    return this.#changes.on(handler);
  }

  #watch(): Promise<void> {
    this.#watching ??= (async () => {
      this.#client.route(this.#room, "presence/agent", (message) => {
        const change = presenceChange(message.room, message.rest, message.body());
        if (change.presence) this.#agents.set(change.agent, change.presence);
        else this.#agents.delete(change.agent);
        this.#changes.emit(change);
        message.done();
        return true;
      });
      await this.#client.subscribe(this.#room, "presence/agent/+");
    })();
    return this.#watching;
  }
}

export function presenceChange(
  room: string,
  rest: readonly string[],
  presence: wire.Presence | undefined,
): PresenceChange {
  return { room, agent: rest[0] ?? "", presence } as PresenceChange;
}
