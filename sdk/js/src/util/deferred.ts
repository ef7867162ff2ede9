/** A promise that is settled from outside, at most once, with an optional deadline and signal. */

import { Timeout } from "../errors.js";

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
  signal?: AbortSignal | undefined;
  /** What is waited for, in the words of the error. */
  what: string;
  hint?: () => string;
}

/** The promise's outcome, or an error when time is over or the signal says so. */
export async function within<T>(promise: Promise<T>, limits: Limits): Promise<T> {
  const { timeoutMs, signal, what, hint } = limits;
  signal?.throwIfAborted();
  if (timeoutMs === undefined && signal === undefined) return promise;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let abort: (() => void) | undefined;
  const limit = new Promise<never>((_, reject) => {
    if (timeoutMs !== undefined) {
      timer = after(timeoutMs, () => reject(new Timeout(what, timeoutMs, hint?.() ?? "")));
    }
    abort = () => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
    if (abort) signal?.removeEventListener("abort", abort);
  }
}

/** `setTimeout` that takes longer than 24.8 days as 24.8 days instead of as nothing. */
export function after(ms: number, run: () => void): ReturnType<typeof setTimeout> {
  return setTimeout(run, Math.min(ms, 0x7fff_ffff));
}

/** Waits so long, or until the signal says stop: then `false`. */
export function sleep(ms: number, stop?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (stop?.aborted) return resolve(false);
    const end = (slept: boolean) => {
      clearTimeout(timer);
      stop?.removeEventListener("abort", stopped);
      resolve(slept);
    };
    const stopped = () => end(false);
    const timer = after(ms, () => end(true));
    stop?.addEventListener("abort", stopped, { once: true });
  });
}

/** Waits so long, or throws the signal's reason. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (!(await sleep(ms, signal))) throw signal.reason;
}
