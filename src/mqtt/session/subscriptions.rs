//! What a session is subscribed to, and which live messages that lets through.

use std::collections::HashMap;
use std::sync::Arc;

use crate::desk::port::{RetainHandling, Subscription};
use crate::wire::filter::{has_wildcard, matches};
use crate::wire::message::{Parts, Qos};
use crate::wire::topic::{below_root, is_own_mail};

/// A subscription that stands.
#[derive(Debug, Clone)]
struct ActiveSubscription {
    subscription: Subscription,
    granted: Qos,
    /// Broadcasts of retained changes up to this one were in the snapshot that the client was sent.
    retained_seq: u64,
    wildcard: bool,
}

/// All subscriptions of a session. Exact filters are looked up; those with wildcards are tried one
/// by one.
#[derive(Debug, Default)]
pub(super) struct SubscriptionTable {
    exact: HashMap<Arc<str>, ActiveSubscription>,
    wildcard: Vec<ActiveSubscription>,
    /// Served by the desk alone, so only their being there matters.
    shared: HashMap<Arc<str>, Subscription>,
}

/// How a live message is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    /// The highest granted QoS.
    pub(super) granted: Qos,
    /// Whether some subscription keeps the retain flag.
    pub(super) retain_as_published: bool,
}

impl SubscriptionTable {
    /// Enters a subscription, or replaces the one with the same filter.
    pub(super) fn insert(&mut self, subscription: Subscription, granted: Qos, retained_seq: u64) {
        let filter = Arc::clone(&subscription.filter);
        if filter.starts_with("$share/") {
            self.shared.insert(filter, subscription);
            return;
        }
        let wildcard = has_wildcard(&filter);
        let old = if wildcard {
            self.wildcard
                .iter()
                .find(|entry| entry.subscription.filter == filter)
        } else {
            self.exact.get(&filter)
        };
        // Without a snapshot, what is on its way to the old subscription is still to be delivered.
        let retained_seq = match old {
            Some(old) if subscription.retain_handling != RetainHandling::Always => old.retained_seq,
            _ => retained_seq,
        };
        let entry = ActiveSubscription {
            subscription,
            granted,
            retained_seq,
            wildcard,
        };
        if wildcard {
            self.wildcard
                .retain(|old| old.subscription.filter != filter);
            self.wildcard.push(entry);
        } else {
            self.exact.insert(filter, entry);
        }
    }

    /// Removes a subscription, if it is there.
    pub(super) fn remove(&mut self, filter: &str) {
        self.exact.remove(filter);
        self.shared.remove(filter);
        self.wildcard
            .retain(|entry| &*entry.subscription.filter != filter);
    }

    /// Removes the subscriptions whose filter is chosen, and returns them.
    pub(super) fn take(&mut self, chosen: impl Fn(&str) -> bool) -> Vec<Subscription> {
        let exact = self.exact.extract_if(|filter, _| chosen(filter));
        let exact = exact.map(|(_, entry)| entry.subscription);
        let shared = self.shared.extract_if(|filter, _| chosen(filter));
        let shared = shared.map(|(_, subscription)| subscription);
        let wild = self
            .wildcard
            .extract_if(.., |entry| chosen(&entry.subscription.filter));
        let wild = wild.map(|entry| entry.subscription);
        exact.chain(shared).chain(wild).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.exact.len() + self.wildcard.len() + self.shared.len()
    }

    /// Whether this very filter is subscribed.
    pub(super) fn contains(&self, filter: &str) -> bool {
        self.exact.contains_key(filter)
            || self.shared.contains_key(filter)
            || self
                .wildcard
                .iter()
                .any(|entry| &*entry.subscription.filter == filter)
    }

    /// Whether any subscription served by the live plane was granted QoS 1 or 2.
    pub(super) fn any_reliable(&self) -> bool {
        let reliable = |entry: &ActiveSubscription| entry.granted > Qos::AtMostOnce;
        self.exact.values().any(reliable) || self.wildcard.iter().any(reliable)
    }

    /// Whether, and how, a message from the live plane goes to client `me`; `ids` is filled with
    /// the identifiers of the subscriptions that it matches (MQTT-3.3.4-3).
    pub(super) fn matching(
        &self,
        root: &str,
        me: &str,
        message: &Parts<'_>,
        ids: &mut Vec<u32>,
    ) -> Option<Match> {
        ids.clear();
        let directed = directed(root, message.topic);
        if matches!(directed, Some(Addressee::To(to)) if to == me) {
            // It comes from the mailbox.
            return None;
        }
        let watchers_only = matches!(directed, Some(Addressee::ToOneOf));
        let lets_through = |entry: &&ActiveSubscription| {
            let own = entry.subscription.no_local && message.publisher == me;
            let in_snapshot =
                message.retained_seq != 0 && message.retained_seq <= entry.retained_seq;
            !own && !in_snapshot && (entry.wildcard || !watchers_only)
        };
        let wild = self.wildcard.iter();
        let wild = wild.filter(|entry| matches(&entry.subscription.filter, message.topic));
        let mut found: Option<Match> = None;
        for entry in self
            .exact
            .get(message.topic)
            .into_iter()
            .chain(wild)
            .filter(lets_through)
        {
            ids.extend(entry.subscription.id);
            let granted = found.map_or(entry.granted, |other| other.granted.max(entry.granted));
            let retain_as_published = entry.subscription.retain_as_published
                || found.is_some_and(|other| other.retain_as_published);
            found = Some(Match {
                granted,
                retain_as_published,
            });
        }
        found
    }
}

/// Whom a directed topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Addressee<'a> {
    /// The agent that it names.
    To(&'a str),
    /// One of those who offer it, whom the topic does not name.
    ToOneOf,
}

/// Reads off a topic or filter whether it is directed, by its text alone: this is asked for every
/// live message, where parsing the names would cost more than the delivery. `Topic::addressee` is
/// the same thing for parsed topics.
fn directed<'a>(root: &str, topic: &'a str) -> Option<Addressee<'a>> {
    let mut parts = below_root(root, topic)?.split('/').skip(1);
    match (parts.next()?, parts.next()?, parts.next()) {
        ("inbox" | "reply", to, _) => Some(Addressee::To(to)),
        ("handoff" | "tools", "result", Some(to)) => Some(Addressee::To(to)),
        ("approve", "decision", Some(to)) => Some(Addressee::To(to)),
        ("handoff", "work", Some(_)) | ("tools", "run", Some(_)) => Some(Addressee::ToOneOf),
        _ => None,
    }
}

/// Whether a filter can match anything that client `me` gets from the live plane: not if the desk
/// serves it alone.
pub(in crate::mqtt) fn needs_live(root: &str, me: &str, filter: &str) -> bool {
    !filter.starts_with("$share/") && !is_own_mail(root, me, filter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::topic::RoomTopic;

    fn subscription(filter: &str) -> Subscription {
        Subscription {
            filter: filter.into(),
            qos: Qos::ExactlyOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Always,
            id: None,
        }
    }

    fn parts(topic: &str) -> Parts<'_> {
        Parts {
            topic,
            publisher: "bob",
            ..Parts::default()
        }
    }

    fn find(table: &SubscriptionTable, message: &Parts<'_>) -> Option<(Qos, Vec<u32>)> {
        let mut ids = Vec::new();
        let found = table.matching("rooms", "me", message, &mut ids)?;
        ids.sort_unstable();
        Some((found.granted, ids))
    }

    #[test]
    fn overlapping_subscriptions_give_one_delivery_with_all_ids() {
        let mut table = SubscriptionTable::default();
        for (filter, id, granted) in [("a/b", 1, 0), ("a/+", 2, 2), ("#", 3, 1), ("x", 4, 2)] {
            let with_id = Subscription {
                id: Some(id),
                ..subscription(filter)
            };
            table.insert(with_id, Qos::from_level(granted).unwrap(), 0);
        }
        assert_eq!(
            find(&table, &parts("a/b")),
            Some((Qos::ExactlyOnce, vec![1, 2, 3]))
        );
        table.remove("a/+");
        assert_eq!(
            find(&table, &parts("a/b")),
            Some((Qos::AtLeastOnce, vec![1, 3]))
        );
        assert!(table.contains("#") && !table.contains("a/+"));
    }

    #[test]
    fn own_messages_do_not_come_back_with_no_local() {
        let mut table = SubscriptionTable::default();
        table.insert(
            Subscription {
                no_local: true,
                ..subscription("a")
            },
            Qos::AtMostOnce,
            0,
        );
        let own = Parts {
            publisher: "me",
            ..parts("a")
        };
        assert_eq!(find(&table, &own), None);
        assert!(find(&table, &parts("a")).is_some());
    }

    #[test]
    fn retained_changes_that_were_in_the_snapshot_are_skipped() {
        let mut table = SubscriptionTable::default();
        table.insert(subscription("a"), Qos::AtMostOnce, 7);
        assert_eq!(
            find(
                &table,
                &Parts {
                    retained_seq: 7,
                    ..parts("a")
                }
            ),
            None
        );
        assert!(
            find(
                &table,
                &Parts {
                    retained_seq: 8,
                    ..parts("a")
                }
            )
            .is_some()
        );
        assert!(find(&table, &parts("a")).is_some());
    }

    #[test]
    fn subscribing_again_without_a_snapshot_skips_nothing() {
        let mut table = SubscriptionTable::default();
        table.insert(subscription("a"), Qos::AtMostOnce, 7);
        let again = Subscription {
            retain_handling: RetainHandling::IfNew,
            ..subscription("a")
        };
        table.insert(again, Qos::AtMostOnce, 9);
        assert!(
            find(
                &table,
                &Parts {
                    retained_seq: 8,
                    ..parts("a")
                }
            )
            .is_some()
        );
    }

    #[test]
    fn directed_messages_reach_watchers_and_never_the_addressee() {
        let mut table = SubscriptionTable::default();
        table.insert(subscription("rooms/#"), Qos::AtMostOnce, 0);
        assert!(find(&table, &parts("rooms/r/inbox/you/bob")).is_some());
        assert_eq!(find(&table, &parts("rooms/r/inbox/me/bob")), None);
        assert!(find(&table, &parts("rooms/r/handoff/work/c")).is_some());
        let mut worker = SubscriptionTable::default();
        worker.insert(subscription("rooms/r/handoff/work/c"), Qos::AtMostOnce, 0);
        assert_eq!(find(&worker, &parts("rooms/r/handoff/work/c")), None);
    }

    #[test]
    fn the_short_cut_agrees_with_the_grammar() {
        for text in [
            "rooms/r/inbox/bob/eve",
            "rooms/r/reply/bob",
            "rooms/r/reply/bob/x/y",
            "rooms/r/handoff/result/bob",
            "rooms/r/handoff/work/bob",
            "rooms/r/handoff/update/bob",
            "rooms/r/approve/decision/bob",
            "rooms/r/approve/pending/bob",
            "rooms/r/tools/run/bob",
            "rooms/r/tools/result/bob",
            "rooms/r/tools/card/bob",
            "rooms/r/presence/agent/bob",
            "rooms/r/blackboard/state/inbox/bob",
            "rooms/r/observe/events/bob/x",
        ] {
            let parsed = RoomTopic::parse("rooms", text).unwrap().unwrap().topic;
            let short = directed("rooms", text);
            assert_eq!(short.is_some(), parsed.is_directed(), "{text}");
            let addressee = parsed
                .addressee()
                .map(|agent| Addressee::To(agent.as_str()));
            assert_eq!(
                short.filter(|&to| to != Addressee::ToOneOf),
                addressee,
                "{text}"
            );
        }
    }

    #[test]
    fn filters_that_the_desk_serves_alone_need_no_link() {
        for filter in [
            "$share/g/a/#",
            "rooms/r/handoff/work/c",
            "rooms/r/tools/run/t",
            "rooms/r/reply/me",
            "rooms/r/reply/me/#",
            "rooms/r/inbox/me/+",
            "rooms/+/inbox/me/#",
            "rooms/r/handoff/result/me",
            "rooms/r/approve/decision/me",
            "rooms/r/tools/result/me",
        ] {
            assert!(!needs_live("rooms", "me", filter), "{filter}");
        }
        for filter in [
            "#",
            "a",
            "rooms/r/handoff/work/+",
            "rooms/+/handoff/work/c",
            "rooms/r/inbox/+/me",
            "rooms/r/inbox/you/+",
            "rooms/r/#",
            "rooms/r/blackboard/state/#",
        ] {
            assert!(needs_live("rooms", "me", filter), "{filter}");
        }
    }
}
