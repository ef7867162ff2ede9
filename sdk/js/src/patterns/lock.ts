/** A lock that is held: a lease on a name, renewed until it is released. */

import { HallwardError } from "../errors.js";
import { onAbort } from "../util/abort.js";
import type * as wire from "../wire/types.js";

interface Holding {
  state: wire.LockState;
  ttlMs: number;
  renews: boolean;
  over: AbortSignal;
  renew(): Promise<wire.LockState>;
  release(): Promise<void>;
}

export class Lock implements AsyncDisposable {
  readonly name: string;
  readonly holder: string;
  /** Larger than every one before: a write with `fence` counts only while this one is held. */
  readonly token: number;
  readonly #holding: Holding;
  readonly #lost = new AbortController();
  #forget = () => {};
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(holding: Holding) {
    const { state, ttlMs, renews, over } = holding;
    this.#holding = holding;
    this.name = state.name;
    this.holder = state.holder;
    this.token = state.token;
    if (renews) this.#timer = setInterval(() => void this.renew().catch(() => {}), ttlMs / 3);
    this.#forget = onAbort(over, (reason) => this.#stop(reason));
  }

  /** Aborted when the lock is lost, or released. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Holds it for another `ttl` from now on. */
  async renew(): Promise<void> {
    try {
      await this.#holding.renew();
    } catch (error) {
      if (error instanceof HallwardError && error.kind === "Conflict") this.#stop(error);
      throw error;
    }
  }

  async release(): Promise<void> {
    if (this.signal.aborted) return;
    this.#stop(new Error("the lock was released"));
    await this.#holding.release();
  }

  #stop(reason: unknown): void {
    clearInterval(this.#timer);
    this.#forget();
    if (!this.signal.aborted) this.#lost.abort(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}
