//! The retained messages: the last one of each topic, for whoever subscribes later.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use super::commits::Commits;
use super::config::RetainedConfig;
use crate::ledger::Space;
use crate::wire::Millis;
use crate::wire::filter;
use crate::wire::message::{Message, Parts};

/// All retained messages, by topic.
#[derive(Debug)]
pub struct RetainedStore {
    messages: BTreeSet<ByTopic>,
    bytes: usize,
    /// Of all these: those of clients, which the limits are for.
    clients: ClientUsage,
    limits: RetainedConfig,
    /// The sequence number of the newest change.
    retained_seq: u64,
}

/// A message in the order of topics. A message has its topic within: a second copy as a key would
/// be what a small one costs.
#[derive(Debug)]
struct ByTopic(Message);

// In the order of bytes, which is that of text: to compare needs no look at whether it is any.
impl Borrow<[u8]> for ByTopic {
    fn borrow(&self) -> &[u8] {
        self.0.topic_bytes()
    }
}

impl Ord for ByTopic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.topic_bytes().cmp(other.0.topic_bytes())
    }
}

impl PartialOrd for ByTopic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByTopic {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByTopic {}

#[derive(Debug, Default)]
struct ClientUsage {
    messages: usize,
    bytes: usize,
}

impl RetainedStore {
    /// An empty store.
    pub fn new(limits: RetainedConfig) -> RetainedStore {
        RetainedStore {
            messages: BTreeSet::new(),
            bytes: 0,
            clients: ClientUsage::default(),
            limits,
            retained_seq: 0,
        }
    }

    /// Other limits from now on; what is there stays.
    pub fn set_limits(&mut self, limits: RetainedConfig) {
        self.limits = limits;
    }

    /// How many messages.
    pub fn count(&self) -> usize {
        self.messages.len()
    }

    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a client may still retain this message. The gateway's own are bounded by the
    /// engine's limits instead.
    pub fn has_room_for(&self, message: &Message) -> bool {
        let old = self.get(message.topic());
        let old = old.filter(|old| is_clients(old)).map(Message::size);
        let grows = message.size() > old.unwrap_or(0);
        let bytes = self.clients.bytes - old.unwrap_or(0) + message.size();
        let one_more = old.is_none() && self.clients.messages >= self.limits.max_messages;
        !(one_more || grows && bytes > self.limits.max_bytes.0)
    }

    /// The sequence number of the newest change: they count up, and on over restarts.
    pub fn last_retained_seq(&self) -> u64 {
        self.retained_seq
    }

    /// The message with the next sequence number of what is retained.
    pub fn number(&mut self, message: &Message) -> Message {
        self.retained_seq += 1;
        Message::encode(&Parts {
            retained_seq: self.retained_seq,
            retain: true,
            ..message.parts()
        })
    }

    /// Keeps a message (or with an empty payload clears its topic, MQTT-3.3.1-6), on disk as well;
    /// returns it numbered.
    pub(super) fn retain(&mut self, message: &Message, commits: &mut Commits) -> Message {
        let numbered = self.number(message);
        let topic = numbered.topic().as_bytes().to_vec();
        if numbered.payload().is_empty() {
            if self.clear(numbered.topic()) {
                commits.delete(Space::Retained, topic);
            }
        } else {
            self.set(numbered.clone());
            commits.put(Space::Retained, topic, numbered.as_bytes().clone());
        }
        commits.set_awaited(true);
        numbered
    }

    /// Puts back a message from the ledger. What changes from now on is newer than all that is
    /// there.
    pub fn restore(&mut self, message: Message) {
        self.retained_seq = self.retained_seq.max(message.retained_seq());
        self.set(message);
    }

    /// Keeps the message as its topic's last.
    pub fn set(&mut self, message: Message) {
        self.tally(&message, 1);
        if let Some(old) = self.messages.replace(ByTopic(message)) {
            self.tally(&old.0, -1);
        }
    }

    /// How full the store is for clients: what they retain, and what they may.
    pub fn use_by_clients(&self) -> [(&'static str, usize, usize); 2] {
        let (held, most) = (&self.clients, &self.limits);
        [
            ("retained.max_messages", held.messages, most.max_messages),
            ("retained.max_bytes", held.bytes, most.max_bytes.0),
        ]
    }

    fn tally(&mut self, message: &Message, sign: isize) {
        let bytes = isize::try_from(message.size()).unwrap_or(isize::MAX);
        self.bytes = self.bytes.saturating_add_signed(sign * bytes);
        if is_clients(message) {
            let clients = &mut self.clients;
            clients.messages = clients.messages.saturating_add_signed(sign);
            clients.bytes = clients.bytes.saturating_add_signed(sign * bytes);
        }
    }

    /// A topic's message.
    pub fn get(&self, topic: &str) -> Option<&Message> {
        self.messages.get(topic.as_bytes()).map(|found| &found.0)
    }

    /// Forgets a topic's message; whether there was one.
    pub fn clear(&mut self, topic: &str) -> bool {
        let Some(old) = self.messages.take(topic.as_bytes()) else {
            return false;
        };
        self.tally(&old.0, -1);
        true
    }

    /// The messages whose topic the filter matches, expired ones left out, in topic order.
    pub fn matching<'a>(
        &'a self,
        topic_filter: &'a str,
        now: Millis,
    ) -> impl Iterator<Item = &'a Message> {
        self.matching_after(topic_filter, "", now)
    }

    /// The same, but for topics up to this one; empty: from the first on.
    pub fn matching_after<'a>(
        &'a self,
        topic_filter: &'a str,
        after: &'a str,
        now: Millis,
    ) -> impl Iterator<Item = &'a Message> {
        let fixed = fixed_prefix(topic_filter);
        let from = match after < fixed {
            true => Bound::Included(fixed.as_bytes()),
            false => Bound::Excluded(after.as_bytes()),
        };
        self.messages
            .range::<[u8], _>((from, Bound::Unbounded))
            .map(|found| &found.0)
            .take_while(move |message| message.topic().starts_with(fixed))
            .filter(move |message| {
                filter::matches(topic_filter, message.topic()) && !message.expired(now)
            })
    }
}

/// The gateway's own messages have no publisher.
fn is_clients(message: &Message) -> bool {
    !message.publisher().is_empty()
}

/// What every matching topic begins with: the levels before the first wildcard (`a/#` matches `a`,
/// so without the slash).
fn fixed_prefix(filter: &str) -> &str {
    let wildcard = filter.find(['+', '#']).unwrap_or(filter.len());
    let fixed = &filter[..wildcard];
    if wildcard < filter.len() {
        fixed.trim_end_matches('/')
    } else {
        fixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, payload: &[u8]) -> Message {
        Message::encode(&Parts {
            topic,
            payload,
            retain: true,
            publisher: "ann",
            ..Parts::default()
        })
    }

    fn store() -> RetainedStore {
        RetainedStore::new(RetainedConfig {
            max_messages: 4,
            max_bytes: crate::setting::Size(10_000),
        })
    }

    fn topics(store: &RetainedStore, filter: &str) -> Vec<String> {
        store
            .matching(filter, 0)
            .map(|message| message.topic().to_owned())
            .collect()
    }

    #[test]
    fn filters_find_their_topics() {
        let mut store = store();
        for topic in ["a", "a/b", "a/b/c", "ab"] {
            store.set(message(topic, b"x"));
        }
        assert_eq!(topics(&store, "a/#"), ["a", "a/b", "a/b/c"]);
        assert_eq!(topics(&store, "a/+"), ["a/b"]);
        assert_eq!(topics(&store, "+"), ["a", "ab"]);
        assert_eq!(topics(&store, "a/b"), ["a/b"]);
        assert_eq!(topics(&store, "#").len(), 4);
        let after = |filter, topic| store.matching_after(filter, topic, 0).count();
        assert_eq!(
            (after("#", "a/b"), after("a/#", "a/b"), after("a/+", "ab")),
            (2, 1, 0)
        );
        assert_eq!((after("a/#", "ab"), after("ab", "a")), (0, 1));
    }

    #[test]
    fn a_full_store_refuses_new_topics_and_takes_changes() {
        let mut store = store();
        for topic in ["a", "b", "c", "d"] {
            store.set(message(topic, b"x"));
        }
        assert!(!store.has_room_for(&message("e", b"x")));
        assert!(store.has_room_for(&message("a", b"y")));
        assert!(!store.has_room_for(&message("a", &[0; 20_000])));
        assert!(store.clear("a"));
        assert!(store.has_room_for(&message("e", b"x")));
    }

    #[test]
    fn messages_of_the_gateway_take_no_place_from_clients() {
        let mut store = store();
        for n in 0..9 {
            store.set(Message::encode(&Parts {
                topic: &format!("own/{n}"),
                payload: &[0; 5_000],
                ..Parts::default()
            }));
        }
        for topic in ["a", "b", "c", "d"] {
            assert!(store.has_room_for(&message(topic, b"x")));
            store.set(message(topic, b"x"));
        }
        assert!(!store.has_room_for(&message("e", b"x")));
        assert_eq!(store.count(), 13);
    }

    #[test]
    fn bytes_are_counted_through_replacement_and_clearing() {
        let mut store = store();
        store.set(message("a", &[0; 100]));
        store.set(message("a", &[0; 10]));
        assert_eq!(store.bytes(), message("a", &[0; 10]).size());
        store.clear("a");
        assert_eq!(store.bytes(), 0);
    }
}
