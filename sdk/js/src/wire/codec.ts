/** Bodies of messages: JSON or CBOR to write, whatever comes to read. */

import { Undecodable, messageOf } from "../errors.js";
import { malformed, randomId } from "../util/names.js";
import { decodeCbor, encodeCbor } from "./cbor.js";
import type { Encoding } from "./types.js";
import { checkValue, isLarge } from "./values.js";

const TEXT = new TextDecoder();
const EMPTY = new Uint8Array(0);

/** What goes into a packet. */
export type Bytes = string | Uint8Array;

/** Throws `Malformed`, with the path, at what would arrive as something else. */
export function encode(encoding: Encoding, value: unknown): Bytes {
  if (value === undefined) return EMPTY;
  const { hasLarge } = checkValue(encoding, value);
  try {
    if (encoding === "cbor") return encodeCbor(value);
    return hasLarge ? writeLarge(value) : JSON.stringify(value);
  } catch (error) {
    if (error instanceof RangeError) throw malformed("the value nests too deep to be sent");
    throw error;
  }
}

/** JSON begins with ASCII; a map of CBOR, or a tag before one, does not. */
export function decode(bytes: Uint8Array): unknown {
  const [first] = bytes;
  if (first === undefined) return undefined;
  try {
    return first >= 0x80 ? decodeCbor(bytes) : readJson(TEXT.decode(bytes));
  } catch (error) {
    const why = error instanceof RangeError ? "it nests too deep" : messageOf(error);
    throw new Undecodable(`the body is neither JSON nor CBOR (${why})`, error);
  }
}

/** An integer that `JSON.parse` may round has at least so many digits. */
const LONG = /\d{16}/;
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** As `JSON.parse`, but integers that a number may not hold are BigInts. */
function readJson(text: string): unknown {
  const value = JSON.parse(text) as unknown;
  if (!LONG.test(text)) return value;
  // Nobody can have written this name, as nobody can know it.
  const mark = randomId();
  let found = false;
  const marked = text.replace(TOKENS, (token) => {
    if (!/^-?\d{16,}$/.test(token) || Number.isSafeInteger(Number(token))) return token;
    found = true;
    return `"${mark}${token}"`;
  });
  if (!found) return value;
  return JSON.parse(marked, (_, item: unknown) => {
    const isMarked = typeof item === "string" && item.startsWith(mark);
    return isMarked ? BigInt(item.slice(mark.length)) : item;
  });
}

/** Whole numbers beyond 2^53 are floats, and written as such: their digits are not exact. */
function writeLarge(value: unknown): string {
  const mark = randomId();
  const text = JSON.stringify(value, (_, item: unknown) => {
    return typeof item === "number" && isLarge(item) ? `${mark}${item.toExponential()}` : item;
  });
  return text.replaceAll(new RegExp(`"${mark}([^"]*)"`, "g"), "$1");
}
