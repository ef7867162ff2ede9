//! Encodings: who is to be spoken to in CBOR.

use std::collections::{BTreeMap, BTreeSet};

use hallward::engine::Command;
use hallward::wire::cbor;
use hallward::wire::json;
use hallward::wire::name::Agent;
use hallward::wire::presence::Encoding;
use hallward::wire::topic::Topic;
use serde::Serialize;

/// What everybody spoke last, and what everybody has asked for.
#[derive(Default)]
pub(in super::super) struct Encodings {
    spoken: BTreeMap<Agent, Encoding>,
    announced: BTreeMap<Agent, Encoding>,
    /// Who was ever spoken to in CBOR: values that it is told are told in other letters.
    ever: BTreeSet<Agent>,
}

impl Encodings {
    pub(in super::super) fn of(&self, agent: &Agent) -> Encoding {
        let known = self.announced.get(agent).or(self.spoken.get(agent));
        known.copied().unwrap_or(Encoding::Json)
    }

    /// A command came, as it came. An empty one is of no encoding, and an inbox message is of
    /// whatever its reader makes of it.
    pub(in super::super) fn heard(&mut self, command: &Command) {
        if command.payload.is_empty() || matches!(command.topic.topic, Topic::Inbox { .. }) {
            return;
        }
        let is_cbor = command.mirrors.is_cbor || cbor::begins(&command.payload);
        let encoding = if is_cbor {
            Encoding::Cbor
        } else {
            Encoding::Json
        };
        self.spoken.insert(command.from.clone(), encoding);
        self.note(&command.from);
    }

    pub(in super::super) fn announced(&mut self, agent: &Agent, encoding: Encoding) {
        self.announced.insert(agent.clone(), encoding);
        self.note(agent);
    }

    /// Of how many agents there is something to be remembered: what they asked for, or that they do
    /// not speak JSON.
    pub(in super::super) fn len(&self) -> usize {
        let asked = |agent: &Agent| self.announced.contains_key(agent);
        let spoken = self.spoken.iter();
        let others = spoken.filter(|(agent, spoken)| **spoken == Encoding::Cbor && !asked(agent));
        self.announced.len() + others.count()
    }

    fn note(&mut self, agent: &Agent) {
        if self.of(agent) == Encoding::Cbor {
            self.ever.insert(agent.clone());
        }
    }

    /// Whether what an agent is told is what it should be: to the letter in JSON; CBOR has but the
    /// values.
    pub(in super::super) fn same<T: Serialize + PartialEq>(
        &self,
        reader: &Agent,
        one: &T,
        other: &T,
    ) -> bool {
        one == other || (self.ever.contains(reader) && canonical(one) == canonical(other))
    }
}

/// As it is after a way through CBOR.
pub(in super::super) fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    let there = cbor::from_json(&json::encode(&[value]));
    cbor::to_json(&there).expect("the gateway reads what it writes")
}
