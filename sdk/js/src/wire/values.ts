/**
 * What can be said of a value in JSON or CBOR, looked at before anything is sent.
 *
 * `JSON.stringify` makes null of some values, and nothing of others: here they are errors.
 */

import { malformed } from "../util/names.js";
import type { Encoding } from "./types.js";

/** What the gateway reads of CBOR, and what this package writes of it. */
const MAX_CBOR_DEPTH = 127;
/** How much of a path an error shows. */
const MAX_STEPS = 16;
const MAX_U64 = 2n ** 64n - 1n;
const MIN_NEGATIVE = -(2n ** 64n);

/** Whether a number is written in digits that more than one number has. */
export function isLarge(value: number): boolean {
  return Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21;
}

/** What is wrong, and where: the innermost name comes last. */
interface Fault {
  reason: string;
  path: (string | number)[];
}

/** One look at all of a value. The path is put together only where something is wrong. */
class Look {
  readonly #encoding: Encoding;
  /** Whether there are whole numbers beyond 2^53. */
  hasLarge = false;

  constructor(encoding: Encoding) {
    this.#encoding = encoding;
  }

  /** One call for each level, so that it goes as deep as `JSON.stringify` does. */
  at(value: unknown, depth: number): Fault | undefined {
    if (typeof value !== "object" || value === null) return this.#scalar(value);
    const isArray = Array.isArray(value);
    if (!isArray && "toJSON" in value && typeof value.toJSON === "function" && !isBytes(value)) {
      return this.at(value.toJSON(), depth);
    }
    const wrong = this.#kind(value, depth);
    if (wrong) return wrong;
    const names = isArray ? undefined : Object.keys(value);
    const count = (names ?? (value as unknown[])).length;
    for (let index = 0; index < count; index += 1) {
      const name = names ? (names[index] as string) : index;
      const found = this.at((value as Record<string | number, unknown>)[name], depth + 1);
      if (found) return within(name, found);
    }
    return undefined;
  }

  #scalar(value: unknown): Fault | undefined {
    switch (typeof value) {
      case "string":
        return this.#text(value);
      case "number":
        return this.#number(value);
      case "bigint":
        return this.#bigint(value);
      case "function":
      case "symbol":
        return fault(`a ${typeof value} cannot be sent`);
      default:
        return undefined;
    }
  }

  #text(value: string): Fault | undefined {
    if (this.#encoding === "json" || !/\p{Surrogate}/u.test(value)) return undefined;
    return fault("CBOR has no half of a surrogate pair");
  }

  #number(value: number): Fault | undefined {
    if (!Number.isFinite(value)) return fault(`${value} is no number of JSON`);
    if (isLarge(value)) this.hasLarge = true;
    return undefined;
  }

  #bigint(value: bigint): Fault | undefined {
    if (this.#encoding === "json") {
      return fault('a BigInt is not written in JSON: use encoding "cbor", a number, or text');
    }
    // Where the gateway writes CBOR of a larger one, it makes another number of it, a float.
    if (value >= MIN_NEGATIVE && value <= MAX_U64) return undefined;
    return fault("a BigInt beyond 64 bits would be rounded: write it as text");
  }

  #kind(value: object, depth: number): Fault | undefined {
    if (this.#encoding === "cbor" && depth >= MAX_CBOR_DEPTH) {
      return fault(`more than ${MAX_CBOR_DEPTH} levels`);
    }
    if (isBytes(value)) {
      return fault("bytes cannot be part of a value: write them as text, in base64 for example");
    }
    if (value instanceof Map || value instanceof Set) {
      return fault(`a ${value.constructor.name} cannot be sent: make an object or an array of it`);
    }
    return undefined;
  }
}

function isBytes(value: object): boolean {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer;
}

function fault(reason: string): Fault {
  return { reason, path: [] };
}

function within(name: string | number, found: Fault): Fault {
  found.path.unshift(name);
  return found;
}

/** Throws `Malformed` at what cannot be sent. Says whether there are whole numbers beyond 2^53. */
export function checkValue(encoding: Encoding, value: unknown): { hasLarge: boolean } {
  const look = new Look(encoding);
  let found: Fault | undefined;
  try {
    found = look.at(value, 0);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw malformed("the value nests too deep to be sent, or has itself as a part");
  }
  if (found) throw malformed(found.reason, placeOf(found.path));
  return look;
}

/** As the gateway's refusals have it: `value.steps[1].name`. */
function placeOf(path: (string | number)[]): string {
  const steps = path.map((name) => (typeof name === "number" ? `[${name}]` : `.${name}`));
  const shown = steps.slice(0, MAX_STEPS).join("").replace(/^\./, "");
  return steps.length > MAX_STEPS ? `${shown}…` : shown;
}
