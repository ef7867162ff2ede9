//! CBOR and JSON: each becomes the other and back.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn json(cbor: &[u8]) -> Result<String, crate::wire::reply::Rejection> {
    to_json(cbor).map(|text| String::from_utf8(text).unwrap())
}

fn cbor(json: &str) -> Vec<u8> {
    from_json(json.as_bytes()).to_vec()
}

/// For a reader that knows half floats.
fn halves(json: &str) -> Vec<u8> {
    let spelling = ReaderEncoding {
        encoding: Encoding::Cbor,
        half_floats: true,
    };
    let value = crate::wire::json::Json::parse(json).unwrap();
    let spelt = spelling.encode(Bytes::copy_from_slice(json.as_bytes()));
    assert_eq!(spelling.length_of(&value), spelt.len());
    spelt.to_vec()
}

/// One line of a hex dump.
fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

#[test]
fn what_both_can_say_is_said_the_same() {
    // Mostly those of RFC 8949, appendix A.
    for (bytes, text) in [
        ("00", "0"),
        ("17", "23"),
        ("1818", "24"),
        ("1903e8", "1000"),
        ("1bffffffffffffffff", "18446744073709551615"),
        ("3bffffffffffffffff", "-18446744073709551616"),
        ("c249010000000000000000", "18446744073709551616"),
        ("c349010000000000000000", "-18446744073709551617"),
        ("20", "-1"),
        ("3903e7", "-1000"),
        ("f90000", "0.0"),
        ("f98000", "-0.0"),
        ("f93c00", "1.0"),
        ("fb3ff199999999999a", "1.1"),
        ("fa47c35000", "100000.0"),
        ("f4", "false"),
        ("f5", "true"),
        ("f6", "null"),
        ("60", r#""""#),
        ("62225c", r#""\"\\""#),
        ("62c3bc", "\"ü\""),
        ("64f0908591", "\"𐅑\""),
        ("80", "[]"),
        ("8301820203820405", "[1,[2,3],[4,5]]"),
        ("a0", "{}"),
        ("a26161016162820203", r#"{"a":1,"b":[2,3]}"#),
        ("a2616201616102", r#"{"b":1,"a":2}"#),
    ] {
        assert_eq!(json(&hex(bytes)).as_deref(), Ok(text), "{bytes}");
        assert_eq!(halves(text), hex(bytes), "{text}");
        assert_eq!(length_of(text.as_bytes()), cbor(text).len(), "{text}");
        assert_eq!(cbor(text) == hex(bytes), !bytes.starts_with("f9"), "{text}");
    }
}

#[test]
fn half_floats_are_written_only_for_who_knows_them() {
    for (text, short, wide) in [
        ("1.5", "f93e00", "fa3fc00000"),
        ("-0.0", "f98000", "fa80000000"),
        ("65504.0", "f97bff", "fa477fe000"),
        ("100000.0", "fa47c35000", "fa47c35000"),
        ("0.1", "fb3fb999999999999a", "fb3fb999999999999a"),
        ("1e999", "f97c00", "fa7f800000"),
        ("-1e999", "f9fc00", "faff800000"),
    ] {
        assert_eq!(halves(&format!("[{text}]"))[1..], hex(short), "{text}");
        assert_eq!(cbor(text), hex(wide), "{text}");
        let as_it_is = [&[0xa1, 0x61, b'f'][..], &hex(short)].concat();
        assert_eq!(has_half_float(&as_it_is), short.starts_with("f9"));
        assert!(!has_half_float(&cbor(text)));
    }
    // Where the byte is part of something else there is none.
    for bytes in [
        "61f9",
        "42f9f9",
        "18f9",
        "1900f9",
        "5f41f9ff",
        "fa00f9f9f9",
        "9bf9",
        "7bf9f9",
        "",
    ] {
        assert!(!has_half_float(&hex(bytes)), "{bytes}");
    }
    assert!(has_half_float(&hex("9f5f41f9fff93e00")));
}

#[test]
fn tags_keep_their_meaning() {
    for (bytes, text) in [
        ("c249010000000000000000", "18446744073709551616"),
        ("c349010000000000000000", "-18446744073709551617"),
        ("c240", "0"),
        ("c340", "-1"),
        ("c2420100", "256"),
        ("c25f420100ff", "256"),
        ("c24a00000000000000000100", "256"),
        ("c48221196ab3", "273.15"),
        ("c48221396ab2", "-273.15"),
        ("c48200187b", "123"),
        ("c4820205", "500"),
        ("c4822405", "0.00005"),
        ("c482181e05", "5e30"),
        ("c482381d05", "5e-30"),
        ("c48221c24101", "0.01"),
        ("c4822000", "0"),
        ("c48232c249010000000000000000", "1.8446744073709551616"),
        ("c5822003", "1.5"),
        ("c5820203", "12"),
        ("c58239043101", "5e-324"),
        ("c0623230", r#""20""#),
        (
            "c074323031332d30332d32315432303a30343a30305a",
            r#""2013-03-21T20:04:00Z""#,
        ),
        ("c11a514b67b0", "1363896240"),
        ("c1fb41d452d9ec200000", "1363896240.5"),
        ("d90103a0", "{}"),
        ("d9d9f7d90103a16161c11a514b67b0", r#"{"a":1363896240}"#),
        ("81d9d9f701", "[1]"),
    ] {
        assert_eq!(json(&hex(bytes)).as_deref(), Ok(text), "{bytes}");
    }
}

#[test]
fn tags_that_have_no_meaning_in_json_are_refused_with_their_place() {
    for (tagged, words) in [
        ("c001", "tag 0 must be on a text"),
        ("c16130", "tag 1 must be on a number"),
        ("c1f97e00", "NaN is no number"),
        ("d9010380", "tag 259 must be on a map"),
        ("c201", "a byte string, the digits of a big number"),
        ("c401", "an array of exponent and mantissa"),
        ("c48101", "an array of exponent and mantissa"),
        ("c483010203", "trailing data"),
        ("c482f93c0001", "expected i64"),
        ("c48201c101", "expected an integer"),
        (
            "c4821b7fffffffffffffff01",
            "no float holds 1 × 10^9223372036854775807",
        ),
        ("c58220c2480100000000000001", "no float holds"),
        ("c58219040001", "no float holds 1 × 2^1024"),
        ("d81e820103", "tag 30 has no meaning in JSON"),
        ("d90102820102", "tag 258 has no meaning in JSON"),
        ("d8206161", "tag 32 has no meaning in JSON"),
        ("d8254100", "tag 37 has no meaning in JSON"),
    ] {
        let bytes = format!("a26176f56161{}", tagged);
        let rejection = json(&hex(&bytes)).expect_err(tagged);
        assert_eq!(u16::from(rejection.code), 400);
        assert_eq!(
            rejection.path.as_deref().map(|path| &path[..1]),
            Some("a"),
            "{rejection}"
        );
        assert!(rejection.reason.contains(words), "{tagged}: {rejection}");
    }
    let long = [&[0xc2, 0x58, 129][..], &[1; 129]].concat();
    assert!(json(&long).unwrap_err().reason.contains("129 bytes"));
    let most = [&[0xc2, 0x58, 128][..], &[0xff; 128]].concat();
    assert!(json(&most).unwrap_err().reason.contains("no float holds"));
}

#[test]
fn what_has_more_than_one_spelling_is_understood() {
    for (bytes, text) in [
        ("f7", "null"),
        ("1800", "0"),
        ("d9d9f7a0", "{}"),
        ("7f657374726561646d696e67ff", r#""streaming""#),
        ("9f018202039f0405ffff", "[1,[2,3],[4,5]]"),
        ("bf61610161629f0203ffff", r#"{"a":1,"b":[2,3]}"#),
        ("bfff", "{}"),
        ("fa3dcccccd", "0.10000000149011612"),
        ("a2616101616102", r#"{"a":1,"a":2}"#),
    ] {
        assert_eq!(json(&hex(bytes)).as_deref(), Ok(text), "{bytes}");
    }
    for (text, bytes) in [
        (" [ 1 , 2 ]\n", "820102"),
        (r#"{"a":{ }}"#, "a16161a0"),
        (r#""\u00fc\n\u0000""#, "64c3bc0a00"),
        (r#""\ud800\udd51""#, "64f0908591"),
        (r#""\ud800\\\"\n""#, "66efbfbd5c220a"),
        ("-0", "00"),
        ("1e2", "fa42c80000"),
        ("18446744073709551616", "c249010000000000000000"),
    ] {
        assert_eq!(cbor(text), hex(bytes), "{text}");
    }
}

#[test]
fn what_json_cannot_say_is_refused_with_its_place() {
    for (bytes, path, words) in [
        (
            "a16470696373824142f5",
            Some("pics[0]"),
            "a byte string (of 1 bytes)",
        ),
        ("a161785f4101ff", Some("x"), "a byte string"),
        ("a10102", Some("1"), "expected a key of text"),
        ("a1616ef97e00", Some("n"), "NaN is no number of JSON"),
        ("a1616ef97c00", Some("n"), "inf is no number of JSON"),
        ("a16161f820", Some("a"), "offset"),
        ("a16161", Some("a"), "offset"),
        ("a1616101ff", None, "trailing data"),
        ("a16161fc", Some("a"), "offset"),
        ("a1616162ff30", Some("a"), "UTF-8"),
        ("", None, "EOF"),
    ] {
        let rejection = json(&hex(bytes)).expect_err(bytes);
        assert_eq!(u16::from(rejection.code), 400);
        assert_eq!(rejection.path.as_deref(), path, "{bytes}: {rejection}");
        assert!(rejection.reason.contains(words), "{bytes}: {rejection}");
    }
}

#[test]
fn lengths_that_nothing_follows_take_no_memory() {
    let long = "1000000000000000";
    for kind in ["5b", "7b", "9b", "bb"] {
        for bytes in [format!("{kind}{long}"), format!("a16161{kind}{long}")] {
            assert!(json(&hex(&bytes)).is_err(), "{bytes}");
        }
        let most = format!("a16161{kind}ffffffffffffffff00");
        assert!(json(&hex(&most)).is_err(), "{most}");
    }
    assert!(json(&hex(&format!("a161617f7b{long}"))).is_err());
}

#[test]
fn a_nesting_without_end_is_refused_and_a_deep_text_is_written_all_the_same() {
    for opening in [
        &[0x81][..],
        &[0x9f],
        &[0xc1],
        &[0xa1, 0x61, b'a'],
        &[0xbf, 0x61, b'a'],
    ] {
        let rejection = json(&opening.repeat(100_000)).expect_err("too deep");
        assert!(
            rejection.reason.contains("more than 127 levels deep"),
            "{rejection}"
        );
    }
    let deep = |depth: usize| [vec![0x81; depth], vec![0x01]].concat();
    assert!(json(&deep(MAX_DEPTH)).is_ok());
    assert!(json(&deep(MAX_DEPTH + 1)).is_err());
    let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(cbor(&text), [vec![0x81; 99_999], vec![0x80]].concat());
}

#[test]
fn a_map_is_told_from_a_json_text() {
    for bytes in [
        "a0",
        "b8ff",
        "bbff",
        "bf",
        "d9d9f7a1",
        "d90103a0",
        "d9d9f7d90103a0",
    ] {
        assert!(is_map(&hex(bytes)), "{bytes}");
    }
    for text in ["", "{", " {", "\u{feff}{", "[", "1", "\u{a0}"] {
        assert!(!is_map(text.as_bytes()), "{text}");
    }
    for bytes in ["80", "bc", "c0", "d9d9f780", "d9d9", "d90102a0", "c1a0"] {
        assert!(!is_map(&hex(bytes)), "{bytes}");
    }
    assert!(is_content_type("Application/CBOR; x=1") && !is_content_type("application/cbor-seq"));
}

/// JSON values of any kind; floats where `floats` says so.
fn value(floats: bool) -> impl Strategy<Value = Value> {
    let number = match floats {
        true => prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f32>().prop_filter_map("finite", |float| {
                serde_json::Number::from_f64(float.into()).map(Value::from)
            }),
            any::<f64>().prop_filter_map("finite", |float| {
                serde_json::Number::from_f64(float).map(Value::from)
            }),
        ]
        .boxed(),
        false => prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u16>().prop_map(Value::from),
        ]
        .boxed(),
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        any::<String>().prop_map(Value::from),
        ".{250,300}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..30).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn json_comes_back_as_it_was(value in value(true)) {
        let text = value.to_string();
        let bytes = cbor(&text);
        prop_assert_eq!(bytes.len(), length_of(text.as_bytes()));
        prop_assert_eq!(json(&bytes).unwrap(), text);
        // What another writer and another reader of CBOR make of it.
        let again: Value = serde_cbor::from_slice(&bytes).unwrap();
        prop_assert_eq!(&again, &value);
        let theirs = serde_cbor::to_vec(&value).unwrap();
        prop_assert_eq!(halves(&json(&theirs).unwrap()), theirs);
        prop_assert_eq!(cbor(&json(&serde_cbor::to_vec(&value).unwrap()).unwrap()), bytes);
    }

    #[test]
    fn cbor_is_longer_only_where_it_may_be(value in value(true)) {
        let text = serde_json::json!({ "payload": value }).to_string();
        prop_assert!(length_of(text.as_bytes()) <= text.len() || may_be_longer(&text));
    }

    #[test]
    fn any_bytes_are_read_as_json_or_refused(bytes: Vec<u8>) {
        let read = to_json(&bytes);
        if let Ok(text) = read {
            prop_assert!(text.len() <= 8 * bytes.len());
            prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&text).is_ok());
            // Numbers of tags are written in another way; what they are stays.
            let again = to_json(&from_json(&text)).unwrap();
            let [was, is] = [&text, &again].map(|text| serde_json::from_slice::<Value>(text).unwrap());
            prop_assert_eq!(was, is);
            prop_assert_eq!(to_json(&from_json(&again)).unwrap(), again);
        }
    }

    #[test]
    fn any_text_is_written_without_a_panic(text: Vec<u8>) {
        prop_assert_eq!(from_json(&text).len(), length_of(&text));
    }

    #[test]
    fn without_floats_cbor_is_no_longer_than_json(value in value(false)) {
        let text = serde_json::json!({ "payload": value }).to_string();
        prop_assert!(!may_be_longer(&text) || text.contains('.') || text.contains(['e', 'E']));
        prop_assert!(length_of(text.as_bytes()) <= text.len());
    }

    #[test]
    fn tags_in_front_of_anything_are_read_or_refused(tag in prop_oneof![0_u16..6, Just(259), Just(55_799), any::<u16>()], rest in tagged()) {
        let bytes = [&[0x81, 0xd9][..], &tag.to_be_bytes(), &rest].concat();
        if let Ok(text) = to_json(&bytes) {
            prop_assert!(text.len() <= 8 * bytes.len(), "{}", String::from_utf8_lossy(&text));
            let again = to_json(&from_json(&text)).unwrap();
            let [was, is] = [&text, &again].map(|text| serde_json::from_slice::<Value>(text).unwrap());
            prop_assert_eq!(was, is);
        }
    }

    #[test]
    fn big_integers_keep_every_digit(text in "-?[1-9][0-9]{0,307}") {
        let bytes = cbor(&text);
        prop_assert_eq!(length_of(text.as_bytes()), bytes.len());
        prop_assert!(bytes.len() <= text.len().max(9), "{}", text);
        prop_assert_eq!(json(&bytes).unwrap(), text);
    }

    #[test]
    fn decimal_fractions_and_bigfloats_are_exact(mantissa: i64, exponent in -40_i64..40) {
        let pair = serde_cbor::to_vec(&(exponent, mantissa)).unwrap();
        let read = |tag: u8| json(&[&[tag][..], &pair].concat());
        let decimal: f64 = read(0xc4).unwrap().parse().unwrap();
        prop_assert_eq!(decimal, format!("{mantissa}e{exponent}").parse::<f64>().unwrap());
        let exact = mantissa % (1 << 53);
        let pair = serde_cbor::to_vec(&(exponent, exact)).unwrap();
        let binary: f64 = json(&[&[0xc5][..], &pair].concat()).unwrap().parse().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "it has 53 bits at most")]
        let expected = exact as f64 * 2_f64.powi(i32::try_from(exponent).unwrap());
        prop_assert_eq!(binary, expected);
    }
}

/// What may follow a tag: pairs of integers and byte strings among others.
fn tagged() -> impl Strategy<Value = Vec<u8>> {
    let integer = prop_oneof![any::<i64>(), -2000_i64..2000]
        .prop_map(|integer| serde_cbor::to_vec(&integer).unwrap());
    let big = (2_u8..4, prop::collection::vec(any::<u8>(), 0..23)).prop_map(|(tag, bytes)| {
        let length = 0x40 + u8::try_from(bytes.len()).unwrap();
        [&[0xc0 + tag, length][..], &bytes].concat()
    });
    let one = prop_oneof![integer.clone(), big].boxed();
    let pair = (integer, one.clone()).prop_map(|(a, b)| [&[0x82][..], &a, &b].concat());
    let any = prop::collection::vec(any::<u8>(), 0..12);
    prop_oneof![one.prop_map(|bytes| bytes[1..].to_vec()), pair, any]
}
