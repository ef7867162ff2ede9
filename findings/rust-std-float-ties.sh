#!/usr/bin/env bash
# Rust's standard library writes another shortest decimal than ECMAScript, Python, ryu and serde_json where two are as short and as near.
#
# Seen with rustc 1.95, std's `{}` and `{:e}` of f64, and CPython 3.11 and Node.js 20 beside it: the double 1795918707546507.25 lies
# half-way between …507.2 and …507.3, which both read back as it. std writes 1795918707546507.3; Python, JavaScript (and so RFC 8785)
# write 1795918707546507.2, the even one. Whoever compares decimals of both kinds takes equal doubles for different ones.
#
#   findings/rust-std-float-ties.sh       needs rustc, python3 and node; exits non-zero if they agree by now
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/ties.rs" <<'RUST'
fn main() {
    for value in [1795918707546507.25_f64, 1125899906842624.25, 0.5] {
        println!("{value}");
    }
}
RUST
rustc -o "$work/ties" "$work/ties.rs"
std=$("$work/ties" | tr '\n' ' ')
python=$(python3 -c 'print(*(repr(v) for v in (1795918707546507.25, 1125899906842624.25, 0.5)))')
javascript=$(node -p '[1795918707546507.25, 1125899906842624.25, 0.5].join(" ")')
rustc --version
echo "std:        $std"
echo "Python:     $python"
echo "JavaScript: $javascript"

[ "$std" = "1795918707546507.3 1125899906842624.3 0.5 " ]
[ "$python" = "1795918707546507.2 1125899906842624.2 0.5" ]
[ "$javascript" = "$python" ]
