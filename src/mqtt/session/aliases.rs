//! Topic aliases (MQTT 5 section 3.3.2.3.4), for as long as a connection lasts. On the way to the
//! client the first topics get them; on the way from it the client says which.

use std::collections::HashMap;

use crate::mqtt::codec::encode::Alias;

/// An alias costs three bytes: shorter topics are cheaper without.
const WORTH_IT: usize = 4;

/// What the client was told so far; as many as both sides allow.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    max: u16,
    numbers: HashMap<Box<str>, u16>,
    /// Of the topics, in all.
    bytes: usize,
}

impl Aliases {
    /// `max` is 0 where the client takes none, as every client of 3.1.1.
    pub(super) fn new(max: u16) -> Aliases {
        Aliases {
            max,
            numbers: HashMap::new(),
            bytes: 0,
        }
    }

    /// The alias to send with a topic.
    pub(super) fn find(&self, topic: &str) -> Option<Alias> {
        if self.max == 0 || topic.len() < WORTH_IT {
            return None;
        }
        if let Some(&number) = self.numbers.get(topic) {
            return Some(Alias {
                number,
                known: true,
            });
        }
        let next = u16::try_from(self.numbers.len() + 1).ok()?;
        (next <= self.max).then_some(Alias {
            number: next,
            known: false,
        })
    }

    /// A packet with this alias is on its way.
    pub(super) fn sent(&mut self, topic: &str, alias: Option<Alias>) {
        if let Some(Alias {
            number,
            known: false,
        }) = alias
        {
            self.bytes += topic.len();
            self.numbers.insert(topic.into(), number);
        }
    }

    /// Bytes that the topics take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What the client has set.
#[derive(Debug, Default)]
pub(super) struct ClientAliases {
    topics: HashMap<u16, Box<str>>,
    /// Of the topics, in all.
    bytes: usize,
}

impl ClientAliases {
    pub(super) fn set(&mut self, alias: u16, topic: &str) {
        self.bytes += topic.len();
        if let Some(old) = self.topics.insert(alias, topic.into()) {
            self.bytes -= old.len();
        }
    }

    pub(super) fn topic(&self, alias: u16) -> Option<&str> {
        self.topics.get(&alias).map(|topic| &**topic)
    }

    /// Bytes that the topics take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_topics_get_the_aliases_there_are() {
        let mut aliases = Aliases::new(1);
        let new = aliases.find("long/topic");
        assert_eq!(
            new,
            Some(Alias {
                number: 1,
                known: false
            })
        );
        assert_eq!(aliases.find("long/topic"), new, "not sent yet");
        aliases.sent("long/topic", new);
        assert_eq!(
            aliases.find("long/topic"),
            Some(Alias {
                number: 1,
                known: true
            })
        );
        assert_eq!(aliases.find("other/topic"), None);
        assert_eq!(aliases.find("abc"), None);
        assert_eq!(Aliases::new(0).find("long/topic"), None);
    }

    #[test]
    fn topics_are_counted_as_long_as_they_are_remembered() {
        let mut aliases = Aliases::new(2);
        aliases.sent("long/topic", aliases.find("long/topic"));
        aliases.sent("long/topic", aliases.find("long/topic"));
        assert_eq!(aliases.bytes(), 10);
        let mut set = ClientAliases::default();
        set.set(1, "a/long/topic");
        set.set(2, "b");
        assert_eq!((set.topic(1), set.bytes()), (Some("a/long/topic"), 13));
        set.set(1, "c");
        assert_eq!((set.topic(1), set.bytes()), (Some("c"), 2));
    }
}
