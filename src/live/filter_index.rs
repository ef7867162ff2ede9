//! Which filters are subscribed anywhere on the plane, as a tree by level, and what was sent to
//! each.
//!
//! A router scans all its filters, for each publish, for a topic that nobody listens to; asking
//! here first makes such a publish cheap. Filled before a subscription reaches the router and
//! emptied after, so it never knows too few.

use std::collections::HashMap;
use std::sync::Arc;

use super::traffic::Traffic;
use crate::slack::Slack;

/// Filters with the number of subscriptions to each.
#[derive(Default)]
pub(super) struct FilterIndex {
    root: FilterNode,
    filters: usize,
}

#[derive(Default)]
struct FilterNode {
    children: HashMap<Box<str>, FilterNode>,
    subscriptions: usize,
    traffic: Arc<Traffic>,
}

impl FilterIndex {
    /// Counts a subscription to the filter; returns what was sent to it.
    pub(super) fn add(&mut self, filter: &str) -> Arc<Traffic> {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            node = node.children.entry(level.into()).or_default();
        }
        node.subscriptions += 1;
        if node.subscriptions == 1 {
            self.filters += 1;
        }
        Arc::clone(&node.traffic)
    }

    pub(super) fn remove(&mut self, filter: &str) {
        let levels: Vec<&str> = filter.split('/').collect();
        if self.root.remove(&levels) {
            self.filters -= 1;
        }
    }

    /// Distinct filters.
    pub(super) fn filters(&self) -> usize {
        self.filters
    }

    /// Calls `found` for each filter that selects the topic; returns whether there was one.
    pub(super) fn matching(&self, topic: &str, found: &mut dyn FnMut(&Traffic)) -> bool {
        if topic.starts_with('$') {
            let (first, rest) = split_level(topic);
            return self
                .root
                .children
                .get(first)
                .is_some_and(|node| node.matching(rest, found));
        }
        self.root.matching(Some(topic), found)
    }
}

fn split_level(topic: &str) -> (&str, Option<&str>) {
    topic
        .split_once('/')
        .map_or((topic, None), |(level, rest)| (level, Some(rest)))
}

impl FilterNode {
    /// Takes one subscription away below this node; true if that was the filter's last.
    fn remove(&mut self, levels: &[&str]) -> bool {
        let Some((level, deeper)) = levels.split_first() else {
            self.subscriptions = self.subscriptions.saturating_sub(1);
            return self.subscriptions == 0;
        };
        let Some(child) = self.children.get_mut(*level) else {
            return false;
        };
        let last = child.remove(deeper);
        if last && child.subscriptions == 0 && child.children.is_empty() {
            self.children.remove(*level);
            self.children.give_back();
        }
        last
    }

    fn matching(&self, rest: Option<&str>, found: &mut dyn FnMut(&Traffic)) -> bool {
        // A multi-level wildcard covers its parent level too.
        let mut any = self.children.get("#").is_some_and(|node| node.found(found));
        match rest.map(split_level) {
            None => any |= self.found(found),
            Some((level, deeper)) => {
                for key in [level, "+"] {
                    any |= self
                        .children
                        .get(key)
                        .is_some_and(|node| node.matching(deeper, found));
                }
            }
        }
        any
    }

    fn found(&self, found: &mut dyn FnMut(&Traffic)) -> bool {
        if self.subscriptions > 0 {
            found(&self.traffic);
        }
        self.subscriptions > 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::topics::matches;
    use super::*;

    #[test]
    fn it_wants_what_some_filter_matches_and_forgets_what_was_removed() {
        let filters = ["a/b", "a/+/c", "x/#", "+/y", "$SYS/#", "é/+", "/", "a//b"];
        let topics = [
            "a/b", "a/b/c", "a/x/c", "a", "x", "x/q/r", "z/y", "$SYS/y", "$SYS", "é/ü", "/",
            "a//b", "q", "", "$x/y",
        ];
        let mut interest = FilterIndex::default();
        for filter in filters {
            interest.add(filter);
            interest.add(filter);
        }
        assert_eq!(interest.filters(), filters.len());
        for removed in 0..=filters.len() {
            for topic in topics {
                let expected = filters[removed..]
                    .iter()
                    .filter(|filter| matches(filter, topic))
                    .count();
                let mut found = 0;
                let any = interest.matching(topic, &mut |_| found += 1);
                let left = &filters[removed..];
                assert_eq!(
                    (any, found),
                    (expected > 0, expected),
                    "{topic} with {left:?}"
                );
            }
            if let Some(filter) = filters.get(removed) {
                interest.remove(filter);
                interest.remove(filter);
            }
        }
        assert_eq!(interest.filters(), 0);
        assert!(interest.root.children.is_empty());
    }
}
