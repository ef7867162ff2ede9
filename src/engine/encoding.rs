//! Encodings: who is spoken to in CBOR, and the engine's edge, where CBOR becomes JSON and JSON
//! becomes CBOR.
//!
//! Inside there is JSON alone, so that limits, digests and schemas mean the same whoever speaks. A
//! command of CBOR is translated before anybody looks at it; what is directed to an agent, in
//! `Context::emit`, when it is made: what lies in a mailbox is what leaves, also after a crash, and
//! a repeat has the bytes of the first time, as MQTT wants it. An agent that changes its encoding
//! gets what waited for it in the earlier one. What everybody sees is in the encoding that the
//! room's configuration says.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::wire::cbor::{self, ReaderEncoding};
use crate::wire::name::Agent;
use crate::wire::presence::Encoding;
use crate::wire::reply::Rejection;
use crate::wire::topic::Topic;

use super::input::Command;
use super::kept_bytes::MOST_AT_ONCE;
use super::record::{encode, encoding_key};

/// How an agent wants to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AgentEncoding {
    encoding: Encoding,
    /// It said so; else it is what it spoke last.
    announced: bool,
    /// It has sent a float of 16 bits, so that it can read them.
    #[serde(default)]
    half_floats: bool,
    /// Counts those that were noted.
    no: u64,
}

/// The agents that want anything but to be answered in the JSON that they speak.
#[derive(Debug, Default)]
pub(super) struct Encodings {
    agents: BTreeMap<Agent, AgentEncoding>,
    /// Oldest first.
    order: BTreeSet<(u64, Agent)>,
    /// Whose record must be written anew.
    changed: BTreeSet<Agent>,
    last_no: u64,
}

impl Encodings {
    pub(super) fn of(&self, agent: &Agent) -> ReaderEncoding {
        let spelling = |spoken: &AgentEncoding| ReaderEncoding {
            encoding: spoken.encoding,
            half_floats: spoken.half_floats,
        };
        self.agents.get(agent).map(spelling).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.agents.len()
    }

    /// An agent has sent a command.
    pub(super) fn spoke(&mut self, agent: &Agent, spelling: ReaderEncoding, limit: usize) {
        let known = self.agents.get(agent).copied();
        match (known, spelling.encoding) {
            (None, Encoding::Json) => {}
            (Some(known), Encoding::Json) if known.announced => {}
            (Some(_), Encoding::Json) => self.forget(agent),
            (Some(known), Encoding::Cbor) if known.half_floats || !spelling.half_floats => {}
            (Some(known), Encoding::Cbor) => {
                self.note(agent, known.encoding, known.announced, true, limit);
            }
            (None, Encoding::Cbor) => {
                self.note(agent, Encoding::Cbor, false, spelling.half_floats, limit);
            }
        }
    }

    /// An agent has said how it wants to be answered, which holds until it says something else.
    pub(super) fn announced(&mut self, agent: &Agent, encoding: Encoding, limit: usize) {
        let known = self.agents.get(agent);
        let half_floats = known.is_some_and(|known| known.half_floats);
        if known.is_none_or(|known| !known.announced || known.encoding != encoding) {
            self.note(agent, encoding, true, half_floats, limit);
        }
    }

    fn note(
        &mut self,
        agent: &Agent,
        encoding: Encoding,
        announced: bool,
        half_floats: bool,
        limit: usize,
    ) {
        self.forget(agent);
        for _ in 0..MOST_AT_ONCE {
            let oldest = self.order.first().cloned();
            let Some((_, oldest)) = oldest.filter(|_| self.agents.len() >= limit.max(1)) else {
                break;
            };
            self.forget(&oldest);
        }
        let spoken = AgentEncoding {
            encoding,
            announced,
            half_floats,
            no: self.last_no + 1,
        };
        self.restore(agent.clone(), spoken);
        self.changed.insert(agent.clone());
    }

    fn forget(&mut self, agent: &Agent) {
        if let Some(spoken) = self.agents.remove(agent) {
            self.order.remove(&(spoken.no, agent.clone()));
            self.changed.insert(agent.clone());
        }
    }

    /// As a record says.
    pub(super) fn restore(&mut self, agent: Agent, spoken: AgentEncoding) {
        self.last_no = self.last_no.max(spoken.no);
        self.order.insert((spoken.no, agent.clone()));
        self.agents.insert(agent, spoken);
    }

    pub(super) fn drain_records(&mut self, put: &mut dyn FnMut(Vec<u8>, Option<Vec<u8>>)) {
        for agent in std::mem::take(&mut self.changed) {
            put(encoding_key(&agent), self.agents.get(&agent).map(encode));
        }
    }
}

/// A command as the patterns see it: of JSON, unless it is no CBOR that has a JSON.
pub(super) fn decode<'a>(
    encodings: &mut Encodings,
    limit: usize,
    command: &'a Command,
) -> (Cow<'a, Command>, Option<Rejection>) {
    let payload = &command.payload;
    let is_theirs = matches!(
        command.topic.topic,
        Topic::Inbox { .. } | Topic::ObserveEvents { .. }
    );
    let is_silent = payload.is_empty() || is_theirs;
    if is_silent {
        return (Cow::Borrowed(command), None);
    }
    let is_cbor = command.mirrors.is_cbor || cbor::begins(payload);
    let encoding = if is_cbor {
        Encoding::Cbor
    } else {
        Encoding::Json
    };
    let spelling = ReaderEncoding {
        encoding,
        half_floats: is_cbor && cbor::has_half_float(payload),
    };
    encodings.spoke(&command.from, spelling, limit);
    if !is_cbor {
        return (Cow::Borrowed(command), None);
    }
    match cbor::to_json(payload) {
        Ok(text) => {
            let understood = Command {
                payload: text.into(),
                ..command.clone()
            };
            (Cow::Owned(understood), None)
        }
        Err(rejection) => (Cow::Borrowed(command), Some(rejection)),
    }
}
