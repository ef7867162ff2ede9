//! Arbitrary bytes as CBOR, and as JSON: what was read as one comes back the same through the
//! other. Only the numbers of tags are written in another way the first time.

#![no_main]

use hallward::wire::cbor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert_eq!(cbor::from_json(data).len(), cbor::length_of(data));
    if let Ok(text) = cbor::to_json(data) {
        assert!(text.len() <= 8 * data.len());
        let again = cbor::to_json(&cbor::from_json(&text)).expect("we read what we write");
        assert_eq!(cbor::to_json(&cbor::from_json(&again)).as_deref(), Ok(&again[..]));
    }
    cbor::has_half_float(data);
});
