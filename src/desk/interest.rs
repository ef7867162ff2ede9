//! Which publishes must come to the desk because a durable or shared subscriber wants them.
//!
//! Sessions ask it for every publish, the desk changes it when such a subscription comes or goes. A
//! change is visible before the SUBACK that reports it, so that no publish that follows a SUBACK
//! goes past the desk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use super::trie::FilterTrie;
use crate::wire::message::Qos;

/// The filters of durable and shared subscribers; one per gateway, shared by all sessions.
#[derive(Debug, Default)]
pub struct InterestIndex {
    /// Spares the lock while nobody wants anything.
    any: AtomicBool,
    filters: RwLock<Filters>,
}

#[derive(Debug, Default)]
struct Filters {
    /// Unshared filters of durable sessions with QoS 1 or 2, by client.
    durable: FilterTrie<std::sync::Arc<str>, ()>,
    /// Filters of shared subscriptions, by group.
    shared: FilterTrie<std::sync::Arc<str>, ()>,
}

/// Which subscribers a filter is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InterestKind {
    Durably,
    Shared,
}

impl super::port::Interest for InterestIndex {
    fn wants(&self, topic: &str, qos: Qos) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let filters = self.filters.read().unwrap_or_else(PoisonError::into_inner);
        filters.shared.matches(topic) || (qos > Qos::AtMostOnce && filters.durable.matches(topic))
    }
}

impl InterestIndex {
    pub(super) fn add(&self, kind: InterestKind, filter: &str, who: &std::sync::Arc<str>) {
        self.change(kind, |trie| {
            trie.insert(filter, who.clone(), ());
        });
    }

    pub(super) fn remove(&self, kind: InterestKind, filter: &str, who: &std::sync::Arc<str>) {
        self.change(kind, |trie| {
            trie.remove(filter, who);
        });
    }

    fn change(
        &self,
        kind: InterestKind,
        change: impl FnOnce(&mut FilterTrie<std::sync::Arc<str>, ()>),
    ) {
        let mut filters = self.filters.write().unwrap_or_else(PoisonError::into_inner);
        change(match kind {
            InterestKind::Durably => &mut filters.durable,
            InterestKind::Shared => &mut filters.shared,
        });
        let any = !(filters.durable.is_empty() && filters.shared.is_empty());
        self.any.store(any, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::super::port::Interest as _;
    use super::*;

    #[test]
    fn durable_filters_want_no_qos_0_and_shared_ones_want_all() {
        let interest = InterestIndex::default();
        assert!(!interest.wants("a/b", Qos::ExactlyOnce));
        interest.add(InterestKind::Durably, "a/#", &"client".into());
        assert!(interest.wants("a/b", Qos::AtLeastOnce));
        assert!(!interest.wants("a/b", Qos::AtMostOnce));
        interest.add(InterestKind::Shared, "a/b", &"group".into());
        assert!(interest.wants("a/b", Qos::AtMostOnce));
        interest.remove(InterestKind::Shared, "a/b", &"group".into());
        interest.remove(InterestKind::Durably, "a/#", &"client".into());
        assert!(!interest.wants("a/b", Qos::ExactlyOnce));
    }
}
