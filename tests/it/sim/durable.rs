//! What the desk has on disk besides the engine's records: mailboxes, retained messages, sessions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use hallward::engine::{AssignmentKey, Directed, DirectedKind, RunKey};
use hallward::ledger::MemoryStore;
use hallward::wire::Millis;
use hallward::wire::mailbox::{Mail, MailKind};
use hallward::wire::name::Agent;
use hallward::wire::topic::{Offer, RoomTopic};

use super::rules::Rules;

/// The root that topics are written under; any will do.
pub(super) const ROOT: &str = "rooms";

/// What survives a crash.
#[derive(Default)]
pub(super) struct Durable {
    /// The engine's records.
    pub(super) ledger: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The journal.
    pub(super) past: MemoryStore,
    /// What waits for whom.
    pub(super) mailboxes: BTreeMap<Agent, Mailbox>,
    /// Retained messages, by topic.
    pub(super) retained: BTreeMap<String, Bytes>,
    /// The subscriptions of sessions that outlive their connection.
    pub(super) sessions: BTreeMap<Agent, BTreeSet<Offer>>,
}

/// The letters of one agent, oldest first.
#[derive(Default)]
pub(super) struct Mailbox {
    letters: VecDeque<Letter>,
    count: u64,
    /// What is no longer there, and why, but for what the gateway took back itself.
    gone: Vec<(Letter, Fate)>,
}

/// Why a letter is no longer in its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its reader has acknowledged it.
    Read,
    /// Its time was over.
    Expired,
    /// Somebody took it out.
    Purged,
}

/// A directed message that waits for its ack.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// Counts the letters of the mailbox.
    pub(super) number: u64,
    /// What the gateway wrote; `None` for an agent's inbox message.
    pub(super) class: Option<DirectedKind>,
    /// Where it arrives.
    pub(super) topic: RoomTopic,
    /// As written.
    pub(super) payload: Bytes,
    /// When it may be dropped.
    pub(super) expires_at: Option<Millis>,
}

impl Letter {
    fn is_reply(&self) -> bool {
        self.class.as_ref().is_some_and(DirectedKind::is_reply)
    }

    fn is_promised(&self) -> bool {
        self.class.as_ref().is_some_and(DirectedKind::is_promised)
    }

    /// Which tool's run it is, if one.
    pub(super) fn run(&self) -> Option<&RunKey> {
        match &self.class {
            Some(DirectedKind::Run(key)) => Some(key),
            _ => None,
        }
    }

    /// As whoever looks into the mailbox sees it.
    pub(super) fn mail(&self, sent: bool) -> Mail {
        Mail {
            seq: self.number,
            kind: match &self.class {
                None => MailKind::Inbox,
                Some(DirectedKind::Assignment(_) | DirectedKind::Run(_)) => MailKind::Assignment,
                Some(DirectedKind::Result | DirectedKind::ToolResult) => MailKind::Result,
                Some(DirectedKind::Decision(_)) => MailKind::Decision,
                Some(DirectedKind::Reply | DirectedKind::Refusal | DirectedKind::Notice) => {
                    MailKind::Reply
                }
            },
            topic: self.topic.format(ROOT),
            bytes: self.payload.len(),
            expires_at: self.expires_at,
            sent,
        }
    }

    /// Which assignment it is, if one.
    pub(super) fn assignment(&self) -> Option<&AssignmentKey> {
        match &self.class {
            Some(DirectedKind::Assignment(key)) => Some(key),
            _ => None,
        }
    }
}

impl Mailbox {
    pub(super) fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.letters.iter()
    }

    pub(super) fn letter(&self, number: u64) -> Option<&Letter> {
        self.letters.iter().find(|letter| letter.number == number)
    }

    /// The letter of a class of which there is never a second.
    pub(super) fn number_of(&self, class: &DirectedKind) -> Option<u64> {
        let mut letters = self.letters();
        let found = letters.find(|letter| letter.class.as_ref() == Some(class));
        found.map(|letter| letter.number)
    }

    /// Letters that are neither replies nor promised.
    pub(super) fn mail(&self) -> usize {
        let is_mail = |letter: &&Letter| !letter.is_reply() && !letter.is_promised();
        self.letters().filter(is_mail).count()
    }

    /// Results and decisions.
    pub(super) fn results(&self) -> usize {
        self.letters().filter(|letter| letter.is_promised()).count()
    }

    fn put(&mut self, mut letter: Letter, rules: &Rules) {
        let is_unique = letter.class.as_ref().is_some_and(DirectedKind::is_unique);
        if is_unique && self.letters().any(|other| other.class == letter.class) {
            return;
        }
        self.count += 1;
        letter.number = self.count;
        let is_reply = letter.is_reply();
        self.letters.push_back(letter);
        let replies = self.letters().filter(|letter| letter.is_reply()).count();
        if is_reply && replies > rules.mailbox_replies {
            let oldest = self.letters.iter().position(Letter::is_reply);
            self.letters.remove(oldest.expect("there are too many"));
        }
    }

    fn remove(&mut self, which: impl Fn(&Letter) -> bool) {
        self.letters.retain(|letter| !which(letter));
    }

    fn take(&mut self, fate: Fate, which: impl Fn(&Letter) -> bool) -> usize {
        let before = self.gone.len();
        let taken = self.letters.iter().filter(|letter| which(letter)).cloned();
        self.gone.extend(taken.map(|letter| (letter, fate)));
        self.remove(which);
        self.gone.len() - before
    }
}

/// The letters that each agent was sent on its present connection.
pub(super) type Sent = BTreeMap<Agent, BTreeSet<u64>>;

/// What a batch changes besides the engine's records.
#[derive(Debug)]
pub(super) enum Change {
    Put(Agent, Letter),
    Revoke(Agent, DirectedKind),
    Settle(Agent, u64),
    Discard(Agent, Vec<u64>),
    Retain(String, Option<Bytes>),
    Begin {
        agent: Agent,
        persistent: bool,
        resumed: bool,
    },
    Offer(Agent, Offer),
    Withdraw(Agent, Offer),
    End(Agent),
}

pub(super) fn letter_of(directed: &Directed) -> Letter {
    Letter {
        number: 0,
        class: Some(directed.class.clone()),
        topic: directed.topic.clone(),
        payload: directed.payload.clone(),
        expires_at: directed.mirrors.expires_at,
    }
}

impl Durable {
    /// What is no longer in an agent's mailbox.
    pub(super) fn gone(&self, agent: &Agent) -> impl Iterator<Item = &(Letter, Fate)> {
        let mailbox = self.mailboxes.get(agent);
        mailbox.into_iter().flat_map(|mailbox| &mailbox.gone)
    }

    /// Drops what nobody was sent in time. Returns how many inbox messages were among it.
    pub(super) fn drop_expired(&mut self, now: Millis, sent: &Sent) -> usize {
        let mut relays = 0;
        for (agent, mailbox) in &mut self.mailboxes {
            let sent = sent.get(agent);
            let is_over = |letter: &Letter| {
                let is_sent = sent.is_some_and(|sent| sent.contains(&letter.number));
                !is_sent && letter.expires_at.is_some_and(|at| at <= now)
            };
            let dropped = mailbox.take(Fate::Expired, is_over);
            let latest = mailbox.gone.iter().rev().take(dropped);
            relays += latest.filter(|(letter, _)| letter.class.is_none()).count();
        }
        relays
    }

    pub(super) fn apply(&mut self, change: Change, rules: &Rules) {
        match change {
            Change::Put(to, letter) => self.mailboxes.entry(to).or_default().put(letter, rules),
            Change::Revoke(agent, class) => {
                if let Some(mailbox) = self.mailboxes.get_mut(&agent) {
                    mailbox.remove(|letter| letter.class.as_ref() == Some(&class));
                }
            }
            Change::Settle(agent, number) => {
                if let Some(mailbox) = self.mailboxes.get_mut(&agent) {
                    mailbox.take(Fate::Read, |letter| letter.number == number);
                }
            }
            Change::Discard(agent, numbers) => {
                if let Some(mailbox) = self.mailboxes.get_mut(&agent) {
                    mailbox.take(Fate::Purged, |letter| numbers.contains(&letter.number));
                }
            }
            Change::Retain(topic, Some(payload)) => {
                self.retained.insert(topic, payload);
            }
            Change::Retain(topic, None) => {
                self.retained.remove(&topic);
            }
            Change::Begin {
                agent,
                persistent,
                resumed,
            } => {
                if !resumed {
                    self.sessions.remove(&agent);
                }
                if persistent {
                    self.sessions.entry(agent).or_default();
                }
            }
            Change::End(agent) => {
                self.sessions.remove(&agent);
            }
            Change::Offer(agent, offer) => {
                if let Some(session) = self.sessions.get_mut(&agent) {
                    session.insert(offer);
                }
            }
            Change::Withdraw(agent, offer) => {
                if let Some(session) = self.sessions.get_mut(&agent) {
                    session.remove(&offer);
                }
            }
        }
    }
}
