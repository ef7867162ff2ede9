//! Topic filters against one another: whether two can match the same topic, and whether one matches all that another does.
//! A subscription is judged by this, because it names many topics at once; a single topic is [`filter::matches`]'s business.
//!
//! [`filter::matches`]: crate::wire::filter::matches

/// Whether some topic is matched by both.
pub(super) fn overlap<'a>(
    one: impl Iterator<Item = &'a str>,
    other: impl Iterator<Item = &'a str>,
) -> bool {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    // A wildcard in the first level matches nothing that begins with `$` (MQTT-4.7.2-1).
    if let (Some(a), Some(b)) = (one.peek(), other.peek())
        && (is_wildcard(a) && b.starts_with('$') || is_wildcard(b) && a.starts_with('$'))
    {
        return false;
    }
    loop {
        match (one.next(), other.next()) {
            // `a/#` matches `a` itself, too.
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
            _ => return false,
        }
    }
}

/// Whether every topic that `narrow` matches is matched by `wide`.
pub(super) fn covers<'a>(
    wide: impl Iterator<Item = &'a str>,
    narrow: impl Iterator<Item = &'a str>,
) -> bool {
    let (mut wide, mut narrow) = (wide.peekable(), narrow.peekable());
    if let (Some(a), Some(b)) = (wide.peek(), narrow.peek())
        && is_wildcard(a)
        && b.starts_with('$')
    {
        return false;
    }
    loop {
        match (wide.next(), narrow.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

fn is_wildcard(level: &str) -> bool {
    matches!(level, "+" | "#")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::filter::{check_filter, matches};

    fn meet(a: &str, b: &str) -> bool {
        overlap(a.split('/'), b.split('/'))
    }

    #[test]
    fn filters_meet_where_a_topic_could() {
        for (a, b) in [
            ("#", "a/b"),
            ("a/#", "a"),
            ("a/+", "+/b"),
            ("a/+/c", "a/b/#"),
            ("$SYS/#", "$SYS/+"),
        ] {
            assert!(meet(a, b) && meet(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("a", "b"),
            ("a/+", "a"),
            ("a/b", "a/b/c"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/#"),
        ] {
            assert!(!meet(a, b) && !meet(b, a), "{a} {b}");
        }
    }

    fn levels(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(choices), 1..5)
            .prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #[test]
        fn agree_with_matching(
            a in levels(&["a", "b", "+", "#", "$x"]),
            b in levels(&["a", "b", "+", "#", "$x"]),
            topic in levels(&["a", "b", "$x"]),
        ) {
            prop_assume!(check_filter(&a).is_ok() && check_filter(&b).is_ok());
            if matches(&a, &topic) && matches(&b, &topic) {
                prop_assert!(meet(&a, &b));
            }
            if covers(a.split('/'), b.split('/')) && matches(&b, &topic) {
                prop_assert!(matches(&a, &topic));
            }
        }
    }
}
