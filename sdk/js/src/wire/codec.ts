/** Bodies of messages: JSON or CBOR to write, whatever comes to read. */

import { decodeCbor, encodeCbor } from "./cbor.js";
import type { Encoding } from "./types.js";

const TEXT = new TextDecoder();
const EMPTY = new Uint8Array(0);

/** What goes into a packet. */
export type Bytes = string | Uint8Array;

export function encode(encoding: Encoding, value: unknown): Bytes {
  if (value === undefined) return EMPTY;
  return encoding === "cbor" ? encodeCbor(value) : JSON.stringify(value);
}

/** JSON begins with ASCII; a map of CBOR, or a tag before one, does not. */
export function decode(bytes: Uint8Array): unknown {
  const [first] = bytes;
  if (first === undefined) return undefined;
  return first >= 0x80 ? decodeCbor(bytes) : JSON.parse(TEXT.decode(bytes));
}
