use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn json(cbor: &[u8]) -> Result<String, crate::wire::reply::Rejection> {
    to_json(cbor).map(|text| String::from_utf8(text).unwrap())
}

fn cbor(json: &str) -> Vec<u8> {
    from_json(json.as_bytes()).to_vec()
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
        assert_eq!(cbor(text), hex(bytes), "{text}");
        assert_eq!(length_of(text.as_bytes()), bytes.len() / 2, "{text}");
    }
}

#[test]
fn what_has_more_than_one_spelling_is_understood() {
    for (bytes, text) in [
        ("f7", "null"),
        ("1800", "0"),
        (
            "c074323031332d30332d32315432303a30343a30305a",
            r#""2013-03-21T20:04:00Z""#,
        ),
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
        ("1e2", "f95640"),
        ("18446744073709551616", "fa5f800000"),
        ("1e999", "f97c00"),
        ("-1e999", "f9fc00"),
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
        ("a1616ec24101", Some("n"), "a byte string"),
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
        assert!(rejection.reason.contains("recursion"), "{rejection}");
    }
    let deep = |depth: usize| [vec![0x81; depth], vec![0x01]].concat();
    assert!(json(&deep(MAX_DEPTH)).is_ok());
    assert!(json(&deep(MAX_DEPTH + 1)).is_err());
    let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(cbor(&text), [vec![0x81; 99_999], vec![0x80]].concat());
}

#[test]
fn a_map_is_told_from_a_json_text() {
    for bytes in ["a0", "b8ff", "bbff", "bf", "d9d9f7a1"] {
        assert!(is_map(&hex(bytes)), "{bytes}");
    }
    for text in ["", "{", " {", "\u{feff}{", "[", "1", "\u{a0}"] {
        assert!(!is_map(text.as_bytes()), "{text}");
    }
    for bytes in ["80", "bc", "c0", "d9d9f780", "d9d9"] {
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
            let shortest = from_json(&text);
            prop_assert_eq!(to_json(&shortest).unwrap(), text);
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
}
