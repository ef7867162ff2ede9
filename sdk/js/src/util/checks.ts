/** What a call is given, looked at before anything is sent. All of it throws `Malformed`. */

import { malformed, shown } from "./names.js";

/** The names of a type's fields: it does not compile with one too few or too many. */
export function fieldsOf<T>(fields: Record<keyof T, true>): readonly string[] {
  return Object.keys(fields);
}

/** An object, or nothing, that has no fields but these. */
export function checkOptions(what: string, options: unknown, known: readonly string[]): void {
  if (options === undefined) return;
  checkObject(what, options);
  for (const name of Object.keys(options as object)) {
    if (known.includes(name)) continue;
    const meant = nearest(name, known);
    const hint = meant === undefined ? "" : `: "${meant}" is meant, perhaps`;
    throw malformed(`${what} has no field ${shown(name)}${hint}`, name);
  }
}

export function checkObject(what: string, value: unknown): void {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return;
  throw malformed(`${what} is an object, not ${shown(value)}`);
}

export function checkFunction(what: string, value: unknown): void {
  if (typeof value !== "function") throw malformed(`${what} is a function, not ${shown(value)}`);
}

/** A whole number, or nothing. */
export function checkCount(what: string, value: unknown, least = 1, most = 2 ** 31 - 1): void {
  if (value === undefined) return;
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return;
  throw malformed(`${what} is a whole number from ${least} to ${most}, not ${shown(value)}`);
}

/** One of these, or nothing. */
export function checkOneOf(what: string, value: unknown, choices: readonly string[]): void {
  if (value === undefined || choices.includes(value as string)) return;
  const all = choices.map((choice) => `"${choice}"`).join(" or ");
  throw malformed(`${what} is ${all}, not ${shown(value)}`);
}

/** Text, or nothing. */
export function checkText(what: string, value: unknown): void {
  if (value !== undefined && typeof value !== "string") {
    throw malformed(`${what} is text, not ${shown(value)}`);
  }
}

const SCHEMES = ["mqtt", "mqtts", "ws", "wss", "tcp", "ssl", "tls"];

/** Where a gateway is: without a scheme it is MQTT. */
export function checkUrl(url: unknown): string {
  const example = 'write "mqtt://127.0.0.1:1883", or mqtts, ws or wss';
  if (typeof url !== "string" || url === "") {
    throw malformed(`the URL of a gateway is text, not ${shown(url)}: ${example}`);
  }
  const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(url) ? url : `mqtt://${url}`;
  let parsed: URL;
  try {
    parsed = new URL(whole);
  } catch {
    throw malformed(`${shown(url)} is no URL of a gateway: ${example}`);
  }
  if (!SCHEMES.includes(parsed.protocol.slice(0, -1))) {
    throw malformed(`${shown(url)}: a gateway does not speak ${parsed.protocol} here; ${example}`);
  }
  if (parsed.hostname === "" || parsed.port === "0") {
    throw malformed(`${shown(url)} has no ${parsed.port ? "port" : "host"}: ${example}`);
  }
  return whole;
}

/** The known name that is written most like this one, where one is. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const plain = (text: string) => text.replaceAll(/[_-]/g, "").toLowerCase();
  let best: string | undefined;
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const one of known) {
    const between = distance(plain(name), plain(one));
    if (between < least) [best, least] = [one, between];
  }
  return best;
}

/** How many letters have to be put in, left out or changed (Levenshtein). */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let at = 1; at <= one.length; at += 1) {
    const next = [at];
    for (let to = 1; to <= other.length; to += 1) {
      const change = (row[to - 1] as number) + (one[at - 1] === other[to - 1] ? 0 : 1);
      next.push(Math.min((row[to] as number) + 1, (next[to - 1] as number) + 1, change));
    }
    row = next;
  }
  return row[other.length] as number;
}
