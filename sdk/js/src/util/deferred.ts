/** Promises that are settled from outside, and waiting with limits. */

import { Timeout } from "../errors.js";
import { onAbort } from "./abort.js";

/** A promise that is settled from outside. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  settled = false;
  #resolve!: (value: T) => void;
  #reject!: (error: unknown) => void;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Not everybody has to wait: a rejection that nobody sees is no error of the program.
    this.promise.catch(() => {});
  }

  resolve(value: T): void {
    this.settled = true;
    this.#resolve(value);
  }

  reject(error: unknown): void {
    this.settled = true;
    this.#reject(error);
  }
}

export interface Limits {
  /** Milliseconds; no limit if not said. */
  timeoutMs?: number | undefined;
  /** Each ends the wait with its reason. */
  signals?: readonly (AbortSignal | undefined)[];
  /** What is waited for, in the words of the error. */
  what: string;
  hint?: () => string;
}

/** The promise's outcome, or an error when time is over or a signal says so. */
export async function within<T>(promise: Promise<T>, limits: Limits): Promise<T> {
  const { timeoutMs, signals = [], what, hint } = limits;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let leave: (() => void)[] = [];
  try {
    return await new Promise<T>((resolve, reject) => {
      promise.then(resolve, reject);
      leave = signals.map((signal) => onAbort(signal, reject));
      if (timeoutMs === undefined) return;
      timer = after(timeoutMs, () => reject(new Timeout(what, timeoutMs, hint?.() ?? "")));
    });
  } finally {
    clearTimeout(timer);
    for (const off of leave) off();
  }
}

/** `setTimeout` that takes longer than 24.8 days as 24.8 days instead of as nothing. */
export function after(ms: number, run: () => void): ReturnType<typeof setTimeout> {
  return setTimeout(run, Math.min(ms, 0x7fff_ffff));
}

/** Waits so long, or until the signal says stop: then `false`. */
export function sleep(ms: number, stop?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    let off = () => {};
    const timer = after(ms, () => {
      off();
      resolve(true);
    });
    off = onAbort(stop, () => {
      clearTimeout(timer);
      resolve(false);
    });
  });
}

/** Waits so long, or throws a signal's reason. */
export async function pause(ms: number, signals: readonly (AbortSignal | undefined)[]) {
  const over = new Deferred<void>();
  const timer = after(ms, () => over.resolve());
  try {
    await within(over.promise, { signals, what: "end of a pause" });
  } finally {
    clearTimeout(timer);
  }
}
