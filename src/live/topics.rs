//! Topic names as the router sees them.
//!
//! Knows nothing of links. Topics that begin with `$` get a prefix of their own, so that the router
//! itself keeps `#` and `+/x` away from them (MQTT-4.7.2-1), and every other topic begins with an
//! ASCII letter whatever it contains.

pub(super) use crate::wire::filter::{matches, overlap};

/// Length of the prefix that [`routed`] puts in front, in bytes.
pub(super) const PREFIX_LEN: usize = 2;

const ORDINARY: &str = "t/";
const DOLLAR: &str = "s/";

/// The router's prefix for a topic name or a topic filter.
pub(super) fn prefix(topic: &str) -> &'static str {
    if topic.starts_with('$') {
        DOLLAR
    } else {
        ORDINARY
    }
}

/// The router's name for a topic name or a topic filter.
pub(super) fn routed(topic: &str) -> String {
    let mut routed = String::with_capacity(PREFIX_LEN + topic.len());
    routed.push_str(prefix(topic));
    routed.push_str(topic);
    routed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_select_topics_by_the_rules_of_the_specification() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+/c", "a/b/c", true),
            ("+", "a", true),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
            ("$SYS/+", "$SYS/a", true),
            ("é/+", "é/ü", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} against {topic}");
        }
    }

    #[test]
    fn overlap_finds_pairs_with_a_common_topic() {
        for (a, b, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/+", "+/b", true),
            ("a/+", "b/+", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/+/c", "a/b/#", true),
            ("a/+", "a/b/c", false),
            ("#", "x/y", true),
            ("#", "$SYS/x", false),
            ("$SYS/#", "$SYS/+", true),
        ] {
            assert_eq!(overlap(a, b), expected, "{a} and {b}");
            assert_eq!(overlap(b, a), expected, "{b} and {a}");
        }
    }
}
