import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { describe, it } from "node:test";

import { Conflict, HallwardError, type wire } from "hallward";

// What is not public is taken from the built modules.
const built = (path: string) => import(new URL(`../../dist/${path}.js`, import.meta.url).href);
const { decodeCbor, encodeCbor } = await built("wire/cbor");
const { decode, encode } = await built("wire/codec");
const { Channel } = await built("util/channel");
const { Deque } = await built("util/deque");
const { toMs } = await built("util/duration");
const { checkKey, checkName, randomId } = await built("util/names");
const { AckLedger } = await built("mqtt/acks");
const { refusal } = await built("errors");

const examples = new URL("../../../../schemas/examples/", import.meta.url);

describe("CBOR", () => {
  for (const file of readdirSync(examples).filter((name) => name.endsWith(".json"))) {
    it(`reads and writes the golden example ${file}`, () => {
      const json = JSON.parse(readFileSync(new URL(file, examples), "utf8")) as unknown;
      const golden = readFileSync(new URL(file.replace(/json$/, "cbor"), examples));
      assert.deepEqual(decode(new Uint8Array(golden)), json);
      assert.deepEqual(decodeCbor(encodeCbor(json)), json);
    });
  }

  it("agrees with cborg on values of every kind", async () => {
    const { decode: read, encode: write } = await import("cborg");
    const values = [
      0,
      23,
      24,
      255,
      256,
      65_535,
      65_536,
      2 ** 32 - 1,
      2 ** 32,
      2 ** 53 - 1,
      -1,
      -24,
      -25,
      -(2 ** 40),
      0.5,
      1.1,
      -0.25,
      1e300,
      5e-324,
      "",
      "ä€😀",
      "x".repeat(70_000),
      true,
      false,
      null,
      [],
      {},
      [1, [2, { a: [] }]],
      { "": 1, __proto__x: 2, long: "y".repeat(300) },
    ];
    for (const value of values) {
      assert.deepEqual(read(encodeCbor(value)), value);
      assert.deepEqual(decodeCbor(write(value)), value);
    }
  });

  it("reads half floats, indefinite lengths and tags", () => {
    const read = (hex: string) => decodeCbor(new Uint8Array(Buffer.from(hex, "hex")));
    assert.equal(read("f93c00"), 1);
    assert.equal(read("f90001"), 5.960464477539063e-8);
    assert.equal(read("f9c400"), -4);
    assert.deepEqual(read("9f0102ff"), [1, 2]);
    assert.deepEqual(read("bf61610161629fffff"), { a: 1, b: [] });
    assert.equal(read("7f61616162ff"), "ab");
    assert.equal(read("d9d9f705"), 5);
  });

  it("refuses what is no CBOR", () => {
    const read = (hex: string) => () => decodeCbor(new Uint8Array(Buffer.from(hex, "hex")));
    for (const hex of ["19", "61", "8201", "a10102", "1c", "ff", "0000", "81".repeat(200)]) {
      assert.throws(read(hex), SyntaxError, hex);
    }
  });

  it("reads integers that no number holds as BigInts, and others as numbers", () => {
    const read = (hex: string) => decode(new Uint8Array(Buffer.from(hex, "hex")));
    assert.equal(read("811b001fffffffffffff")[0], 2 ** 53 - 1);
    assert.equal(read("811b0020000000000001")[0], 2n ** 53n + 1n);
    assert.equal(read("811bffffffffffffffff")[0], 2n ** 64n - 1n);
    assert.equal(read("813bffffffffffffffff")[0], -(2n ** 64n));
    assert.equal(read("c249010000000000000005"), 2n ** 64n + 5n);
    assert.equal(read("c349010000000000000000"), -(2n ** 64n) - 1n);
    assert.equal(read("c25f4101420000ff"), 65_536);
    assert.equal(read("c240"), 0);
    for (const hex of ["c201", "c34261", "c48201196ab3"]) {
      assert.throws(() => read(hex), { kind: "Malformed" }, hex);
    }
  });

  it("writes BigInts as the integers that they are, and no others", () => {
    const hex = (value: unknown) => Buffer.from(encode("cbor", value)).toString("hex");
    assert.deepEqual([hex(5n), hex(-1n)], ["05", "20"]);
    assert.equal(hex(2n ** 53n + 1n), "1b0020000000000001");
    assert.equal(hex(2n ** 64n - 1n), "1bffffffffffffffff");
    assert.equal(hex(-(2n ** 64n)), "3bffffffffffffffff");
    for (const value of [2n ** 64n, 2n ** 64n + 5n, -(2n ** 64n) - 1n]) {
      const refused = { kind: "Malformed", code: 400, path: "a[0]" };
      assert.throws(() => encode("cbor", { a: [value] }), refused);
      assert.throws(() => encodeCbor(value), TypeError);
    }
  });

  it("writes what JSON.stringify writes, and keeps every property's name", () => {
    const value = { at: new Date(0), none: undefined, list: [undefined] };
    assert.deepEqual(decodeCbor(encodeCbor(value)), JSON.parse(JSON.stringify(value)));
    const odd = JSON.parse('{"__proto__":{"x":1}}') as unknown;
    assert.equal(JSON.stringify(decodeCbor(encodeCbor(odd))), '{"__proto__":{"x":1}}');
  });
});

describe("JSON", () => {
  const text = (value: unknown) => encode("json", value) as string;
  const read = (json: string) => decode(new TextEncoder().encode(json));

  it("is read without another number in silence", () => {
    const json = '{"a":[9007199254740993,-18446744073709551621,9007199254740991],"b":1.5e300}';
    assert.deepEqual(read(json), {
      a: [9007199254740993n, -18446744073709551621n, 9007199254740991],
      b: 1.5e300,
    });
    const text = '{"t":"9007199254740993","f":9007199254740993.0,"x\\"9007199254740993":1}';
    assert.deepEqual(read(text), JSON.parse(text));
    assert.deepEqual(read(`["${"\\\\1".repeat(2_000_000)}",9007199254740993]`)[1], 2n ** 53n + 1n);
    assert.throws(() => read("{9007199254740993:1}"), { kind: "Malformed" });
  });

  it("has numbers beyond 2^53 as floats, which come back as they were", () => {
    const value = [2 ** 53, -(2 ** 60), 1e20, 1e300, 2 ** 53 - 1, { a: "2" }];
    assert.equal(text(value.slice(0, 2)), "[9.007199254740992e+15,-1.152921504606847e+18]");
    assert.deepEqual(read(text(value)), value);
  });

  it("takes no BigInt, and says what to do", () => {
    const refused = { kind: "Malformed", path: "a[1]", message: /encoding "cbor"/ };
    assert.throws(() => text({ a: [1, 5n] }), refused);
  });
});

describe("values", () => {
  it("that would arrive as others are refused, with their path", () => {
    const self: unknown[] = [];
    self.push(self);
    let deep: unknown = 1;
    for (let level = 0; level < 100_000; level += 1) deep = [deep];
    const wrong: [unknown, string | undefined][] = [
      [{ "a/b": [0, { c: Number.NaN }] }, "a/b[1].c"],
      [[Number.POSITIVE_INFINITY], "[0]"],
      [{ a: new Uint8Array(2) }, "a"],
      [{ a: Buffer.from("ab") }, "a"],
      [{ a: new Map([[1, 2]]) }, "a"],
      [{ a: () => 1 }, "a"],
      [[Symbol("x")], "[0]"],
      [self, undefined],
      [deep, undefined],
    ];
    for (const encoding of ["json", "cbor"]) {
      for (const [value, path] of wrong) {
        const refused = path === undefined ? { kind: "Malformed" } : { kind: "Malformed", path };
        assert.throws(() => encode(encoding, value), refused);
      }
    }
    const levels = (count: number) => JSON.parse("[".repeat(count) + "]".repeat(count)) as unknown;
    assert.equal((encode("json", levels(1_500)) as string).length, 3_000);
    assert.equal((encode("cbor", levels(127)) as Uint8Array).length, 127);
    assert.throws(() => encode("cbor", levels(128)), {
      kind: "Malformed",
      message: /127 levels .*…/,
    });
    assert.throws(() => encode("cbor", ["\ud800"]), { kind: "Malformed", path: "[0]" });
    assert.equal(encode("json", ["\ud800"]), '["\\ud800"]');
  });

  it("that nest deeply are read, or are an error that has a type", () => {
    assert.throws(() => decode(new Uint8Array(1_000_000).fill(0x81)), { kind: "Malformed" });
    let deep = decode(new Uint8Array([...new Uint8Array(1_500).fill(0x81), 5]));
    while (Array.isArray(deep)) [deep] = deep;
    assert.equal(deep, 5);
  });
});

describe("durations", () => {
  it("are numbers or words", () => {
    assert.deepEqual(
      ["250ms", "1.5s", "10m", "2h", "1d", 7].map(toMs),
      [250, 1_500, 600_000, 7_200_000, 86_400_000, 7],
    );
    for (const wrong of ["10", "10 s", "-1s", "1w", -1, Number.NaN]) {
      assert.throws(() => toMs(wrong), /is no duration/);
    }
  });
});

describe("names", () => {
  it("are checked before anything is sent", () => {
    assert.equal(checkName("agent", "a.b_c-D9"), "a.b_c-D9");
    assert.equal(checkKey("plan/monday"), "plan/monday");
    for (const wrong of ["", "a/b", "a b", "ä", "x".repeat(65)]) {
      assert.throws(() => checkName("agent", wrong), { kind: "Malformed", code: 400 });
    }
    assert.throws(() => checkKey("a/b/c/d/e/f/g/h/i"), /more than 8 levels/);
  });

  it("of commands are random and are names", () => {
    const ids = new Set(Array.from({ length: 1_000 }, () => checkName("id", randomId())));
    assert.equal(ids.size, 1_000);
  });
});

describe("errors", () => {
  it("have a kind, and what the reply said", () => {
    const current = { key: "plan", version: 4 } as wire.Entry;
    const reply: wire.Reply = {
      command: "blackboard/set",
      status: "rejected",
      code: 409,
      reason: "plan is at version 4, not 3",
      current,
    };
    const error = refusal(reply) as Conflict;
    assert.ok(error instanceof Conflict && error instanceof HallwardError);
    assert.equal(error.kind, "Conflict");
    assert.equal(error.message, "blackboard/set: plan is at version 4, not 3");
    assert.deepEqual(error.current, current);
    assert.equal(error.retryable, false);
    assert.equal(refusal({ ...reply, code: 503 }).retryable, true);
    assert.equal(refusal({ ...reply, code: 418 }).kind, "Refused");
  });
});

describe("a channel", () => {
  const channel = (limit: number, more = {}) => new Channel({ limit, what: "the list", ...more });

  it("gives what waits, then ends", async () => {
    const items = channel(3);
    items.push(1);
    items.push(2);
    items.end();
    assert.deepEqual(await all(items), [1, 2]);
  });

  it("that is full ends with Overflow, after what it has", async () => {
    const items = channel(2);
    assert.deepEqual(
      [1, 2, 3].map((item) => items.push(item)),
      [true, true, false],
    );
    assert.deepEqual([(await items.next()).value, (await items.next()).value], [1, 2]);
    await assert.rejects(items.next(), { kind: "Overflow" });
  });

  it("is done with an item when the next one is asked for", async () => {
    const done: number[] = [];
    const left: number[][] = [];
    const items = channel(9, {
      onDone: (item: number) => done.push(item),
      onLeft: (rest: number[]) => left.push(rest),
    });
    for (const item of [1, 2, 3, 4]) items.push(item);
    await items.next();
    await items.next();
    assert.deepEqual(done, [1]);
    await items.return();
    assert.deepEqual(left, [[2, 3, 4]]);
  });

  it("ends with the signal's reason", async () => {
    const abort = new AbortController();
    const items = channel(2, { signal: abort.signal });
    const next = items.next();
    abort.abort(new Error("enough"));
    await assert.rejects(next, /enough/);
  });
});

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

describe("a deque", () => {
  it("keeps its order over many items", () => {
    const deque = new Deque();
    for (let i = 0; i < 5_000; i += 1) deque.push(i);
    for (let i = 0; i < 4_000; i += 1) assert.equal(deque.shift(), i);
    deque.unshift([-2, -1]);
    assert.equal(deque.length, 1_002);
    assert.deepEqual([deque.shift(), deque.shift(), deque.shift()], [-2, -1, 4_000]);
    assert.equal(deque.drain().length, 999);
    assert.equal(deque.shift(), undefined);
  });
});

describe("acknowledgements", () => {
  const delivery = (packetId: number, text: string, dup = false) => ({
    topic: "t",
    payload: new TextEncoder().encode(text),
    qos: 1,
    dup,
    retain: false,
    packetId,
    userProperties: {},
  });

  it("leave in the order of receipt", () => {
    const sent: number[] = [];
    const ledger = new AckLedger();
    ledger.connected((id: number) => sent.push(id), false);
    const [one, two, three] = [1, 2, 3].map((id) => ledger.receive(delivery(id, `m${id}`)));
    three.done();
    two.done();
    assert.deepEqual([sent, ledger.unacked], [[], 3]);
    one.done();
    assert.deepEqual([sent, ledger.unacked], [[1, 2, 3], 0]);
  });

  it("of what comes again wait for the handler that has it already", () => {
    const sent: number[] = [];
    const ledger = new AckLedger();
    ledger.connected((id: number) => sent.push(id), false);
    const one = ledger.receive(delivery(1, "m1"));
    const two = ledger.receive(delivery(2, "m2"));
    two.done();
    ledger.disconnected();
    ledger.connected((id: number) => sent.push(id), true);
    assert.equal(ledger.receive(delivery(1, "m1", true)), undefined);
    assert.equal(ledger.receive(delivery(2, "m2", true)), undefined);
    assert.notEqual(ledger.receive(delivery(3, "m3")), undefined);
    one.done();
    assert.deepEqual([sent, ledger.unacked], [[1, 2], 1]);
  });

  it("are not taken for those of another message", () => {
    const ledger = new AckLedger();
    ledger.connected(() => {}, false);
    ledger.receive(delivery(1, "m1"));
    ledger.disconnected();
    ledger.connected(() => {}, true);
    assert.notEqual(ledger.receive(delivery(1, "other", true)), undefined);
    // The same text, but not what came before: that would say DUP.
    assert.notEqual(ledger.receive(delivery(2, "m1")), undefined);
  });

  it("are recognised in a new session, under other packet ids", () => {
    const sent: number[] = [];
    const ledger = new AckLedger();
    ledger.connected((id: number) => sent.push(id), false);
    const one = ledger.receive(delivery(1, "m1"));
    ledger.disconnected();
    one.done();
    ledger.connected((id: number) => sent.push(id), false);
    assert.equal(ledger.receive(delivery(7, "m1")), undefined);
    assert.notEqual(ledger.receive(delivery(8, "m1")), undefined);
    assert.deepEqual(sent, [7]);
  });
});
