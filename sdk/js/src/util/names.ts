/** Names and ids, by the rules of the protocol: checked before anything is sent. */

import { type Malformed, refusal } from "../errors.js";

const NAME = /^[A-Za-z0-9_.-]{1,64}$/;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const ID_LETTERS = 22;
/** Random bytes in stock: to ask for a few at a time costs more than to make an id of them. */
const stock = new Uint8Array(ID_LETTERS * 64);
let used = stock.length;

/** A random id of 22 letters (132 bits), which is a name. */
export function randomId(): string {
  if (used === stock.length) {
    crypto.getRandomValues(stock);
    used = 0;
  }
  let id = "";
  for (const end = used + ID_LETTERS; used < end; used += 1) {
    id += ALPHABET[(stock[used] as number) & 63];
  }
  return id;
}

/** Gives the name back, or throws `Malformed` that says what it should be. */
export function checkName(what: string, name: string): string {
  if (typeof name !== "string" || !NAME.test(name)) {
    throw malformed(`${what} ${shown(name)} is no name: 1 to 64 of A-Z a-z 0-9 _ . -`);
  }
  return name;
}

/** A blackboard key: 1 to 8 names, joined by `/`. */
export function checkKey(key: string): string {
  if (typeof key !== "string") throw malformed(`key ${shown(key)} is no text`);
  const levels = key.split("/");
  if (levels.length > 8) throw malformed(`key ${JSON.stringify(key)}: more than 8 levels`);
  for (const level of levels) checkName("key", level);
  return key;
}

/** A value in the words of an error. */
export function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** The same error as the gateway's refusal would be, before anything is sent. */
export function malformed(reason: string, path?: string): Malformed {
  const reply = { command: "", status: "rejected" as const, code: 400, reason };
  return refusal(path ? { ...reply, path } : reply) as Malformed;
}
