//! Topic aliases for the way to the client (MQTT 5 section 3.3.2.3.4): the first topics get them, for as long as the connection
//! lasts.

use std::collections::HashMap;

use super::encode::Alias;

/// An alias costs three bytes: shorter topics are cheaper without.
const WORTH_IT: usize = 4;

/// What the client was told so far; as many as both sides allow.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    max: u16,
    numbers: HashMap<Box<str>, u16>,
}

impl Aliases {
    /// `max` is 0 where the client takes none, as every client of 3.1.1.
    pub(super) fn new(max: u16) -> Aliases {
        Aliases {
            max,
            numbers: HashMap::new(),
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
            self.numbers.insert(topic.into(), number);
        }
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
}
