//! Hostile clients against the real sessions and the real desk.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| hallward_fuzz::session(data));
