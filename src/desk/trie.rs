//! Topic filters indexed by level, so that finding who matches a topic costs by its depth, not by
//! how many subscribe.

use std::collections::{BTreeMap, HashMap};

use crate::slack::Slack;

/// Values under topic filters; each filter holds one value per key.
#[derive(Debug)]
pub struct FilterTrie<K, V> {
    root: TrieNode<K, V>,
    len: usize,
}

#[derive(Debug)]
struct TrieNode<K, V> {
    /// By level text; `+` and `#` are ordinary entries here and special in matching. Only looked
    /// up, never iterated.
    children: HashMap<Box<str>, TrieNode<K, V>>,
    values: BTreeMap<K, V>,
}

impl<K, V> Default for TrieNode<K, V> {
    fn default() -> TrieNode<K, V> {
        TrieNode {
            children: HashMap::new(),
            values: BTreeMap::new(),
        }
    }
}

impl<K, V> Default for FilterTrie<K, V> {
    fn default() -> FilterTrie<K, V> {
        FilterTrie {
            root: TrieNode::default(),
            len: 0,
        }
    }
}

impl<K: Ord, V> FilterTrie<K, V> {
    /// Whether no filter is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets the value of `key` under `filter`; returns the one before.
    pub fn insert(&mut self, filter: &str, key: K, value: V) -> Option<V> {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            node = node.children.entry(level.into()).or_default();
        }
        let old = node.values.insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes the value of `key` under `filter`.
    pub fn remove(&mut self, filter: &str, key: &K) -> Option<V> {
        let levels: Vec<&str> = filter.split('/').collect();
        let old = remove_below(&mut self.root, &levels, key);
        self.len -= usize::from(old.is_some());
        old
    }

    /// Calls `visit` for every value whose filter matches the topic name, by the rules of
    /// [`crate::wire::filter::matches`].
    pub fn visit<'a>(&'a self, topic: &str, visit: &mut dyn FnMut(&'a K, &'a V)) {
        if self.is_empty() {
            return;
        }
        let levels: Vec<&str> = topic.split('/').collect();
        let wildcards_apply = !topic.starts_with('$');
        visit_below(&self.root, &levels, wildcards_apply, visit);
    }

    /// Whether any filter matches the topic name.
    pub fn matches(&self, topic: &str) -> bool {
        let mut found = false;
        self.visit(topic, &mut |_, _| found = true);
        found
    }
}

fn remove_below<K: Ord, V>(node: &mut TrieNode<K, V>, levels: &[&str], key: &K) -> Option<V> {
    let Some((level, rest)) = levels.split_first() else {
        return node.values.remove(key);
    };
    let child = node.children.get_mut(*level)?;
    let old = remove_below(child, rest, key);
    if child.children.is_empty() && child.values.is_empty() {
        node.children.remove(*level);
        node.children.give_back();
    }
    old
}

/// `wildcards_apply` is false at the first level of a `$` topic (MQTT-4.7.2-1).
fn visit_below<'a, K: Ord, V>(
    node: &'a TrieNode<K, V>,
    levels: &[&str],
    wildcards_apply: bool,
    visit: &mut dyn FnMut(&'a K, &'a V),
) {
    if wildcards_apply && let Some(rest) = node.children.get("#") {
        rest.values
            .iter()
            .for_each(|(key, value)| visit(key, value));
    }
    let Some((level, rest)) = levels.split_first() else {
        node.values
            .iter()
            .for_each(|(key, value)| visit(key, value));
        return;
    };
    if let Some(child) = node.children.get(*level) {
        visit_below(child, rest, true, visit);
    }
    if wildcards_apply && let Some(child) = node.children.get("+") {
        visit_below(child, rest, true, visit);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::filter;

    fn matching(trie: &FilterTrie<u32, ()>, topic: &str) -> Vec<u32> {
        let mut found = Vec::new();
        trie.visit(topic, &mut |key, ()| found.push(*key));
        found.sort_unstable();
        found
    }

    proptest! {
        #[test]
        fn trie_agrees_with_matching_one_by_one(
            filters in proptest::collection::vec("(a|b|\\+|\\$x|)(/(a|b|\\+|)){0,3}(/#)?", 1..20),
            topic in "(a|b|\\$x|)(/(a|b|)){0,4}",
        ) {
            let mut trie = FilterTrie::default();
            for (key, filter) in filters.iter().enumerate() {
                trie.insert(filter, key as u32, ());
            }
            let expected: Vec<u32> = filters.iter().enumerate()
                .filter(|(_, filter)| filter::matches(filter, &topic))
                .map(|(key, _)| key as u32)
                .collect();
            prop_assert_eq!(matching(&trie, &topic), expected);
            for (key, filter) in filters.iter().enumerate() {
                prop_assert!(trie.remove(filter, &(key as u32)).is_some());
            }
            prop_assert!(trie.is_empty() && trie.root.children.is_empty());
        }
    }
}
