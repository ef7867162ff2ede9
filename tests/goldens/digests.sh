#!/usr/bin/env bash
# Makes tests/goldens/digests.txt: digests of 100,000 doubles, a thousand to a line, on which four libraries of RFC 8785 agree.
# Run by hand, with npm and python3; a test holds the gateway's digests against the file.
#
#   tests/goldens/digests.sh > tests/goldens/digests.txt
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/python"
"$work/python/bin/python" -m pip install --quiet --disable-pip-version-check rfc8785==0.1.4 jcs==0.2.1
npm install --prefix "$work" --no-audit --no-fund --no-save --loglevel error canonicalize@4.0.0 json-canonicalize@3.0.1 >&2

cat >"$work/digests.py" <<'PYTHON'
import hashlib, struct, sys
import jcs, rfc8785

MASK = (1 << 64) - 1
state = 11

def draw():
    """SplitMix64."""
    global state
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)

def double():
    kind, bits = draw() % 8, draw()
    match kind:
        case 4:  # times in microseconds, with quarters: shortest decimals that tie
            return float(6_800_000_000_000_000 + bits % (1 << 49)) / 4
        case 5:  # amounts of money
            return float(bits % 10**12) / 100
        case 6:  # whole numbers
            return float(bits % (1 << 53))
        case 7:  # eighths
            return float(bits % (1 << 53)) / 8
    if bits >> 52 & 0x7FF == 0x7FF:
        bits &= ~(1 << 62)
    return struct.unpack(">d", struct.pack(">Q", bits))[0]

library = {"rfc8785": rfc8785.dumps, "jcs": jcs.canonicalize}[sys.argv[1]]
for line in range(100):
    shown = {"action": str(line), "content": [double() for _ in range(1000)]}
    print(hashlib.sha256(library(shown)).hexdigest())
PYTHON

cat >"$work/digests.mjs" <<'JAVASCRIPT'
import { createHash } from "node:crypto";
import canonicalize from "canonicalize";
import { canonicalize as jsonCanonicalize } from "json-canonicalize";

const u64 = (n) => BigInt.asUintN(64, n);
let state = 11n;
const draw = () => {
  state = u64(state + 0x9e3779b97f4a7c15n);
  let z = state;
  z = u64((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = u64((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
};
const view = new DataView(new ArrayBuffer(8));
const double = () => {
  const kind = draw() % 8n;
  let bits = draw();
  switch (kind) {
    case 4n: return Number(6_800_000_000_000_000n + bits % (1n << 49n)) / 4;
    case 5n: return Number(bits % 10n ** 12n) / 100;
    case 6n: return Number(bits % (1n << 53n));
    case 7n: return Number(bits % (1n << 53n)) / 8;
  }
  if (((bits >> 52n) & 0x7ffn) === 0x7ffn) bits &= ~(1n << 62n);
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
};
const library = { canonicalize, "json-canonicalize": jsonCanonicalize }[process.argv[2]];
for (let line = 0; line < 100; line++) {
  const content = Array.from({ length: 1000 }, double);
  const text = library({ action: String(line), content });
  console.log(createHash("sha256").update(text).digest("hex"));
}
JAVASCRIPT

for library in rfc8785 jcs; do
    "$work/python/bin/python" "$work/digests.py" "$library" >"$work/$library.txt"
done
for library in canonicalize json-canonicalize; do
    node "$work/digests.mjs" "$library" >"$work/$library.txt"
done
for library in jcs canonicalize json-canonicalize; do
    cmp "$work/rfc8785.txt" "$work/$library.txt" >&2
done
cat "$work/rfc8785.txt"
