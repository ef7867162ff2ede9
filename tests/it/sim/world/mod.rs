//! The world: the clock, the batches, the crashes.
//!
//! A run has its seasons. Trouble first: agents act at random, connections break, the gateway
//! crashes. Then calm: everybody comes back and finishes what there is. Then everybody leaves, and
//! time passes until nothing is remembered that need not be. At last somebody comes back and finds
//! versions and numbers going on.

mod cast;
mod network;
mod seasons;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use hallward::engine::Input;
use hallward::wire::Millis;
use hallward::wire::name::{Agent, Room};

use super::agenda::{Action, Agenda};
use super::agents::Participant;
use super::desk::{Desk, Receipt};
use super::dice::Dice;
use super::history::Step;
use super::invariants::Checker;
use super::model::Tally;
use super::rules::{Rules, usual_gate};
use super::seeds::number;

/// The first moment: any will do, but zero hides mistakes.
const DAWN: Millis = 1_700_000_000_000;
/// How long trouble lasts at least, and at most beyond that, in so many runs of a hundred: many
/// short runs find more than few long ones, but some of what goes wrong takes its time.
const TROUBLE_MS: [(u64, (Millis, Millis)); 3] = [
    (60, (3_000, 4_000)),
    (30, (7_000, 6_000)),
    (10, (13_000, 9_000)),
];
/// How long everybody has to finish afterwards.
const CALM_MS: Millis = 120_000;
/// Steps that a failure shows; `HALLWARD_SIM_TAIL` asks for more.
const TAIL: usize = 60;
/// Where somebody who sets the wall clock puts it, in so many cases of a hundred: right, a little
/// off, far off, and as on a board that does not know the time.
const AHEAD_MS: [(u64, i64); 6] = [
    (25, 0),
    (20, 300_000),
    (20, -120_000),
    (15, 86_400_000 * 7),
    (10, 86_400_000 * 365 * 20),
    (10, -86_400_000 * 365 * 50),
];
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
    /// Of its own, so that the rest of a run is the same whether somebody sets the clock or not.
    clock_dice: Dice,
    has_clock_steps: bool,
    agenda: Agenda,
    desk: Desk,
    everybody: Vec<Participant>,
    names: Vec<Agent>,
    checker: Checker,
    calm: bool,
    /// When trouble ends.
    calm_at: Millis,
    seal_planned: bool,
    batched: u64,
    ticks_at_once: (Millis, u32),
    trace: DefaultHasher,
    tail: VecDeque<Step>,
    tail_length: usize,
}

type Outcome = Result<(), String>;

/// Runs a seed from dawn to oblivion.
pub(super) fn run(seed: u64) -> Result<Report, Failure> {
    let mut world = World::new(seed, true);
    world.has_clock_steps = world.clock_dice.percent(40);
    for one in &mut world.everybody {
        one.asks_more = true;
    }
    world.run()
}

/// The same, as runs were before anybody set clocks in them or had to approve tasks: what an early
/// seed tells, it tells so.
pub(super) fn run_undisturbed(seed: u64) -> Result<Report, Failure> {
    World::new(seed, false).run()
}

impl World {
    fn run(mut self) -> Result<Report, Failure> {
        let world = &mut self;
        match world.live() {
            Ok(()) => Ok(Report {
                trace: world.trace.finish(),
                tally: world.checker.model.tally.clone(),
            }),
            Err(broken) => Err(Failure {
                broken,
                tail: world.tail.iter().map(|step| format!("{step:?}")).collect(),
            }),
        }
    }

    fn new(seed: u64, has_gates: bool) -> World {
        let mut dice = Dice::new(seed);
        let beta = Room::new("beta").expect("a name");
        let rules = Rules {
            cbor_room: dice.percent(30).then_some(beta),
            gate: has_gates.then(usual_gate),
            ..Rules::default()
        };
        let everybody = cast::populate(&mut dice);
        let (least, more) = dice.weighted(&TROUBLE_MS);
        let calm_at = DAWN + least + dice.below(more);
        let names = everybody.iter().map(|one| one.name.clone()).collect();
        World {
            now: DAWN,
            agenda: Agenda::default(),
            desk: Desk::new(&rules, seed),
            checker: Checker::new(&rules),
            rules,
            dice,
            clock_dice: Dice::new(!seed),
            has_clock_steps: false,
            everybody,
            names,
            calm: false,
            calm_at,
            seal_planned: false,
            batched: 0,
            ticks_at_once: (0, 0),
            trace: DefaultHasher::new(),
            tail: VecDeque::new(),
            tail_length: number("HALLWARD_SIM_TAIL").unwrap_or(TAIL),
        }
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
            Action::Configure => return self.configure(),
            Action::Crash => return self.crash(),
            Action::SetClock => self.set_clock(),
            Action::Restart => {
                self.desk.recover(self.now);
                self.plan_seal();
            }
        }
        Ok(())
    }

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

    /// Commits the open batch, shows it to the checker, and lets its effects out unless the gateway
    /// dies just then.
    fn seal(&mut self, release: bool) -> Outcome {
        self.seal_planned = false;
        self.batched = 0;
        if !self.desk.is_up() || !self.desk.has_open_batch() {
            return Ok(());
        }
        let committed = self.desk.commit(self.now);
        for step in committed.steps {
            let check = self.checker.step(&step);
            self.note(step);
            check?;
        }
        committed.records.hash(&mut self.trace);
        self.checker.model.tally.relays_expired += committed.dropped as u64;
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

    fn note(&mut self, step: Step) {
        step.hash(&mut self.trace);
        self.tail.push_back(step);
        if self.tail.len() > self.tail_length {
            self.tail.pop_front();
        }
    }

    /// Sometimes it dies again while it is still getting up.
    fn plan_crash(&mut self) {
        let (least, most) = self.dice.weighted(&[(80, (500, 8_000)), (20, (1, 60))]);
        let at = self.now + self.dice.between(least, most);
        self.agenda.plan(at, Action::Crash);
    }

    fn plan_clock(&mut self) {
        let at = self.now + self.clock_dice.between(300, 4_000);
        self.agenda.plan(at, Action::SetClock);
    }

    fn set_clock(&mut self) {
        if self.calm {
            return;
        }
        self.plan_clock();
        let ahead = self.clock_dice.weighted(&AHEAD_MS);
        self.checker.model.tally.clock_steps += 1;
        self.desk.set_clock(self.now, ahead);
        self.plan_seal();
    }

    fn plan_configuring(&mut self) {
        let at = self.now + self.dice.between(200, 4_000);
        self.agenda.plan(at, Action::Configure);
    }

    /// What comes before it and what comes after is told apart by the commit.
    fn configure(&mut self) -> Outcome {
        if !self.calm {
            self.plan_configuring();
        }
        if !self.desk.is_up() {
            return Ok(());
        }
        let rules = self.rules.varied(&mut self.dice);
        self.checker.model.tally.configured += 1;
        self.desk.configure(self.now, &rules);
        self.seal(true)
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
}
