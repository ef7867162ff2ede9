//! Topic names and filters by MQTT's rules (sections 4.7 and 4.8.2): validity, matching, shared
//! subscriptions.

/// A topic name or filter that breaks the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicRule {
    /// MQTT-4.7.3-1.
    #[error("a topic must have at least one character")]
    Empty,
    /// MQTT-4.7.3-2.
    #[error("a topic must not contain the null character")]
    Null,
    /// MQTT-3.3.2-2: names in PUBLISH have no wildcards.
    #[error("a topic name must not contain + or #")]
    WildcardInName,
    /// MQTT-4.7.1-1 (`#` last and alone in its level) and MQTT-4.7.1-2 (`+` alone in its level).
    #[error("+ must fill its level, and # must be the last level")]
    MisplacedWildcard,
    /// Ours.
    #[error("a topic must not have more levels than are allowed")]
    TooDeep,
    /// MQTT-4.8.2-1 and -2.
    #[error("a shared filter is $share/NAME/FILTER, with a NAME free of / + #")]
    BadShare,
}

/// Checks a topic name, as in PUBLISH and wills.
pub fn check_name(topic: &str) -> Result<(), TopicRule> {
    check_text(topic)?;
    if topic.contains(['+', '#']) {
        return Err(TopicRule::WildcardInName);
    }
    Ok(())
}

/// Checks a topic filter, as in SUBSCRIBE; `$share/…` included.
pub fn check_filter(filter: &str) -> Result<(), TopicRule> {
    check_text(filter)?;
    let filter = match filter.strip_prefix("$share/") {
        Some(_) => {
            SharedFilter::parse(filter)
                .ok_or(TopicRule::BadShare)?
                .filter
        }
        None if filter == "$share" => return Err(TopicRule::BadShare),
        None => filter,
    };
    check_wildcards(filter)
}

/// Checks a filter as MQTT 3.1.1 has them, which knows no `$share`.
pub fn check_plain_filter(filter: &str) -> Result<(), TopicRule> {
    check_text(filter)?;
    check_wildcards(filter)
}

fn check_wildcards(filter: &str) -> Result<(), TopicRule> {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let well_placed = match level {
            "#" => levels.peek().is_none(),
            "+" => true,
            text => !text.contains(['+', '#']),
        };
        if !well_placed {
            return Err(TopicRule::MisplacedWildcard);
        }
    }
    Ok(())
}

/// Checks how many levels a topic or a filter has, without what `$share/…` puts in front (see
/// CVE-2019-11779).
pub fn check_levels(topic: &str, max: usize) -> Result<(), TopicRule> {
    let topic = SharedFilter::parse(topic).map_or(topic, |shared| shared.filter);
    if topic.bytes().filter(|&b| b == b'/').count() >= max {
        return Err(TopicRule::TooDeep);
    }
    Ok(())
}

fn check_text(topic: &str) -> Result<(), TopicRule> {
    if topic.is_empty() {
        return Err(TopicRule::Empty);
    }
    if topic.contains('\0') {
        return Err(TopicRule::Null);
    }
    Ok(())
}

/// A shared subscription's two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedFilter<'a> {
    /// The group's name; groups are told apart by name and filter (MQTT-4.8.2).
    pub group: &'a str,
    /// What the group listens to.
    pub filter: &'a str,
}

impl<'a> SharedFilter<'a> {
    /// Splits `$share/{group}/{filter}`; `None` if it is not one, or not well formed.
    pub fn parse(filter: &'a str) -> Option<SharedFilter<'a>> {
        let (group, filter) = filter.strip_prefix("$share/")?.split_once('/')?;
        let valid = !group.is_empty() && !group.contains(['+', '#']) && !filter.is_empty();
        valid.then_some(SharedFilter { group, filter })
    }
}

/// Whether a filter has a wildcard.
pub fn has_wildcard(filter: &str) -> bool {
    filter.split('/').any(is_wildcard)
}

/// Whether `filter` (no `$share/` in front) matches the topic name.
///
/// A filter that begins with a wildcard does not match a topic that begins with `$` (MQTT-4.7.2-1);
/// `a/#` matches `a` too (MQTT-4.7.1-2, non-normative).
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    let mut parts = filter.split('/');
    loop {
        match (parts.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(part), Some(level)) if part == level => {}
            _ => return false,
        }
    }
}

/// Whether some topic could match both filters.
pub fn overlap(a: &str, b: &str) -> bool {
    levels_overlap(a.split('/'), b.split('/'))
}

/// The same for filters that are there level by level.
pub fn levels_overlap<'a>(
    a: impl Iterator<Item = &'a str>,
    b: impl Iterator<Item = &'a str>,
) -> bool {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    if let (Some(x), Some(y)) = (a.peek(), b.peek())
        && (is_wildcard(x) && y.starts_with('$') || is_wildcard(y) && x.starts_with('$'))
    {
        return false;
    }
    loop {
        match (a.next(), b.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(x), Some(y)) if x == y || x == "+" || y == "+" => {}
            _ => return false,
        }
    }
}

/// Whether every topic that `narrow` matches, `wide` matches too.
pub fn covers(wide: &str, narrow: &str) -> bool {
    levels_cover(wide.split('/'), narrow.split('/'))
}

/// The same for filters that are there level by level.
pub fn levels_cover<'a>(
    wide: impl Iterator<Item = &'a str>,
    narrow: impl Iterator<Item = &'a str>,
) -> bool {
    let (mut wide, mut narrow) = (wide.peekable(), narrow.peekable());
    if let (Some(own), Some(level)) = (wide.peek(), narrow.peek())
        && is_wildcard(own)
        && level.starts_with('$')
    {
        return false;
    }
    loop {
        match (wide.next(), narrow.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(own), Some(level)) if own == level => {}
            _ => return false,
        }
    }
}

fn is_wildcard(level: &str) -> bool {
    matches!(level, "+" | "#")
}

/// A filter that covers both of two that [`overlap`].
pub fn join(a: &str, b: &str) -> String {
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    let mut levels = Vec::new();
    loop {
        match (a.next(), b.next()) {
            (None, None) => return levels.join("/"),
            (Some(x), Some(y)) if x != "#" && y != "#" => {
                levels.push(if x == y { x } else { "+" });
            }
            _ => {
                levels.push("#");
                return levels.join("/");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_covers_matches_whatever_is_covered(
            a in "(a|b|\\+|\\$x)(/(a|b|\\+|)){0,3}(/#)?",
            b in "(a|b|\\+|\\$x)(/(a|b|\\+|)){0,3}(/#)?",
            topic in "(a|b|\\$x)(/(a|b|)){0,4}",
        ) {
            if overlap(&a, &b) {
                let both = join(&a, &b);
                prop_assert!(check_filter(&both).is_ok() && covers(&both, &a) && covers(&both, &b), "{}", both);
            }
            prop_assert!(!(covers(&a, &b) && matches(&b, &topic)) || matches(&a, &topic));
            prop_assert!(!(matches(&a, &topic) && matches(&b, &topic)) || overlap(&a, &b));
        }
    }

    #[test]
    fn filters_overlap_where_a_topic_could_match_both() {
        for (a, b) in [
            ("#", "a/b"),
            ("a/#", "a"),
            ("a/+", "+/b"),
            ("a/+/c", "a/b/#"),
            ("$SYS/#", "$SYS/+"),
        ] {
            assert!(overlap(a, b) && overlap(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("a", "b"),
            ("a/+", "a"),
            ("a/b", "a/b/c"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/#"),
        ] {
            assert!(!overlap(a, b) && !overlap(b, a), "{a} {b}");
        }
    }

    fn levels(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(choices), 1..5)
            .prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #[test]
        fn overlapping_and_covering_agree_with_matching(
            a in levels(&["a", "b", "+", "#", "$x"]),
            b in levels(&["a", "b", "+", "#", "$x"]),
            topic in levels(&["a", "b", "$x"]),
        ) {
            prop_assume!(check_filter(&a).is_ok() && check_filter(&b).is_ok());
            if matches(&a, &topic) && matches(&b, &topic) {
                prop_assert!(overlap(&a, &b));
            }
            if covers(&a, &b) && matches(&b, &topic) {
                prop_assert!(matches(&a, &topic));
            }
        }
    }

    #[test]
    fn filters_match_by_level() {
        for (filter, topic) in [
            ("a/b", "a/b"),
            ("a/+", "a/b"),
            ("a/+", "a/"),
            ("#", "a/b/c"),
            ("a/#", "a"),
            ("a/#", "a/b/c"),
            ("+/+", "/x"),
            ("/+", "/x"),
            ("$SYS/#", "$SYS/broker"),
            ("+", "a"),
            ("a/+/c", "a/b/c"),
        ] {
            assert!(matches(filter, topic), "{filter} should match {topic}");
        }
        for (filter, topic) in [
            ("a/b", "a/b/c"),
            ("a/+", "a"),
            ("a/+", "a/b/c"),
            ("+", "/x"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
            ("a/#", "ab"),
            ("a/b", "a"),
            ("A", "a"),
        ] {
            assert!(!matches(filter, topic), "{filter} should not match {topic}");
        }
    }

    #[test]
    fn filters_are_checked() {
        for good in ["a", "/", "+/#", "a/+/b", "$SYS/#", "$share/g/a/#", "é/ü"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for (bad, rule) in [
            ("", TopicRule::Empty),
            ("a/#/b", TopicRule::MisplacedWildcard),
            ("a+", TopicRule::MisplacedWildcard),
            ("a#", TopicRule::MisplacedWildcard),
            ("a\0", TopicRule::Null),
            ("$share/g", TopicRule::BadShare),
            ("$share//a", TopicRule::BadShare),
            ("$share/+/a", TopicRule::BadShare),
            ("$share/g/", TopicRule::BadShare),
        ] {
            assert_eq!(check_filter(bad), Err(rule), "{bad}");
        }
        assert_eq!(check_name("a/+"), Err(TopicRule::WildcardInName));
    }

    #[test]
    fn levels_are_counted_without_the_group_of_a_share() {
        for at_most_three in ["a", "a/b/c", "//", "+/+/#", "$share/g/a/b/c"] {
            assert_eq!(check_levels(at_most_three, 3), Ok(()), "{at_most_three}");
        }
        for deeper in ["a/b/c/d", "///", "+/+/+/#", "$share/g/a/b/c/d"] {
            assert_eq!(check_levels(deeper, 3), Err(TopicRule::TooDeep), "{deeper}");
        }
        let deep = "/".repeat(65_400);
        assert_eq!(check_levels(&deep, 1000), Err(TopicRule::TooDeep));
    }
}
