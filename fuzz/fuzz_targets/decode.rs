//! Arbitrary bytes through the packet decoders of both versions.

#![no_main]

use hallward::mqtt::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [kind, first, body @ ..] = data else {
        return;
    };
    let v5 = kind & 1 == 0;
    if kind & 2 == 0 {
        fuzzing::packet(v5, *first, body);
    } else {
        fuzzing::decode(v5, &data[1..]);
    }
});
