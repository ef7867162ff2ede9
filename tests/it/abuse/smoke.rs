//! The fuzz targets' entry points on random input: a few hundred cases each, so that every run of
//! the suite exercises them. What a fuzzer has found stands here by name.

use hallward::mqtt::fuzzing;
use proptest::prelude::*;

use super::fuzzed;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn packets_of_any_bytes_are_read_the_same_twice_or_not_at_all(v5: bool, first: u8, body: Vec<u8>) {
        fuzzing::packet(v5, first, &body);
        fuzzing::decode(v5, &body);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sessions_of_any_kind_leave_bystanders_alone(data in prop::collection::vec(any::<u8>(), 0..2_000)) {
        fuzzed::run(&data);
    }
}

#[test]
fn a_property_length_of_more_bytes_than_it_needs_is_no_trouble() {
    let body = [&[0xff, 0x00, 0x80, 0x00][..], &[0; 20]].concat();
    fuzzing::packet(true, 0xa2, &body);
    fuzzing::packet(true, 0x82, &body);
}
