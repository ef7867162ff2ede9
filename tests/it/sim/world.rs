//! The world: the clock, the network between agents and desk, the troubles, and the four seasons of a run.
//!
//! Trouble first: agents act at random, connections break, the gateway crashes. Then calm: everybody comes back and finishes
//! what there is. Then everybody leaves. At last time passes until nothing is remembered that need not be.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use hallward::engine::Input;
use hallward::wire::Millis;
use hallward::wire::handoff::Cancel;
use hallward::wire::json;
use hallward::wire::name::{Agent, Capability, Room, TaskId};
use hallward::wire::topic::{Offer, RoomTopic, Topic};

use super::agenda::{Action, Agenda, LinkId, Who};
use super::agents::{
    Approver, Content, Dispatcher, Doing, Intent, Participant, Role, Surroundings, Worker, Writer,
};
use super::desk::{Desk, Receipt};
use super::dice::Dice;
use super::history::Step;
use super::invariants::Checker;
use super::model::Tally;
use super::rules::Rules;

/// The first moment: any will do, but zero hides mistakes.
const DAWN: Millis = 1_700_000_000_000;
/// How long trouble lasts.
const TROUBLE_MS: Millis = 20_000;
/// How long everybody has to finish afterwards.
const CALM_MS: Millis = 120_000;
/// Steps that a failure shows.
const TAIL: usize = 60;
/// Ticks at one moment before we call it spinning.
const MAX_TICKS_AT_ONCE: u32 = 50;
/// Inputs in a batch before it is sealed.
const BATCH: u64 = 8;

/// A run that broke an invariant.
pub(super) struct Failure {
    /// Which, and how.
    pub(super) broken: String,
    /// The last steps before.
    pub(super) tail: Vec<String>,
}

/// A run that broke none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    /// The same for the same seed.
    pub(super) trace: u64,
    /// What happened how often.
    pub(super) tally: Tally,
}

/// One run.
pub(super) struct World {
    rules: Rules,
    now: Millis,
    dice: Dice,
    agenda: Agenda,
    desk: Desk,
    everybody: Vec<Participant>,
    names: Vec<Agent>,
    checker: Checker,
    calm: bool,
    seal_planned: bool,
    batched: u64,
    ticks_at_once: (Millis, u32),
    trace: DefaultHasher,
    tail: VecDeque<String>,
}

type Outcome = Result<(), String>;

/// Runs a seed from dawn to oblivion.
pub(super) fn run(seed: u64) -> Result<Report, Failure> {
    let mut world = World::new(seed);
    match world.live() {
        Ok(()) => Ok(Report {
            trace: world.trace.finish(),
            tally: world.checker.model.tally.clone(),
        }),
        Err(broken) => Err(Failure {
            broken,
            tail: world.tail.into(),
        }),
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed);
        let rules = Rules::default();
        let everybody = populate(&mut dice);
        let names = everybody.iter().map(|one| one.name.clone()).collect();
        World {
            now: DAWN,
            agenda: Agenda::default(),
            desk: Desk::new(&rules, seed),
            checker: Checker::new(&rules),
            rules,
            dice,
            everybody,
            names,
            calm: false,
            seal_planned: false,
            batched: 0,
            ticks_at_once: (0, 0),
            trace: DefaultHasher::new(),
            tail: VecDeque::new(),
        }
    }

    fn live(&mut self) -> Outcome {
        for who in 0..self.everybody.len() {
            let at = self.now + self.dice.below(1_500);
            self.agenda.plan(at, Action::Connect(who));
            self.agenda.plan(at, Action::Wake(who, Intent::Stroll));
        }
        self.plan_crash();
        self.pass(DAWN + TROUBLE_MS)?;
        self.calm_down()?;
        self.everybody_leaves()?;
        self.forget()
    }

    /// Lets time pass until `until`.
    fn pass(&mut self, until: Millis) -> Outcome {
        loop {
            let late = if self.dice.percent(10) {
                self.dice.between(1, 40)
            } else {
                0
            };
            let tick = self.desk.wakes_at().map(|at| at.max(self.now) + late);
            let next = self.agenda.next_at().unwrap_or(Millis::MAX);
            match tick {
                Some(tick) if tick < next.min(until) => self.tick(tick)?,
                _ if next >= until => break,
                _ => {
                    let (at, action) = self.agenda.pop().expect("something is planned");
                    self.now = at.max(self.now);
                    self.act(action)?;
                }
            }
        }
        self.now = until;
        Ok(())
    }

    fn tick(&mut self, at: Millis) -> Outcome {
        self.now = at;
        let (when, count) = self.ticks_at_once;
        self.ticks_at_once = (at, if when == at { count + 1 } else { 1 });
        if self.ticks_at_once.1 > MAX_TICKS_AT_ONCE {
            return Err(format!(
                "the engine wants to be woken again and again at {at}"
            ));
        }
        self.hand_in(Input::Tick)
    }

    fn act(&mut self, action: Action) -> Outcome {
        match action {
            Action::Wake(who, intent) => self.wake(who, intent),
            Action::Arrive(who, link, packet) => return self.arrive(who, link, packet),
            Action::Acked(who, link, packet) => self.acked(who, link, packet),
            Action::Deliver(who, link, letter) => self.deliver(who, link, letter),
            Action::Settle(who, link, letter) => self.settle(who, link, letter),
            Action::Connect(who) => return self.connect(who),
            Action::HangUp(who, link) => return self.hang_up(who, link),
            Action::EndSession(who, link) => return self.end_session(who, link),
            Action::Seal => return self.seal(true),
            Action::Crash => return self.crash(),
            Action::Restart => {
                self.desk.recover(self.now);
                self.plan_seal();
            }
        }
        Ok(())
    }

    // The desk's side.

    /// Hands an input in; the batch is sealed soon, or now if it is full.
    fn hand_in(&mut self, input: Input) -> Outcome {
        let _ = self.desk.handle(self.now, input);
        self.batched()
    }

    fn batched(&mut self) -> Outcome {
        self.batched += 1;
        if self.batched >= BATCH {
            return self.seal(true);
        }
        self.plan_seal();
        Ok(())
    }

    fn plan_seal(&mut self) {
        if !self.seal_planned {
            self.seal_planned = true;
            let at = self.now + self.dice.below(4);
            self.agenda.plan(at, Action::Seal);
        }
    }

    /// Commits the open batch, shows it to the checker, and lets its effects out unless the gateway dies just then.
    fn seal(&mut self, release: bool) -> Outcome {
        self.seal_planned = false;
        self.batched = 0;
        if !self.desk.is_up() || !self.desk.has_open_batch() {
            return Ok(());
        }
        let committed = self.desk.commit(self.now);
        for step in &committed.steps {
            self.note(step);
            self.checker.step(step)?;
        }
        self.checker.committed(&self.desk)?;
        if self.dice.percent(3) {
            self.desk
                .check_recovery()
                .map_err(|error| format!("recovery is not what was committed: {error}"))?;
        }
        if release {
            for receipt in committed.receipts {
                let after = self.dice.between(1, 20);
                let Receipt { who, link, packet } = receipt;
                self.agenda
                    .plan(self.now + after, Action::Acked(who, link, packet));
            }
            for agent in committed.recipients {
                if let Some(who) = self.names.iter().position(|name| *name == agent) {
                    self.send_letters(who);
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, step: &Step) {
        let line = format!("{step:?}");
        line.hash(&mut self.trace);
        self.tail.push_back(line);
        if self.tail.len() > TAIL {
            self.tail.pop_front();
        }
    }

    // Troubles.

    fn plan_crash(&mut self) {
        let at = self.now + self.dice.between(500, 8_000);
        self.agenda.plan(at, Action::Crash);
    }

    fn crash(&mut self) -> Outcome {
        if self.calm {
            return Ok(());
        }
        self.plan_crash();
        if !self.desk.is_up() {
            return Ok(());
        }
        match self.dice.below(4) {
            0 => self.seal(true)?,
            1 => self.seal(false)?,
            _ => {}
        }
        self.checker.model.tally.crashes += 1;
        self.desk.crash();
        self.seal_planned = false;
        let up_at = self.now + self.dice.weighted(&[(50, 1), (30, 300), (20, 3_000)]);
        self.agenda.plan(up_at, Action::Restart);
        for who in 0..self.everybody.len() {
            if self.everybody[who].connected {
                self.everybody[who].disconnected();
                if self.everybody[who].faithful {
                    let back = self.dice.weighted(&[(60, 300), (30, 1_500), (10, 6_000)]);
                    let at = up_at + self.dice.below(back);
                    self.agenda.plan(at, Action::Connect(who));
                }
            }
        }
        Ok(())
    }

    // The network.

    fn connect(&mut self, who: Who) -> Outcome {
        if self.everybody[who].connected {
            return Ok(());
        }
        if !self.desk.is_up() {
            let at = self.now + self.dice.between(50, 500);
            self.agenda.plan(at, Action::Connect(who));
            return Ok(());
        }
        let one = &mut self.everybody[who];
        one.connected = true;
        one.link += 1;
        one.in_flight.clear();
        one.last_arrival = self.now;
        one.last_delivery = self.now;
        let resumed = self.desk.connect(self.now, &one.name, one.persistent);
        let standing = self.desk.durable.sessions.get(&one.name);
        let missing: Vec<Offer> = one
            .wants()
            .into_iter()
            .filter(|offer| !resumed || !standing.is_some_and(|offers| offers.contains(offer)))
            .collect();
        let unacked: Vec<u64> = one.outbox.iter().map(|packet| packet.number).collect();
        for offer in missing {
            self.send(who, Content::Subscribe(offer));
        }
        let around = Surroundings {
            dice: &mut self.dice,
            durable: &self.desk.durable,
            others: &self.names,
            calm: self.calm,
        };
        let doings = self.everybody[who].greet(resumed, around);
        self.carry_out(who, doings);
        for packet in unacked {
            self.plan_arrival(who, packet);
        }
        self.send_letters(who);
        self.batched()
    }

    fn hang_up(&mut self, who: Who, link: LinkId) -> Outcome {
        let one = &mut self.everybody[who];
        if !one.connected || one.link != link {
            return Ok(());
        }
        one.disconnected();
        let agent = one.name.clone();
        self.hand_in(Input::Disconnected { agent })
    }

    fn end_session(&mut self, who: Who, link: LinkId) -> Outcome {
        let one = &self.everybody[who];
        if one.connected || one.link != link || !self.desk.is_up() {
            return Ok(());
        }
        let agent = one.name.clone();
        self.hand_in(Input::SessionEnded { agent })
    }

    fn send(&mut self, who: Who, content: Content) {
        let packet = self.everybody[who].enqueue(content);
        if self.everybody[who].connected {
            self.plan_arrival(who, packet);
        }
    }

    fn plan_arrival(&mut self, who: Who, packet: u64) {
        let one = &mut self.everybody[who];
        let at = (self.now + self.dice.below(15)).max(one.last_arrival);
        one.last_arrival = at;
        self.agenda.plan(at, Action::Arrive(who, one.link, packet));
    }

    fn arrive(&mut self, who: Who, link: LinkId, number: u64) -> Outcome {
        let one = &mut self.everybody[who];
        if !one.connected || one.link != link {
            return Ok(());
        }
        let Some(packet) = one.packet(number).cloned() else {
            return Ok(());
        };
        let agent = one.name.clone();
        let input = match packet.content {
            Content::Publish { command, .. } => Input::Command(command),
            Content::Subscribe(offer) => Input::Offered { agent, offer },
            Content::Unsubscribe(offer) => Input::Withdrawn { agent, offer },
        };
        self.desk.owe(Receipt {
            who,
            link,
            packet: number,
        });
        self.hand_in(input)
    }

    fn acked(&mut self, who: Who, link: LinkId, packet: u64) {
        let one = &mut self.everybody[who];
        if one.connected && one.link == link {
            one.outbox.retain(|other| other.number != packet);
        }
    }

    /// Sends what waits and is not on its way yet, in order.
    fn send_letters(&mut self, who: Who) {
        let one = &mut self.everybody[who];
        let Some(mailbox) = self.desk.durable.mailboxes.get(&one.name) else {
            return;
        };
        if !one.connected {
            return;
        }
        for letter in mailbox.letters() {
            if one.in_flight.insert(letter.number) {
                let at = (self.now + self.dice.between(1, 15)).max(one.last_delivery);
                one.last_delivery = at;
                let action = Action::Deliver(who, one.link, letter.number);
                self.agenda.plan(at, action);
            }
        }
    }

    fn deliver(&mut self, who: Who, link: LinkId, number: u64) {
        let one = &mut self.everybody[who];
        if !one.connected || one.link != link {
            return;
        }
        let mailbox = self.desk.durable.mailboxes.get(&one.name);
        let Some(letter) = mailbox.and_then(|mailbox| mailbox.letter(number)).cloned() else {
            return;
        };
        let at = self.now + self.dice.between(1, 30);
        self.agenda.plan(at, Action::Settle(who, link, number));
        if letter.expires_at.is_none_or(|at| at > self.now) {
            let around = Surroundings {
                dice: &mut self.dice,
                durable: &self.desk.durable,
                others: &self.names,
                calm: self.calm,
            };
            let doings = one.receive(letter, around);
            self.carry_out(who, doings);
        }
    }

    fn settle(&mut self, who: Who, link: LinkId, letter: u64) {
        let one = &self.everybody[who];
        if one.connected && one.link == link {
            self.desk.settle(&one.name, letter);
            self.plan_seal();
        }
    }

    // The agents' side.

    fn wake(&mut self, who: Who, intent: Intent) {
        let around = Surroundings {
            dice: &mut self.dice,
            durable: &self.desk.durable,
            others: &self.names,
            calm: self.calm,
        };
        let doings = self.everybody[who].wake(intent, around);
        self.carry_out(who, doings);
    }

    fn carry_out(&mut self, who: Who, doings: Vec<Doing>) {
        for doing in doings {
            match doing {
                // What has no id is sent now or never: a repeat would be another command.
                Doing::Publish {
                    repeatable: false, ..
                } if !self.everybody[who].connected => {}
                Doing::Publish {
                    command,
                    repeatable,
                } => self.send(
                    who,
                    Content::Publish {
                        command,
                        repeatable,
                    },
                ),
                Doing::Offer(offer) if self.everybody[who].connected => {
                    self.send(who, Content::Subscribe(offer));
                }
                Doing::Withdraw(offer) if self.everybody[who].connected => {
                    self.send(who, Content::Unsubscribe(offer));
                }
                Doing::Offer(_) | Doing::Withdraw(_) => {}
                Doing::Later(after, intent) => self
                    .agenda
                    .plan(self.now + after, Action::Wake(who, intent)),
                Doing::HangUp { back_after } => self.plan_absence(who, back_after),
            }
        }
    }

    fn plan_absence(&mut self, who: Who, back_after: Millis) {
        if self.calm {
            return;
        }
        let link = self.everybody[who].link;
        self.agenda.plan(self.now, Action::HangUp(who, link));
        self.agenda
            .plan(self.now + 1 + back_after, Action::Connect(who));
        if back_after > 500 && self.dice.percent(15) {
            let at = self.now + self.dice.between(1, 500);
            self.agenda.plan(at, Action::EndSession(who, link + 1));
        }
    }

    // The seasons after trouble.

    /// Everybody comes back and does what it should; in the end no task is open that anybody could have done.
    fn calm_down(&mut self) -> Outcome {
        self.calm = true;
        for who in 0..self.everybody.len() {
            if let Role::Worker(worker) = &mut self.everybody[who].role {
                worker.reform();
            }
            let at = self.now + self.dice.between(100, 4_000);
            if !self.everybody[who].connected {
                self.agenda.plan(at, Action::Connect(who));
            } else if let Role::Worker(_) = &self.everybody[who].role {
                // Once more from a clean sheet, so that what it forgot on purpose comes to an end.
                let link = self.everybody[who].link;
                self.agenda.plan(at, Action::HangUp(who, link));
                self.agenda.plan(at + 100, Action::Connect(who));
            }
        }
        self.pass(DAWN + TROUBLE_MS + CALM_MS / 2)?;
        self.cancel_the_impossible()?;
        self.pass(DAWN + TROUBLE_MS + CALM_MS)?;
        self.seal(true)?;
        for one in &self.everybody {
            if let Some(packet) = one.outbox.front() {
                return Err(format!("{} was never answered: {packet:?}", one.name));
            }
        }
        self.checker.finished(&self.everybody)
    }

    /// Tasks that nobody can do wait for ever, as they should; their dispatchers give up.
    fn cancel_the_impossible(&mut self) -> Outcome {
        for (room, task, dispatcher) in self.checker.waiting_for_nobody()? {
            let who = self.names.iter().position(|name| *name == dispatcher);
            let who = who.expect("a dispatcher takes part");
            let command = cancel(&room, task, dispatcher);
            self.send(
                who,
                Content::Publish {
                    command,
                    repeatable: false,
                },
            );
        }
        Ok(())
    }

    fn everybody_leaves(&mut self) -> Outcome {
        for who in 0..self.everybody.len() {
            let link = self.everybody[who].link;
            self.hang_up(who, link)?;
            let agent = self.everybody[who].name.clone();
            self.hand_in(Input::SessionEnded { agent })?;
        }
        self.seal(true)
    }

    /// Nothing happens for longer than anything is remembered.
    fn forget(&mut self) -> Outcome {
        self.pass(self.now + 2 * self.rules.retention_ms)?;
        self.hand_in(Input::Tick)?;
        self.seal(true)?;
        self.checker.forgotten(&self.desk)?;
        self.desk.crash();
        self.desk.recover(self.now);
        self.seal(true)?;
        self.pass(self.now + 2 * self.rules.retention_ms)?;
        self.checker.forgotten(&self.desk)
    }
}

fn cancel(room: &Room, task: TaskId, me: Agent) -> hallward::engine::Command {
    hallward::engine::Command {
        from: me.clone(),
        topic: RoomTopic::new(room.clone(), Topic::HandoffCancel { me }),
        payload: json::encode(&Cancel {
            task,
            reason: None,
            id: None,
            correlation_id: None,
        }),
        correlation_id: None,
        reply_rest: None,
        ttl_ms: None,
    }
}

/// Two rooms, and agents of every kind in one or both.
fn populate(dice: &mut Dice) -> Vec<Participant> {
    let alpha = Room::new("alpha").expect("a name");
    let beta = Room::new("beta").expect("a name");
    let mut everybody = Vec::new();
    let mut add = |name: String, role: Role, dice: &mut Dice| {
        let rooms = match dice.below(4) {
            0 => vec![alpha.clone(), beta.clone()],
            1 => vec![beta.clone()],
            _ => vec![alpha.clone()],
        };
        let name = Agent::new(&name).expect("a name");
        everybody.push(Participant::new(name, rooms, role, dice));
    };
    for number in 0..2 + dice.below(2) {
        let role = Role::Dispatcher(Dispatcher::default());
        add(format!("dispatcher{number}"), role, dice);
    }
    for number in 0..2 + dice.below(4) {
        let role = Role::Worker(some_worker(dice));
        add(format!("worker{number}"), role, dice);
    }
    for number in 0..2 {
        add(
            format!("writer{number}"),
            Role::Writer(Writer::default()),
            dice,
        );
        let role = Role::Approver(Approver::default());
        add(format!("approver{number}"), role, dice);
    }
    everybody
}

fn some_worker(dice: &mut Dice) -> Worker {
    let skill = |name: &&str| Capability::new(name).expect("a name");
    let all = ["draft", "review", "publish"];
    let first = usize::try_from(dice.below(3)).expect("small");
    let mut subscribed = vec![skill(&all[first])];
    if dice.percent(60) {
        subscribed.push(skill(&all[(first + 1) % 3]));
    }
    if dice.percent(30) {
        subscribed.push(skill(&all[(first + 2) % 3]));
    }
    let announced = dice.maybe(30, |dice| vec![skill(dice.pick(&all))]);
    let capacity = dice.maybe(60, |dice| u32::try_from(dice.between(1, 3)).expect("small"));
    Worker::new(subscribed, announced.unwrap_or_default(), capacity)
}
