/**
 * Abort signals with any number of listeners.
 *
 * Node.js warns of a leak at the eleventh listener of a signal, and `AbortSignal.any` of a signal
 * that lives long does leak in some of its versions; a program may well wait for a thousand things
 * with one signal. So each signal has one listener here, that tells all others.
 */

type Listener = (reason: unknown) => void;

const listeners = new WeakMap<AbortSignal, Set<Listener>>();

/** Calls the listener once: at once, if it is aborted already. What is returned takes it back. */
export function onAbort(signal: AbortSignal | undefined, listener: Listener): () => void {
  if (!signal) return () => {};
  if (signal.aborted) {
    listener(signal.reason);
    return () => {};
  }
  const others = listeners.get(signal) ?? listen(signal);
  others.add(listener);
  return () => others.delete(listener);
}

function listen(signal: AbortSignal): Set<Listener> {
  const all = new Set<Listener>();
  listeners.set(signal, all);
  const tell = () => {
    for (const listener of all) listener(signal.reason);
    all.clear();
  };
  signal.addEventListener("abort", tell, { once: true });
  return all;
}
