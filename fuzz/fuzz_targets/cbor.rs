//! Arbitrary bytes as CBOR, and as JSON: what was read as one comes back the same through the other.

#![no_main]

use hallward::wire::cbor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert_eq!(cbor::from_json(data).len(), cbor::length_of(data));
    if let Ok(text) = cbor::to_json(data) {
        assert!(text.len() <= 8 * data.len());
        let shortest = cbor::from_json(&text);
        assert_eq!(cbor::to_json(&shortest).as_deref(), Ok(&text[..]));
    }
});
