//! Which filters are subscribed anywhere on the plane, as a tree by level.
//!
//! A router scans all its filters, for each publish, for a topic that nobody listens to; asking here first makes such
//! a publish cheap. Filled before a subscription reaches the router and emptied after, so it never knows too few.

use std::collections::HashMap;

/// Filters with the number of subscriptions to each.
#[derive(Debug, Default)]
pub(super) struct Interest {
    root: Node,
    filters: usize,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    subscriptions: usize,
}

impl Interest {
    pub(super) fn add(&mut self, filter: &str) {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            node = node.children.entry(level.into()).or_default();
        }
        node.subscriptions += 1;
        if node.subscriptions == 1 {
            self.filters += 1;
        }
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

    /// Whether any filter selects the topic.
    pub(super) fn wants(&self, topic: &str) -> bool {
        if topic.starts_with('$') {
            let (first, rest) = topic
                .split_once('/')
                .map_or((topic, None), |(first, rest)| (first, Some(rest)));
            return self
                .root
                .children
                .get(first)
                .is_some_and(|node| node.wants(rest));
        }
        self.root.wants(Some(topic))
    }
}

impl Node {
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
        }
        last
    }

    fn wants(&self, rest: Option<&str>) -> bool {
        if self
            .children
            .get("#")
            .is_some_and(|node| node.subscriptions > 0)
        {
            return true; // it covers the parent level too
        }
        let Some(rest) = rest else {
            return self.subscriptions > 0;
        };
        let (level, deeper) = rest
            .split_once('/')
            .map_or((rest, None), |(level, deeper)| (level, Some(deeper)));
        [level, "+"].iter().any(|key| {
            self.children
                .get(*key)
                .is_some_and(|node| node.wants(deeper))
        })
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
        let mut interest = Interest::default();
        for filter in filters {
            interest.add(filter);
            interest.add(filter);
        }
        assert_eq!(interest.filters(), filters.len());
        for removed in 0..=filters.len() {
            for topic in topics {
                let expected = filters[removed..]
                    .iter()
                    .any(|filter| matches(filter, topic));
                assert_eq!(
                    interest.wants(topic),
                    expected,
                    "{topic} with {:?}",
                    &filters[removed..]
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
