/** What waits for an agent: looked at, and taken out. */

import type { CallOptions, Client } from "../client.js";
import type * as wire from "../wire/types.js";

export type Purge = { all: true } | { kind: wire.MailKind } | { seqs: number[] };

export class Mailbox {
  readonly #client: Client;
  readonly #room: string;

  constructor(client: Client, room: string) {
    this.#client = client;
    this.#room = room;
  }

  /** What waits for this agent, or for another (with authentication on: as an administrator). */
  async *list(
    query: { of?: string; kind?: wire.MailKind } = {},
    options: CallOptions = {},
  ): AsyncGenerator<wire.Mail, void> {
    const { of, kind } = query;
    let after: number | undefined;
    do {
      const body = { kind, after };
      const topic = this.#topic("list", of);
      const page = await this.#client.query<wire.MailboxPage>(this.#room, topic, body, options);
      yield* page.mail;
      after = page.next;
    } while (after !== undefined);
  }

  /** Takes some of it out; says how many. What is being delivered stays. */
  async purge(what: Purge, options: CallOptions & { of?: string } = {}): Promise<number> {
    for (let purged = 0; ;) {
      const topic = this.#topic("purge", options.of);
      const reply = await this.#client.command(this.#room, topic, what, options);
      const page = reply.data as wire.Purged;
      purged += page.purged;
      if (!page.more) return purged;
    }
  }

  #topic(verb: string, of: string | undefined): string {
    return `mailbox/${verb}/${this.#client.agent}${of === undefined ? "" : `/${of}`}`;
  }
}
