/**
 * W3C trace context, from OpenTelemetry if the program has it. There is no dependency on it:
 * without `@opentelemetry/api` nothing is traced and nothing fails.
 */

export interface TraceContext {
  traceparent?: string | undefined;
  tracestate?: string | undefined;
}

/** What is used of `@opentelemetry/api`. */
interface OpenTelemetry {
  ROOT_CONTEXT: unknown;
  context: {
    active(): unknown;
    with<T>(context: unknown, run: () => T): T;
  };
  propagation: {
    inject(context: unknown, carrier: object): void;
    extract(context: unknown, carrier: object): unknown;
  };
}

let api: OpenTelemetry | undefined;

/** Looks for OpenTelemetry; once, when the first connection is made. */
export async function loadOpenTelemetry(): Promise<void> {
  // Not a literal, or bundlers would insist on it.
  const name = "@opentelemetry/api";
  try {
    api ??= (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as OpenTelemetry;
  } catch {
    // Not installed.
  }
}

/** The context that is active here, or what was said instead. */
export function traceOf(said: TraceContext): TraceContext {
  if (said.traceparent !== undefined || !api) {
    return { traceparent: said.traceparent, tracestate: said.tracestate };
  }
  const carrier: TraceContext = {};
  api.propagation.inject(api.context.active(), carrier);
  return carrier;
}

/** Runs a handler in the context that its message came with. */
export function inTrace<T>(trace: TraceContext, run: () => T): T {
  if (!api || trace.traceparent === undefined) return run();
  return api.context.with(api.propagation.extract(api.ROOT_CONTEXT, trace), run);
}
