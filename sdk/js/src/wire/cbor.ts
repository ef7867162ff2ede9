/**
 * CBOR (RFC 8949), as far as it has the values of JSON.
 *
 * Small enough not to be a dependency. It writes definite lengths and the shortest form; it reads
 * whatever the gateway writes, items of indefinite length, half floats and big integers besides.
 * Integers that a number may not hold exactly are BigInts. What can be written is in `values.ts`.
 */

const TEXT_ENCODER = new TextEncoder();
const TEXT_DECODER = new TextDecoder("utf-8", { fatal: true });

class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #room(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  byte(value: number): void {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
  }

  head(major: number, count: number | bigint): void {
    const type = major << 5;
    if (count < 24) this.byte(type | Number(count));
    else if (count < 0x100) {
      this.byte(type | 24);
      this.byte(Number(count));
    } else if (count < 0x1_0000) {
      const at = this.#room(3);
      this.#view.setUint8(at, type | 25);
      this.#view.setUint16(at + 1, Number(count));
    } else if (count < 0x1_0000_0000) {
      const at = this.#room(5);
      this.#view.setUint8(at, type | 26);
      this.#view.setUint32(at + 1, Number(count));
    } else {
      const at = this.#room(9);
      this.#view.setUint8(at, type | 27);
      this.#view.setBigUint64(at + 1, BigInt(count));
    }
  }

  float(value: number): void {
    const narrow = Math.fround(value) === value;
    const at = this.#room(narrow ? 5 : 9);
    this.#view.setUint8(at, narrow ? 0xfa : 0xfb);
    if (narrow) this.#view.setFloat32(at + 1, value);
    else this.#view.setFloat64(at + 1, value);
  }

  text(value: string): void {
    const bytes = TEXT_ENCODER.encode(value);
    this.head(3, bytes.length);
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  value(value: unknown): void {
    switch (typeof value) {
      case "string":
        return this.text(value);
      case "number":
        return this.number(value);
      case "bigint":
        return this.bigint(value);
      case "boolean":
        return this.byte(value ? 0xf5 : 0xf4);
      case "undefined":
        return this.byte(0xf6);
      case "object":
        return this.object(value);
      default:
        throw new TypeError(`CBOR has no ${typeof value}`);
    }
  }

  number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) return this.float(value);
    return value < 0 ? this.head(1, -1 - value) : this.head(0, value);
  }

  bigint(value: bigint): void {
    const count = value < 0n ? -1n - value : value;
    if (count >= 2n ** 64n) throw new TypeError("an integer beyond 64 bits");
    this.head(value < 0n ? 1 : 0, count);
  }

  object(value: object | null): void {
    if (value === null) return this.byte(0xf6);
    if (Array.isArray(value)) {
      this.head(4, value.length);
      for (const item of value) this.value(item);
      return;
    }
    if ("toJSON" in value && typeof value.toJSON === "function") {
      return this.value(value.toJSON());
    }
    const fields = Object.entries(value).filter(([, field]) => field !== undefined);
    this.head(5, fields.length);
    for (const [name, field] of fields) {
      this.text(name);
      this.value(field);
    }
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  whole(): unknown {
    const value = this.value();
    if (this.#at !== this.#bytes.length) throw new SyntaxError("something follows the CBOR item");
    return value;
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) throw new SyntaxError("the CBOR item is cut short");
    this.#at += count;
    return at;
  }

  #argument(info: number): number {
    if (info < 24) return info;
    if (info === 24) return this.#view.getUint8(this.#take(1));
    if (info === 25) return this.#view.getUint16(this.#take(2));
    if (info === 26) return this.#view.getUint32(this.#take(4));
    if (info === 27) return Number(this.#view.getBigUint64(this.#take(8)));
    throw new SyntaxError(`not CBOR: additional information ${info}`);
  }

  value(): unknown {
    const initial = this.#view.getUint8(this.#take(1));
    const [major, info] = [initial >> 5, initial & 31];
    switch (major) {
      case 0:
        return this.#integer(info, false);
      case 1:
        return this.#integer(info, true);
      case 2:
        return this.#bytesOf(info);
      case 3:
        return this.#chunks(3, info)
          .map((chunk) => TEXT_DECODER.decode(chunk))
          .join("");
      case 4:
        return this.#array(info);
      case 5:
        return this.#map(info);
      case 6:
        return this.#tagged(this.#argument(info));
      default:
        return this.#simple(info);
    }
  }

  #integer(info: number, isNegative: boolean): number | bigint {
    if (info !== 27) return isNegative ? -1 - this.#argument(info) : this.#argument(info);
    const count = this.#view.getBigUint64(this.#take(8));
    return narrow(isNegative ? -1n - count : count);
  }

  #bytesOf(info: number): number[] {
    return this.#chunks(2, info).flatMap((chunk) => [...chunk]);
  }

  /** Of the tags only those of big integers mean another value than the one they are on. */
  #tagged(tag: number): unknown {
    if (tag === 4 || tag === 5) throw new SyntaxError(`tag ${tag}, which JavaScript cannot hold`);
    if (tag !== 2 && tag !== 3) return this.value();
    const initial = this.#view.getUint8(this.#take(1));
    if (initial >> 5 !== 2) throw new SyntaxError("a big integer that is no byte string");
    const digits = this.#bytesOf(initial & 31).map((byte) => byte.toString(16).padStart(2, "0"));
    const count = BigInt(`0x0${digits.join("")}`);
    return narrow(tag === 3 ? -1n - count : count);
  }

  #chunks(major: number, info: number): Uint8Array[] {
    if (info !== 31) {
      const count = this.#argument(info);
      const at = this.#take(count);
      return [this.#bytes.subarray(at, at + count)];
    }
    const chunks: Uint8Array[] = [];
    while (!this.#broken()) {
      const initial = this.#view.getUint8(this.#take(1));
      if (initial >> 5 !== major) throw new SyntaxError("not CBOR: a chunk of another type");
      chunks.push(...this.#chunks(major, initial & 31));
    }
    return chunks;
  }

  /** Whether an item of indefinite length ends here. */
  #broken(): boolean {
    const at = this.#take(1);
    if (this.#view.getUint8(at) === 0xff) return true;
    this.#at = at;
    return false;
  }

  *#items(info: number): Generator<void> {
    if (info === 31) while (!this.#broken()) yield;
    else for (let left = this.#argument(info); left > 0; left -= 1) yield;
  }

  #array(info: number): unknown[] {
    const array: unknown[] = [];
    for (const _ of this.#items(info)) array.push(this.value());
    return array;
  }

  #map(info: number): Record<string, unknown> {
    const fields: [string, unknown][] = [];
    for (const _ of this.#items(info)) {
      const name = this.value();
      if (typeof name !== "string") throw new SyntaxError("a key that is no text");
      fields.push([name, this.value()]);
    }
    return Object.fromEntries(fields); // Unlike an assignment, right for `__proto__` too.
  }

  #simple(info: number): unknown {
    switch (info) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
      case 23:
        return null;
      case 25:
        return half(this.#view.getUint16(this.#take(2)));
      case 26:
        return this.#view.getFloat32(this.#take(4));
      case 27:
        return this.#view.getFloat64(this.#take(8));
      default:
        throw new SyntaxError(`not CBOR: simple value ${info}`);
    }
  }
}

/** As a number, where that is exact. */
function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function half(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export function encodeCbor(value: unknown): Uint8Array {
  const writer = new Writer();
  writer.value(value);
  return writer.finish();
}

/** Throws a `SyntaxError` at what is no CBOR. */
export function decodeCbor(bytes: Uint8Array): unknown {
  return new Reader(bytes).whole();
}
