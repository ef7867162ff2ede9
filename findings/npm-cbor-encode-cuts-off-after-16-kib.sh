#!/usr/bin/env bash
# npm's cbor 10.0.12: `encode` returns the first part of a value that takes more than 16 KiB in several pieces, without an error.
#
# `encodeOne` with a `highWaterMark` above the size gives all of it. Seen:
#
#   encode: 20009 bytes; decoded: Insufficient data
#   encodeOne: 20018 bytes
#
# Needs bash, Node.js with npm, and the npm registry. Ends with 1 if the behaviour is another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --no-audit --no-fund --loglevel error cbor@10.0.12 >/dev/null

cat >"$work/try.mjs" <<'NODE'
import cbor from "cbor";

const value = { text: "x".repeat(20_000), id: "seven" };
const short = cbor.encode(value);
const whole = cbor.encodeOne(value, { highWaterMark: 1 << 20 });
let said = "the same value";
try {
  said = JSON.stringify(cbor.decodeFirstSync(short)) === JSON.stringify(value) ? said : "another value";
} catch (error) {
  said = error.message;
}
console.log(`encode: ${short.length} bytes; decoded: ${said}`);
console.log(`encodeOne: ${whole.length} bytes`);
const back = JSON.stringify(cbor.decodeFirstSync(whole)) === JSON.stringify(value);
process.exit(back && short.length < whole.length && said !== "the same value" ? 0 : 1);
NODE
node "$work/try.mjs"
