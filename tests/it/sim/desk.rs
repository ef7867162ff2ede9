//! A desk that keeps everything in memory and commits in batches: inputs in, one commit, and only
//! then anything out.
//!
//! It owns the engine and whatever a real desk has on disk. A crash takes the engine and the open
//! batch, nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::ops::ControlFlow;

use hallward::desk::Journal;
use hallward::engine::{DirectedKind, Effect, Engine, Input, Mailboxes, Verdict};
use hallward::ledger::{Batch as Records, Store};
use hallward::wire::Millis;
use hallward::wire::fit::packet_bytes;
use hallward::wire::json;
use hallward::wire::mailbox::Mail;
use hallward::wire::message::Qos;
use hallward::wire::name::Agent;
use hallward::wire::reply::Code;
use hallward::wire::topic::Topic;

use super::agenda::{LinkId, Who};
use super::durable::{Change, Durable, Letter, ROOT, Sent, letter_of};
use super::history::{Cause, Step};
use super::mailroom::{Incoming, Mailroom};
use super::rules::Rules;
use super::wall::Wall;

/// Ticks before one input, after which the engine has nothing due or never will be without.
const MOST_TICKS: usize = 50;

/// An ack that waits for the commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receipt {
    pub(super) who: Who,
    pub(super) link: LinkId,
    pub(super) packet: u64,
}

/// What has been handled and not committed.
#[derive(Default)]
struct Batch {
    steps: Vec<Step>,
    changes: Vec<Change>,
    receipts: Vec<Receipt>,
    incoming: BTreeMap<Agent, Incoming>,
}

/// What a commit lets out.
pub(super) struct Committed {
    /// What happened, for the model.
    pub(super) steps: Vec<Step>,
    /// Hashes the engine's records.
    pub(super) records: u64,
    /// Whose packets are acknowledged.
    pub(super) receipts: Vec<Receipt>,
    /// Inbox messages that were dropped because their time was over.
    pub(super) dropped: usize,
    /// Whose mailboxes have got something, or have room on the way to it.
    pub(super) recipients: BTreeSet<Agent>,
}

/// The engine and what is around it.
pub(super) struct Desk {
    pub(super) durable: Durable,
    rules: Rules,
    engine: Option<Engine>,
    /// The real one, on what is durable.
    pub(super) journal: Journal,
    batch: Batch,
    batches: u64,
    /// What is on its way.
    sent: Sent,
    wall: Wall,
    /// Differs for every engine of a run: it feeds the ids that are minted.
    seed: u64,
}

fn journal(rules: &Rules, durable: &Durable) -> Journal {
    let mut journal = Journal::new(rules.journal());
    journal
        .recover(&durable.past)
        .expect("the journal reads what it wrote");
    journal
}

impl Desk {
    pub(super) fn new(rules: &Rules, seed: u64) -> Desk {
        let durable = Durable::default();
        Desk {
            journal: journal(rules, &durable),
            batches: 0,
            durable,
            rules: rules.clone(),
            engine: Some(Engine::new(rules.settings(), seed)),
            batch: Batch::default(),
            sent: Sent::new(),
            wall: Wall::default(),
            seed,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("the gateway is up")
    }

    /// Other rules from now on, for this engine and those that come after it.
    pub(super) fn configure(&mut self, now: Millis, rules: &Rules) {
        self.rules = rules.clone();
        let settings = Box::new(rules.settings());
        let verdict = self.handle(now, Input::Settings(settings));
        assert_eq!(verdict, Ok(()), "settings are not refused");
    }

    /// When the engine wants to be woken.
    pub(super) fn asks_at(&self) -> Option<Millis> {
        Some(self.engine.as_ref()?.poll_timeout()?.0)
    }

    /// When something is due.
    pub(super) fn wakes_at(&self) -> Option<Millis> {
        self.engine.as_ref()?;
        let engine = self.asks_at();
        // A batch that is open forgets what is due when it is sealed.
        let trim = self.journal.next_trim().filter(|_| !self.has_open_batch());
        engine.into_iter().chain(trim).min()
    }

    /// Whether something waits for a commit.
    pub(super) fn has_open_batch(&self) -> bool {
        !self.batch.steps.is_empty() || !self.batch.changes.is_empty()
    }

    /// How many results and decisions there may be for `agent`, as the engine is told.
    fn free_results(&self, agent: &Agent) -> usize {
        self.mailroom().free_results(agent)
    }

    /// Whether `agent`'s mailbox can take another letter, as the engine is told.
    pub(super) fn free_messages(&self, agent: &Agent) -> usize {
        self.mailroom().free_messages(agent)
    }

    fn mailroom(&self) -> Mailroom<'_> {
        Mailroom {
            rules: &self.rules,
            mailboxes: &self.durable.mailboxes,
            incoming: &self.batch.incoming,
            changes: &self.batch.changes,
            sent: &self.sent,
            journal: &self.journal,
        }
    }

    /// Hands an input to the engine, and before it what is due: the engine would run that first in
    /// any case, and as a step of its own it is not taken for what the input does. After a restart
    /// the engine is told so before anything else.
    pub(super) fn handle(&mut self, now: Millis, input: Input) -> Verdict {
        if !matches!(input, Input::Tick | Input::Recovered) {
            self.run_timers(now);
        }
        self.hand_over(now, input)
    }

    fn run_timers(&mut self, now: Millis) {
        for _ in 0..MOST_TICKS {
            let due = self.engine().poll_timeout().filter(|(at, _)| *at <= now);
            if due.is_none() {
                return;
            }
            let _ = self.hand_over(now, Input::Tick);
        }
        let due = self.engine().poll_timeout();
        panic!("after {MOST_TICKS} ticks at {now} the engine still has {due:?} to do");
    }

    /// Keeps what comes of an input until the commit.
    fn hand_over(&mut self, now: Millis, input: Input) -> Verdict {
        let mail = self.mail_concerned(&input);
        if let Input::ClockStepped { ahead, .. } = input {
            self.wall = Wall { ahead };
        }
        let asked = self.wall.asked(&input);
        let engine = self.engine.as_mut().expect("the gateway is up");
        let mailroom = Mailroom {
            rules: &self.rules,
            mailboxes: &self.durable.mailboxes,
            incoming: &self.batch.incoming,
            changes: &self.batch.changes,
            sent: &self.sent,
            journal: &self.journal,
        };
        let verdict = engine.handle(now, asked, &mailroom);
        if verdict.is_ok() {
            self.note_session(&input);
        }
        let concerned = self.concerned(&input, verdict);
        let free = concerned
            .iter()
            .map(|agent| (agent.clone(), self.free_messages(agent)));
        let free = free.collect();
        let places = concerned
            .iter()
            .map(|agent| (agent.clone(), self.free_results(agent)));
        let places = places.collect();
        self.keep(Step {
            now,
            cause: Cause::Input(Box::new(input)),
            verdict,
            free,
            places,
            mail,
            effects: Vec::new(),
        });
        verdict
    }

    /// What waits in the mailbox that a command is about.
    fn mail_concerned(&self, input: &Input) -> Vec<Mail> {
        let mut waiting = Vec::new();
        if let Input::Command(command) = input
            && let Topic::MailboxList { me, of } | Topic::MailboxPurge { me, of } =
                &command.topic.topic
        {
            let whose = of.as_ref().unwrap_or(me);
            self.mailroom()
                .mail(whose, &command.topic.room, 0, &mut |mail| {
                    waiting.push(mail);
                    ControlFlow::Continue(())
                });
        }
        waiting
    }

    /// Whose mailboxes decide, by the room in them: for inbox messages and whatever is refused for
    /// want of it.
    fn concerned(&self, input: &Input, verdict: Verdict) -> BTreeSet<Agent> {
        let Input::Command(command) = input else {
            return BTreeSet::new();
        };
        let mut concerned = BTreeSet::new();
        if let Topic::Inbox { to, .. } = &command.topic.topic {
            concerned.insert(to.clone());
        }
        if verdict == Err(Code::TooMany) {
            concerned.extend(self.durable.mailboxes.keys().cloned());
            concerned.insert(command.from.clone());
        }
        if let Topic::HandoffRedrive { .. } = &command.topic.topic {
            concerned.extend(self.durable.sessions.keys().cloned());
            concerned.extend(self.durable.mailboxes.keys().cloned());
        }
        concerned
    }

    /// A letter goes to its reader; of work the engine hears, which may do something about it.
    pub(super) fn send(&mut self, now: Millis, agent: &Agent, letter: u64) -> bool {
        self.sent.entry(agent.clone()).or_default().insert(letter);
        let mailbox = self.durable.mailboxes.get(agent);
        let sent = mailbox.and_then(|mailbox| mailbox.letter(letter));
        let Some(key) = sent.and_then(Letter::assignment).cloned() else {
            return false;
        };
        let (agent, assignments) = (agent.clone(), vec![key]);
        let _ = self.handle(now, Input::Sent { agent, assignments });
        true
    }

    /// Work that waits in mailboxes and was not sent on the present connections.
    pub(super) fn unsent_work(&self) -> Vec<(Agent, u64)> {
        let mailboxes = self.durable.mailboxes.iter();
        let letters = mailboxes.flat_map(|(agent, mailbox)| {
            let letters = mailbox.letters();
            letters.map(move |letter| (agent.clone(), letter))
        });
        letters
            .filter(|(agent, letter)| {
                letter.assignment().is_some() && !self.is_sent(agent, letter.number)
            })
            .map(|(agent, letter)| (agent, letter.number))
            .collect()
    }

    /// Whether a letter has gone to its reader on the present connection.
    pub(super) fn is_sent(&self, agent: &Agent, letter: u64) -> bool {
        let sent = self.sent.get(agent);
        sent.is_some_and(|sent| sent.contains(&letter))
    }

    /// Whether a letter is more than its reader takes by now.
    pub(super) fn is_too_large(&self, agent: &Agent, letter: &Letter) -> bool {
        let engine = self.engine.as_ref().expect("the gateway is up");
        let most = engine.takes(agent.as_str(), letter.topic.room.as_str());
        let topic = letter.topic.format(ROOT).len();
        let bytes = packet_bytes(topic, letter.payload.len(), Qos::AtLeastOnce);
        most.is_some_and(|most| bytes > most)
    }

    /// Drops work or a call that is too large to be sent, and says so to the engine.
    pub(super) fn drop_too_large(&mut self, now: Millis, agent: &Agent, class: &DirectedKind) {
        let (agent, class) = (agent.clone(), class.clone());
        let change = Change::Revoke(agent.clone(), class.clone());
        self.batch.changes.push(change);
        let _ = self.handle(now, Input::TooLarge { agent, class });
    }

    /// Takes a letter out of a mailbox: its reader has acknowledged it.
    pub(super) fn settle(&mut self, agent: &Agent, letter: u64) {
        self.batch
            .changes
            .push(Change::Settle(agent.clone(), letter));
    }

    /// Notes whom to acknowledge once the batch is committed.
    pub(super) fn owe(&mut self, receipt: Receipt) {
        self.batch.receipts.push(receipt);
    }

    /// Somebody connects; a session that outlives its connection goes on where it was left. Tells
    /// whether it did.
    pub(super) fn connect(&mut self, now: Millis, agent: &Agent, persistent: bool) -> bool {
        let resumed = persistent && self.durable.sessions.contains_key(agent);
        let agent = agent.clone();
        self.batch.changes.push(Change::Begin {
            agent: agent.clone(),
            persistent,
            resumed,
        });
        let _ = self.handle(
            now,
            Input::Connected {
                agent,
                resumed,
                durable: persistent,
                window: u32::MAX,
            },
        );
        resumed
    }

    fn note_session(&mut self, input: &Input) {
        if let Input::Connected { agent, .. } | Input::Disconnected { agent, .. } = input {
            self.sent.remove(agent);
        }
        let change = match input.clone() {
            Input::Offered { agent, offer } => Change::Offer(agent, offer),
            Input::Withdrawn { agent, offer } => Change::Withdraw(agent, offer),
            Input::SessionEnded { agent } => Change::End(agent),
            _ => return,
        };
        self.batch.changes.push(change);
    }

    /// Drains the effects of a step and files them.
    fn keep(&mut self, mut step: Step) {
        while let Some(effect) = self.engine().poll_effect() {
            step.effects.push(self.wall.effect(effect));
        }
        for effect in &step.effects {
            let change = match effect {
                Effect::Deliver(directed) => {
                    let incoming = self.batch.incoming.entry(directed.to.clone()).or_default();
                    incoming.mail +=
                        usize::from(!directed.class.is_reply() && !directed.class.is_promised());
                    incoming.results += usize::from(directed.class.is_promised());
                    Change::Put(directed.to.clone(), letter_of(directed))
                }
                Effect::Relay { to, expires_at } => {
                    self.batch.incoming.entry(to.clone()).or_default().mail += 1;
                    let command = step.command().expect("only an inbox message is relayed");
                    Change::Put(
                        to.clone(),
                        Letter {
                            number: 0,
                            class: None,
                            topic: command.topic.clone(),
                            payload: command.payload.clone(),
                            expires_at: Some(*expires_at),
                        },
                    )
                }
                Effect::Revoke { agent, class } => Change::Revoke(agent.clone(), class.clone()),
                Effect::Discard { agent, seqs } => Change::Discard(agent.clone(), seqs.clone()),
                Effect::Retain { topic, payload } => {
                    Change::Retain(topic.format(ROOT), payload.clone())
                }
                Effect::Event(event) => {
                    let (category, _) = event.what.split_once('.').expect("pattern.transition");
                    let payload = json::encode(event);
                    self.journal
                        .append(&event.room, event.seq, event.at, category, &payload);
                    continue;
                }
            };
            self.batch.changes.push(change);
        }
        self.batch.steps.push(step);
    }

    /// Seals the batch: the engine's records and everything else become durable at once.
    pub(super) fn commit(&mut self, now: Millis) -> Committed {
        self.engine().flush();
        self.keep(Step {
            now,
            cause: Cause::Sealed,
            verdict: Ok(()),
            free: BTreeMap::new(),
            places: BTreeMap::new(),
            mail: Vec::new(),
            effects: Vec::new(),
        });
        let engine = self.engine.as_mut().expect("the gateway is up");
        let ledger = &mut self.durable.ledger;
        let mut drained = BTreeMap::new();
        engine.drain_records(&mut |key, value| {
            drained.insert(key.clone(), value.clone());
            match value {
                Some(value) => ledger.insert(key, value),
                None => ledger.remove(&key),
            };
        });
        self.batches += 1;
        let mut records = Records::default();
        self.journal.seal(self.batches, now, &mut records);
        let written = self.durable.past.commit(&records);
        written.expect("memory takes everything");
        self.journal.committed(self.batches);
        let batch = std::mem::take(&mut self.batch);
        let mut recipients = BTreeSet::new();
        for change in batch.changes {
            if let Change::Put(agent, _) | Change::Settle(agent, _) | Change::Revoke(agent, _) =
                &change
            {
                recipients.insert(agent.clone());
            }
            self.durable.apply(change, &self.rules);
        }
        Committed {
            dropped: self.durable.drop_expired(now, &self.sent),
            steps: batch.steps,
            records: BuildHasherDefault::<DefaultHasher>::default().hash_one(drained),
            receipts: batch.receipts,
            recipients,
        }
    }

    /// Takes the engine and everything that was not committed.
    pub(super) fn crash(&mut self) {
        self.engine = None;
        self.batch = Batch::default();
        self.sent.clear();
    }

    /// Builds an engine from the committed records.
    pub(super) fn recover(&mut self, now: Millis) {
        self.seed = self.seed.wrapping_add(1 << 32);
        self.journal = journal(&self.rules, &self.durable);
        let mut engine = self.recovered();
        engine.set_wall(self.wall.ahead);
        self.engine = Some(engine);
        // Sessions that do not outlive their connection are not on disk: nobody's comes back.
        let _ = self.handle(now, Input::Recovered);
    }

    /// Somebody sets the wall clock; one that is set while nothing runs is found where it is at the
    /// start.
    pub(super) fn set_clock(&mut self, now: Millis, ahead: i64) {
        if !self.is_up() {
            self.wall = Wall { ahead };
            return;
        }
        let by = ahead - self.wall.ahead;
        let _ = self.handle(now, Input::ClockStepped { by, ahead });
    }

    /// An engine as it would be after a crash at this moment.
    fn recovered(&self) -> Engine {
        Engine::recover(
            self.rules.settings(),
            self.seed,
            self.durable.ledger.clone(),
        )
        .expect("the engine reads what it wrote")
    }

    /// Whether an engine built from the committed records counts the same things as the one that
    /// wrote them.
    pub(super) fn check_recovery(&self) -> Result<(), String> {
        let engine = self.engine.as_ref().expect("the gateway is up");
        let count = |engine: &Engine| {
            let stats = engine.stats();
            (
                stats.rooms,
                stats.vacated_rooms,
                stats.agents,
                stats.tasks.clone(),
                stats.keys,
                stats.pending_approvals,
            )
        };
        let (live, recovered) = (count(engine), count(&self.recovered()));
        if live == recovered {
            Ok(())
        } else {
            Err(format!("live {live:?}, recovered {recovered:?}"))
        }
    }

    /// What the engine counts.
    pub(super) fn stats(&self) -> hallward::engine::EngineStats {
        self.engine
            .as_ref()
            .expect("the gateway is up")
            .stats()
            .clone()
    }
}
