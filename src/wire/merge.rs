//! JSON Merge Patch (RFC 7396) on texts: what a patch does not touch stays as its writer wrote it,
//! character by character.
//!
//! Members keep their order, numbers their digits, and texts their escapes; only members that the
//! patch names are replaced, removed or, at the end, added. It works on JSON that has been read
//! before and so is known to be valid.

use std::borrow::Cow;
use std::collections::HashMap;

use super::json::Json;

/// How deep a patch may be nested, in objects.
pub const MAX_PATCH_DEPTH: usize = 64;

/// A patch is nested more deeply than [`MAX_PATCH_DEPTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a merge patch may be nested {MAX_PATCH_DEPTH} objects deep at most")]
pub struct TooDeep;

/// Applies a patch to a value, or to nothing.
///
/// # Errors
/// If the patch is nested too deeply.
pub fn merge(target: Option<&Json>, patch: &Json) -> Result<Json, TooDeep> {
    let mut out = String::with_capacity(target.map_or(0, |json| json.text().len()) + 64);
    write_merged(&mut out, target.map(Json::text), patch.text(), 0)?;
    Ok(Json::parse(&out).expect("merged JSON is JSON"))
}

/// One member of an object, in the text that it stands in.
#[derive(Debug, Clone, Copy)]
struct MergeMember<'a> {
    /// From behind the brace or comma up to the value: white space, the name with its quotes, the
    /// colon.
    head: &'a str,
    value: &'a str,
    /// White space up to the next comma; none behind the last.
    tail: &'a str,
}

/// An object in the text that it stands in.
struct MergeObject<'a> {
    members: Vec<MergeMember<'a>>,
    /// White space before the closing brace.
    end: &'a str,
}

impl<'a> MergeMember<'a> {
    fn name(&self) -> Cow<'a, str> {
        let head = self.head.trim_end();
        let quoted = head.strip_suffix(':').unwrap_or(head).trim();
        let plain = quoted.trim_matches('"');
        if !plain.contains('\\') && plain.len() + 2 == quoted.len() {
            return Cow::Borrowed(plain);
        }
        // Half of a surrogate pair is the one thing that is valid here and no text; it is only
        // itself.
        serde_json::from_str(quoted).map_or(Cow::Borrowed(quoted), Cow::Owned)
    }
}

fn write_merged(
    out: &mut String,
    target: Option<&str>,
    patch: &str,
    depth: usize,
) -> Result<(), TooDeep> {
    let Some(patch) = MergeObject::of(patch) else {
        out.push_str(patch);
        return Ok(());
    };
    if depth == MAX_PATCH_DEPTH {
        return Err(TooDeep);
    }
    let target = target.and_then(MergeObject::of).unwrap_or(MergeObject {
        members: Vec::new(),
        end: "",
    });
    let wanted = patch.by_name();
    let last = target.by_name();
    let mut separator = "";
    out.push('{');
    for (index, member) in target.members.iter().enumerate() {
        let name = member.name();
        let change = wanted.get(&name).map(|at| patch.members[*at].value);
        // Where a name stands twice the last one counts, and is all that is left once it is
        // patched.
        if change.is_some_and(|value| value == "null" || last.get(&name) != Some(&index)) {
            continue;
        }
        out.push_str(separator);
        out.push_str(member.head);
        match change {
            Some(value) => write_merged(out, Some(member.value), value, depth + 1)?,
            None => out.push_str(member.value),
        }
        out.push_str(member.tail);
        separator = ",";
    }
    for (index, member) in patch.members.iter().enumerate() {
        let name = member.name();
        if member.value == "null" || last.contains_key(&name) || wanted.get(&name) != Some(&index) {
            continue;
        }
        out.push_str(separator);
        out.push_str(member.head.trim_start());
        write_merged(out, None, member.value, depth + 1)?;
        separator = ",";
    }
    out.push_str(target.end);
    out.push('}');
    Ok(())
}

impl<'a> MergeObject<'a> {
    /// Takes a text apart; `None` if it is no object.
    fn of(text: &'a str) -> Option<MergeObject<'a>> {
        let inner = text.trim_ascii().strip_prefix('{')?.strip_suffix('}')?;
        let mut members = Vec::new();
        let mut rest = inner;
        while !rest.trim_ascii_start().is_empty() {
            let name_end = find_end(rest, b':');
            let head_end = rest.len() - rest[name_end + 1..].trim_ascii_start().len();
            let (head, behind) = rest.split_at(head_end);
            let value_end = find_end(behind, b',');
            let whole = &behind[..value_end];
            let value = whole.trim_ascii_end();
            let tail = &whole[value.len()..];
            members.push(MergeMember { head, value, tail });
            rest = behind.get(value_end + 1..).unwrap_or_default();
        }
        let end = match members.last_mut() {
            Some(member) => std::mem::take(&mut member.tail),
            None => inner,
        };
        Some(MergeObject { members, end })
    }

    /// Where each name stands last.
    fn by_name(&self) -> HashMap<Cow<'a, str>, usize> {
        let members = self.members.iter().enumerate();
        members.map(|(at, member)| (member.name(), at)).collect()
    }
}

/// Where a mark stands first outside of strings, arrays and objects; the length if nowhere.
fn find_end(text: &str, mark: u8) -> usize {
    let mut open = 0_usize;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            byte if byte == mark && open == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

fn skip_string(bytes: &mut impl Iterator<Item = (usize, u8)>) {
    while let Some((_, byte)) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn merged(target: &str, patch: &str) -> String {
        let json = |text: &str| Json::parse(text).unwrap();
        let merged = merge(Some(&json(target)), &json(patch)).unwrap();
        merged.text().to_owned()
    }

    /// The specification's own algorithm (RFC 7396, section 2).
    fn by_the_book(target: Option<Value>, patch: &Value) -> Value {
        let Value::Object(patch) = patch else {
            return patch.clone();
        };
        let mut target = match target {
            Some(Value::Object(target)) => target,
            _ => serde_json::Map::new(),
        };
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                let old = target.remove(name);
                target.insert(name.clone(), by_the_book(old, value));
            }
        }
        Value::Object(target)
    }

    #[test]
    fn the_cases_of_the_specification() {
        // RFC 7396, appendix A.
        for (target, patch, expected) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merged(target, patch), expected, "{target} with {patch}");
        }
    }

    #[test]
    fn what_a_patch_does_not_touch_stays_character_by_character() {
        let target = r#"{ "z" : 1.10 ,
  "big":12345678901234567890123, "caf\u00e9" : "\/", "old": 1, "n":{ "x": 1e2, "y":null } }"#;
        assert_eq!(
            merged(
                target,
                r#"{"old":null,"n":{"x":2.50,"w": 3},"new" : {"q":0.10, "gone":null}}"#
            ),
            r#"{ "z" : 1.10 ,
  "big":12345678901234567890123, "caf\u00e9" : "\/", "n":{ "x": 2.50, "y":null,"w": 3 },"new" : {"q":0.10} }"#
        );
    }

    #[test]
    fn names_are_compared_as_texts_not_as_they_are_written() {
        assert_eq!(
            merged(r#"{"caf\u00e9":1}"#, r#"{"café":2}"#),
            r#"{"caf\u00e9":2}"#
        );
        assert_eq!(
            merged(r#"{"a\"":1,"\"":2}"#, r#"{"\"":null}"#),
            r#"{"a\"":1}"#
        );
        assert_eq!(merged(r#"{"":1}"#, r#"{"":null}"#), "{}");
    }

    #[test]
    fn of_a_name_that_stands_twice_the_last_one_counts() {
        assert_eq!(
            merged(r#"{"a":{"x":1},"b":0,"a":{"y":1}}"#, r#"{"a":{"z":1}}"#),
            r#"{"b":0,"a":{"y":1,"z":1}}"#
        );
        assert_eq!(merged(r#"{"a":1,"a":2}"#, r#"{"a":null}"#), "{}");
        assert_eq!(
            merged("{}", r#"{"a":1,"a":null,"b":null,"b":2}"#),
            r#"{"b":2}"#
        );
    }

    #[test]
    fn marks_within_texts_are_no_marks() {
        let target = r#"{"a":"},{\"b\":1","c":["]",{"d":"\\"}]}"#;
        assert_eq!(merged(target, r#"{"c":1}"#), r#"{"a":"},{\"b\":1","c":1}"#);
    }

    #[test]
    fn a_patch_that_is_nested_too_deeply_is_refused() {
        let nested = |depth: usize| {
            let text = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
            merge(None, &Json::parse(&text).unwrap())
        };
        assert!(nested(MAX_PATCH_DEPTH).is_ok());
        assert_eq!(nested(MAX_PATCH_DEPTH + 1), Err(TooDeep));
        assert_eq!(nested(50_000), Err(TooDeep));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\{},:é \n]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[ab\"\\\\:,{é]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_the_specifications_algorithm(target in any_json(), patch in any_json(), pretty: bool) {
            let text = if pretty { format!("{target:#}") } else { target.to_string() };
            let result: Value = serde_json::from_str(&merged(&text, &patch.to_string())).unwrap();
            prop_assert_eq!(result, by_the_book(Some(target), &patch));
        }
    }
}
