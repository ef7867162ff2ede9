//! Schemas that agents and operators could bring, good and hostile.

use serde_json::{Value, json};

use super::*;

fn compile(schema: Value) -> Result<Schema, SchemaError> {
    Schema::compile(&schema.to_string())
}

fn error(schema: Value) -> String {
    compile(schema).unwrap_err().to_string()
}

#[track_caller]
fn refused(schema: &Schema, value: &Value) -> Violation {
    schema.check(&value.to_string()).unwrap_err()
}

#[test]
fn a_violation_names_its_place_and_what_was_expected_but_not_the_value() {
    let schema = compile(json!({
        "type": "object",
        "required": ["steps"],
        "properties": { "steps": { "type": "array", "items": { "properties": { "a/b": { "type": "integer" } } } } },
    }))
    .unwrap();
    assert_eq!(schema.check(r#"{"steps":[{"a/b":1}]}"#), Ok(()));
    let wrong = refused(&schema, &json!({ "steps": [{}, { "a/b": "secret" }] }));
    assert_eq!(wrong.path, "/steps/1/a~1b");
    assert!(wrong.reason.contains("integer"), "{wrong}");
    assert!(!wrong.reason.contains("secret"), "{wrong}");
    let missing = refused(&schema, &json!({}));
    assert_eq!(missing.path, "");
    assert!(missing.reason.contains("steps"), "{missing}");
}

#[test]
fn drafts_are_told_apart_by_their_name() {
    for (draft, tuple) in [
        ("http://json-schema.org/draft-07/schema#", "items"),
        (
            "https://json-schema.org/draft/2020-12/schema",
            "prefixItems",
        ),
    ] {
        let schema = compile(json!({ "$schema": draft, tuple: [{ "type": "string" }] })).unwrap();
        assert_eq!(refused(&schema, &json!([1])).path, "/0");
    }
    assert!(compile(json!({ "$schema": "https://example.com/own" })).is_err());
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    assert!(
        Schema::compile("{")
            .unwrap_err()
            .to_string()
            .contains("must be JSON")
    );
    assert!(
        error(json!({ "properties": { "a": { "type": "nothing" } } }))
            .starts_with("/properties/a/type")
    );
    assert!(compile(json!({ "pattern": "(" })).is_err());
    assert!(compile(json!(3)).is_err());
    assert!(compile(json!(true)).is_ok());
}

#[test]
fn references_stay_within_the_schema() {
    for outside in [
        "https://example.com/x.json",
        "file:///etc/passwd",
        "other.json#/a",
        "#/nowhere",
        "#nothing",
        "#/%24defs/a",
        "http://json-schema.org/draft-07/schema#",
    ] {
        let text = error(json!({ "properties": { "a": { "$ref": outside } } }));
        assert!(text.starts_with("/properties/a/$ref"), "{text}");
    }
    assert!(error(json!({ "items": { "$id": "https://example.com/x" } })).contains("$id"));
    let schema = compile(json!({
        "$id": "https://example.com/list",
        "$defs": { "n": { "$anchor": "number", "type": "number" } },
        "items": { "anyOf": [{ "$ref": "#number" }, { "$ref": "#" }] },
    }))
    .unwrap();
    assert_eq!(schema.check("[1, [2, [3]]]"), Ok(()));
    assert!(
        schema.check(r#"[1, [2, ["x"]]]"#).is_ok(),
        "a text has no items"
    );
}

/// What zod 4.6 writes for its formats.
const OF_ZOD: [(&str, &str, &str, &str); 4] = [
    (
        "duration",
        r"^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$",
        "P3Y6M4DT12H30M5S",
        "P1WT1H",
    ),
    (
        "emoji",
        r"^(?=[\s\S]*[\p{Extended_Pictographic}\p{Regional_Indicator}\u20E3])[\p{Extended_Pictographic}\p{Emoji_Component}]+$",
        "👩‍🚀🇩🇪",
        "12",
    ),
    (
        "hostname",
        r"^(?=.{1,253}\.?$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[-0-9a-zA-Z]{0,61}[0-9a-zA-Z])?)*\.?$",
        "a-b.example.org.",
        "-a.example",
    ),
    (
        "email",
        r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$",
        "ann.b@example.org",
        "ann..b@example.org",
    ),
];

#[test]
fn patterns_of_ecmascript_that_are_not_linear_are_matched() {
    for (name, pattern, good, bad) in OF_ZOD {
        let schema = compile(json!({
            "properties": { "pattern": { "type": "string", "pattern": pattern } },
        }))
        .unwrap_or_else(|error| panic!("{name}: {error}"));
        let value = |text: &str| json!({ "pattern": text });
        assert_eq!(schema.check(&value(good).to_string()), Ok(()), "{name}");
        let wrong = refused(&schema, &value(bad));
        assert_eq!(wrong.path, "/pattern", "{name}: {wrong}");
        assert!(schema.check(r#"{"pattern":7}"#).is_err());
    }
    // What only looks like the keyword is left alone.
    let schema = compile(json!({ "const": { "pattern": "(?=a)" } })).unwrap();
    assert_eq!(schema.check(r#"{"pattern":"(?=a)"}"#), Ok(()));
}

#[test]
fn steps_of_patterns_are_bounded_for_a_whole_value() {
    let evil = compile(json!({ "items": { "not": { "pattern": "^(?=(a+)+$)b" } } })).unwrap();
    assert_eq!(evil.check(r#"["aaaaaaaaaaaac","ab"]"#), Ok(()));
    let long = format!("{}c", "a".repeat(40));
    let words = "regular expressions";
    let wrong = refused(&evil, &json!([long]));
    assert!(
        wrong.reason.contains(words) && wrong.path.is_empty(),
        "{wrong}"
    );
    // Many that are bounded each are bounded together.
    let many = json!(vec![format!("{}c", "a".repeat(13)); 200]);
    assert!(refused(&evil, &many).reason.contains(words));
    assert_eq!(
        evil.check(r#"["aaaaaaaaaaaac"]"#),
        Ok(()),
        "the next one has its own"
    );
}

#[test]
fn regular_expressions_are_linear_small_and_few() {
    let schema = compile(json!({ "pattern": "^(a+)+$" })).unwrap();
    let text = json!(format!("{}b", "a".repeat(100_000)));
    assert_eq!(refused(&schema, &text).path, "");
    assert!(
        compile(json!({ "patternProperties": { "^(?=a)b": {} } })).is_err(),
        "names are matched by the linear engine alone"
    );
    assert!(compile(json!({ "pattern": "(\\w{100}){100}" })).is_err());
    let many = |count: usize| {
        let patterns: Vec<Value> = (0..count)
            .map(|n| json!({ "pattern": format!("^{n}$") }))
            .collect();
        compile(json!({ "anyOf": patterns }))
    };
    assert!(many(MAX_PATTERNS).is_ok());
    assert_eq!(
        many(MAX_PATTERNS + 1).unwrap_err(),
        SchemaError::TooManyPatterns
    );
}

#[test]
fn size_is_bounded() {
    let long = json!({ "description": "x".repeat(MAX_SCHEMA_BYTES) });
    assert!(matches!(compile(long), Err(SchemaError::TooLong(_))));
    let parts = vec![json!(true); MAX_SUBSCHEMAS];
    assert_eq!(
        compile(json!({ "anyOf": parts })).unwrap_err(),
        SchemaError::TooManySubschemas
    );
}

/// Definitions that each try the next one twice.
fn doubling(next: impl Fn(String) -> Value, count: usize) -> Value {
    let mut definitions = serde_json::Map::new();
    for n in 0..count {
        definitions.insert(format!("d{n}"), next(format!("#/$defs/d{}", n + 1)));
    }
    definitions.insert(format!("d{count}"), json!({ "type": "integer" }));
    json!({ "$ref": "#/$defs/d0", "$defs": definitions })
}

#[test]
fn a_schema_that_doubles_its_work_on_one_value_is_refused() {
    let twice = |next: String| json!({ "allOf": [{ "$ref": next }, { "$ref": next }] });
    assert!(compile(doubling(twice, 5)).is_ok());
    assert_eq!(
        compile(doubling(twice, 40)).unwrap_err(),
        SchemaError::TooCostly
    );
}

#[test]
fn a_schema_that_doubles_its_work_level_by_level_refuses_deep_values() {
    let twice =
        |next: String| json!({ "items": { "allOf": [{ "$ref": next }, { "$ref": next }] } });
    let schema = compile(doubling(twice, 60)).unwrap();
    let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(schema.check(&deep(5).to_string()), Ok(()));
    assert!(refused(&schema, &deep(50)).reason.contains("steps"));
}

#[test]
fn schemas_that_refer_to_themselves_fit_trees() {
    let schema = compile(json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "children": { "type": "array", "items": { "$ref": "#" } } },
        "required": ["name"],
    }))
    .unwrap();
    let tree = |levels: usize| {
        (0..levels).fold(
            json!({ "name": "leaf" }),
            |inner, _| json!({ "name": "n", "children": [inner] }),
        )
    };
    assert_eq!(schema.check(&tree(20).to_string()), Ok(()));
    assert!(refused(&schema, &tree(60)).reason.contains("levels deep"));
    assert_eq!(
        compile(json!({ "$ref": "#" })).unwrap_err(),
        SchemaError::Endless
    );
    let pair = json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "not": { "$ref": "#/$defs/a" } } }, "$ref": "#/$defs/a" });
    assert_eq!(compile(pair).unwrap_err(), SchemaError::Endless);
}

#[test]
fn a_tree_of_expressions_stays_cheap_where_shapes_tell_its_branches_apart() {
    let schema = compile(json!({ "oneOf": [
        { "type": "number" },
        { "type": "array", "items": { "$ref": "#" } },
        { "type": "object", "additionalProperties": { "$ref": "#" } },
    ] }))
    .unwrap();
    let deep = (0..20).fold(json!(1), |inner, n| {
        if n % 2 == 0 {
            json!([inner, 2])
        } else {
            json!({ "x": inner })
        }
    });
    assert_eq!(schema.check(&deep.to_string()), Ok(()));
}

#[test]
fn a_large_value_is_checked_and_a_huge_product_is_not() {
    let numbers = json!({ "items": { "type": "number" } });
    let schema = compile(numbers).unwrap();
    let many = |count: usize| json!(vec![1; count]);
    assert_eq!(schema.check(&many(130_000).to_string()), Ok(()));
    let parts = vec![json!({ "minimum": 0 }); 200];
    let schema = compile(json!({ "items": { "allOf": parts } })).unwrap();
    assert_eq!(schema.check(&many(1_000).to_string()), Ok(()));
    assert!(refused(&schema, &many(10_000)).reason.contains("steps"));
}

#[test]
fn nothing_that_is_allowed_overflows_the_stack() {
    let value = (0..MAX_DEPTH)
        .fold(json!(1), |inner, _| json!([inner]))
        .to_string();
    let levels = |next: String| json!({ "items": { "$ref": next } });
    let longest = compile(doubling(levels, 490)).unwrap();
    longest.check(&value).unwrap();
    let same = |next: String| json!({ "not": { "$ref": next } });
    compile(doubling(same, 127))
        .unwrap()
        .check("1")
        .unwrap_err();
    assert_eq!(
        compile(doubling(same, 300)).unwrap_err(),
        SchemaError::TooCostly
    );
    let both = |next: String| json!({ "not": { "items": { "$ref": next } } });
    let mixed = compile(doubling(both, 300)).unwrap();
    mixed.check(&value).ok();
    let nested = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    assert!(compile(json!(true)).unwrap().check(&nested).is_err());
}
