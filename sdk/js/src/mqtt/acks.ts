/**
 * Acknowledgements, in the order in which messages came (MQTT-4.6.0-2).
 *
 * Handlers end in any order; a message is acknowledged once it and all before it are done. When
 * the connection is lost, what was not acknowledged comes again under the same packet id if the
 * session is resumed: it is recognised, so that no handler runs twice for it.
 */

import type { Delivery } from "./connection.js";

const MAX_CARRIED = 1_024;

/** A message between its receipt and its acknowledgement. */
export class Receipt {
  readonly delivery: Delivery;
  isDone = false;
  readonly #ledger: AckLedger;

  constructor(ledger: AckLedger, delivery: Delivery) {
    this.#ledger = ledger;
    this.delivery = delivery;
  }

  /** Its handler is done with it. */
  done(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.#ledger.flush();
  }
}

export class AckLedger {
  #order: Receipt[] = [];
  #carried = new Map<number, Receipt>();
  #acknowledge: ((packetId: number) => void) | undefined;

  /** How many messages came and are not acknowledged. */
  get unacked(): number {
    return this.#order.length;
  }

  /** A connection stands. Without its old session, what comes again has other packet ids. */
  connected(acknowledge: (packetId: number) => void, resumed: boolean): void {
    this.#acknowledge = acknowledge;
    if (!resumed) this.#carried.clear();
    this.flush();
  }

  disconnected(): void {
    this.#acknowledge = undefined;
    for (const receipt of this.#order) {
      this.#carried.set(receipt.delivery.packetId as number, receipt);
    }
    this.#order = [];
    for (const packetId of this.#carried.keys()) {
      if (this.#carried.size <= MAX_CARRIED) break;
      this.#carried.delete(packetId);
    }
  }

  /** `undefined` if a handler has this message already, or had it. */
  receive(delivery: Delivery): Receipt | undefined {
    const known = this.#carried.get(delivery.packetId as number);
    this.#carried.delete(delivery.packetId as number);
    const again = delivery.dup && known !== undefined && same(known.delivery, delivery);
    const receipt = again ? known : new Receipt(this, delivery);
    this.#order.push(receipt);
    if (again) this.flush();
    return again ? undefined : receipt;
  }

  flush(): void {
    const acknowledge = this.#acknowledge;
    if (!acknowledge) return;
    const open = this.#order.findIndex((receipt) => !receipt.isDone);
    const done = this.#order.splice(0, open < 0 ? this.#order.length : open);
    for (const receipt of done) acknowledge(receipt.delivery.packetId as number);
  }
}

function same(one: Delivery, other: Delivery): boolean {
  if (one.topic !== other.topic || one.payload.length !== other.payload.length) return false;
  return one.payload.every((byte, at) => byte === other.payload[at]);
}
