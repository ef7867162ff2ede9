/**
 * Acknowledgements, in the order in which messages came (MQTT-4.6.0-2).
 *
 * Handlers end in any order; a message is acknowledged once it and all before it are done. When
 * the connection is lost, what was not acknowledged comes again: it is recognised, so that no
 * handler runs twice for it, whether the session was resumed or not.
 */

import type { Delivery } from "./connection.js";

const MAX_CARRIED = 1_024;

/** A message between its receipt and its acknowledgement. */
export class Receipt {
  /** As it came last: the packet id of the acknowledgement. */
  delivery: Delivery;
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
    this.#ledger.finished();
  }
}

export class AckLedger {
  #order: Receipt[] = [];
  /** What came on connections before, in its order, and is expected again. */
  #carried: Receipt[] = [];
  #acknowledge: ((packetId: number) => void) | undefined;
  #resumed = false;
  readonly #onFinished: () => void;

  constructor(onFinished: () => void = () => {}) {
    this.#onFinished = onFinished;
  }

  /** How many messages came and are not acknowledged. */
  get unacked(): number {
    return this.#order.length;
  }

  connected(acknowledge: (packetId: number) => void, resumed: boolean): void {
    this.#acknowledge = acknowledge;
    this.#resumed = resumed;
    this.#flush();
  }

  disconnected(): void {
    this.#acknowledge = undefined;
    this.#carried = [...this.#carried, ...this.#order].slice(-MAX_CARRIED);
    this.#order = [];
  }

  /** `undefined` if a handler has this message already, or had it. */
  receive(delivery: Delivery): Receipt | undefined {
    // In a session that was resumed, what comes again says so (DUP).
    const again = delivery.dup || !this.#resumed;
    const at = again ? this.#carried.findIndex((one) => same(one.delivery, delivery)) : -1;
    const [known] = at < 0 ? [] : this.#carried.splice(at, 1);
    const receipt = known ?? new Receipt(this, delivery);
    receipt.delivery = delivery;
    this.#order.push(receipt);
    if (!known) return receipt;
    this.#flush();
    return undefined;
  }

  /** The topics of what handlers have in hand. */
  *inHand(): Generator<string> {
    for (const { isDone, delivery } of [...this.#order, ...this.#carried]) {
      if (!isDone) yield delivery.topic;
    }
  }

  /** @internal One more is done. */
  finished(): void {
    this.#flush();
    this.#onFinished();
  }

  #flush(): void {
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
