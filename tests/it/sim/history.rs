//! What happened, in the order in which it was committed: the only thing that model and invariants
//! see.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use hallward::engine::{Command, Directed, DirectedKind, Effect, Input, Verdict};
use hallward::wire::Millis;
use hallward::wire::cbor;
use hallward::wire::handoff::GroupResult;
use hallward::wire::json;
use hallward::wire::mailbox::Mail;
use hallward::wire::name::Agent;
use hallward::wire::observe::Event;
use hallward::wire::reply::{Code, Reply};
use hallward::wire::topic::Topic;

/// What made the engine produce effects.
#[derive(Debug, Clone)]
pub(super) enum Cause {
    /// An input.
    Input(Box<Input>),
    /// The end of a batch.
    Sealed,
}

/// One call of the engine and everything that came of it.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// The time that the engine was told.
    pub(super) now: Millis,
    /// Why it was called.
    pub(super) cause: Cause,
    /// What it said of a command.
    pub(super) verdict: Verdict,
    /// How much room mailboxes had, where that decides.
    pub(super) free: BTreeMap<Agent, usize>,
    /// The same for results and decisions, those included that are promised.
    pub(super) places: BTreeMap<Agent, usize>,
    /// What waited in the mailbox that the command is about, from its room.
    pub(super) mail: Vec<Mail>,
    /// What it wants done, in order.
    pub(super) effects: Vec<Effect>,
}

/// The result of a group, if that is what the message is.
pub(super) fn group_result(directed: &Directed) -> Option<GroupResult> {
    serde_json::from_slice(&directed.payload).ok()
}

/// What a worker is told of a task that it had in hand is no reply to a command of its own.
pub(super) const NOTICE: &str = "handoff/work";

/// A lock command may be answered long after it came.
pub(super) const LOCK: &str = "blackboard/lock";

impl Step {
    /// The same in JSON, whoever spoke what.
    pub(super) fn plain(&self) -> Cow<'_, Step> {
        let command = self.command().map(|command| &command.payload);
        let told = self.directed().map(|directed| &directed.payload);
        let shown = self.effects.iter().filter_map(|effect| match effect {
            Effect::Retain { payload, .. } => payload.as_ref(),
            _ => None,
        });
        let told = told.chain(shown);
        if !command
            .into_iter()
            .chain(told)
            .any(|payload| cbor::is_map(payload))
        {
            return Cow::Borrowed(self);
        }
        let mut plain = self.clone();
        if let Cause::Input(input) = &mut plain.cause
            && let Input::Command(command) = &mut **input
            && !matches!(command.topic.topic, Topic::Inbox { .. })
        {
            command.payload = plain_payload(&command.payload);
        }
        for effect in &mut plain.effects {
            match effect {
                Effect::Deliver(Directed { payload, .. })
                | Effect::Retain {
                    payload: Some(payload),
                    ..
                } => *payload = plain_payload(payload),
                _ => {}
            }
        }
        Cow::Owned(plain)
    }

    /// The input, unless this is the end of a batch.
    pub(super) fn input(&self) -> Option<&Input> {
        match &self.cause {
            Cause::Input(input) => Some(input),
            Cause::Sealed => None,
        }
    }

    /// The command, if it is one.
    pub(super) fn command(&self) -> Option<&Command> {
        match self.input() {
            Some(Input::Command(command)) => Some(command),
            _ => None,
        }
    }

    /// The command's refusal.
    pub(super) fn refusal(&self) -> Option<Code> {
        self.verdict.err()
    }

    /// How much room a mailbox had; all of it where nobody asked.
    pub(super) fn free_of(&self, agent: &Agent) -> usize {
        self.free.get(agent).copied().unwrap_or(usize::MAX)
    }

    /// How many results and decisions there might be, where somebody asked.
    pub(super) fn places_of(&self, agent: &Agent) -> usize {
        self.places.get(agent).copied().unwrap_or(usize::MAX)
    }

    /// Whether what is due runs in this step: by itself, or as the first thing after a restart.
    pub(super) fn runs_timers(&self) -> bool {
        matches!(self.input(), Some(Input::Tick | Input::Recovered))
    }

    /// The events, in order.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Event(event) => Some(event),
            _ => None,
        })
    }

    /// The messages to mailboxes, in order.
    pub(super) fn directed(&self) -> impl Iterator<Item = &Directed> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Deliver(directed) => Some(directed),
            _ => None,
        })
    }

    /// The replies to `agent`.
    pub(super) fn replies_to(&self, agent: &Agent) -> Vec<(&Directed, Reply)> {
        self.directed()
            .filter(|directed| {
                matches!(directed.class, DirectedKind::Reply | DirectedKind::Refusal)
                    && directed.to == *agent
            })
            .map(|directed| (directed, read(&directed.payload)))
            .filter(|(_, reply): &(_, Reply)| reply.command != NOTICE && reply.command != LOCK)
            .collect()
    }
}

impl Hash for Step {
    /// What came out: a run is the same if this is, and to format every step would cost more than
    /// to run it.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.now, self.verdict.is_ok(), &self.free).hash(state);
        for effect in &self.effects {
            match effect {
                Effect::Deliver(Directed { to, payload, .. }) => (to, payload).hash(state),
                Effect::Relay { to, expires_at } => (to, expires_at).hash(state),
                Effect::Revoke { agent, class } => (agent, class).hash(state),
                Effect::Discard { agent, seqs } => (agent, seqs).hash(state),
                Effect::Retain { topic, payload } => (topic.format("rooms"), payload).hash(state),
                Effect::Event(event) => (event.seq, &event.what, &event.subject).hash(state),
            }
        }
    }
}

/// In JSON, if it is CBOR that has one.
pub(super) fn plain_payload(payload: &Bytes) -> Bytes {
    if !cbor::is_map(payload) {
        return payload.clone();
    }
    cbor::to_json(payload).map_or_else(|_| payload.clone(), Bytes::from)
}

/// Reads a message of the gateway's, which is always well-formed, of either encoding.
pub(super) fn read<T: serde::de::DeserializeOwned>(payload: &[u8]) -> T {
    let text = cbor::is_map(payload).then(|| cbor::to_json(payload));
    let text = text
        .transpose()
        .expect("what the gateway writes has a JSON");
    let payload = text.as_deref().unwrap_or(payload);
    json::decode(payload).unwrap_or_else(|error| {
        panic!(
            "the gateway wrote {}: {error}",
            String::from_utf8_lossy(payload)
        )
    })
}
