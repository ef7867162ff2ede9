//! The world of the gateway: the clock, the network, the commits and the crashes.

mod clients;
mod damage;
mod ends;
mod outages;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use hallward::desk::{
    ClientLimits, Desk, DeskSettings, InterestIndex, MemoryBudget, Pending, Release,
    RetainedConfig, Sealing, engine_records, last_mark,
};
use hallward::engine::Engine;
use hallward::ledger::{Batch, FaultStore, MemoryStore, Store, StoreError};
use hallward::setting::Size;
use hallward::wire::Millis;
use hallward::wire::message::Message;

use super::super::dice::Dice;
use super::super::durable::ROOT;
use super::super::rules::Rules;
use super::super::seeds::number;
use super::history::{Counts, Event, What};
use super::machine::Machine;
use super::network::{Down, Link, LinkId, Up, Who};
use super::seat::Seat;
use super::user::{EAR, Intent, LATE, MEMBERS, User};
use super::{check, linear};

const DAWN: Millis = 1_700_000_000_000;
/// How long everybody has to finish.
const CALM_MS: Millis = 40_000;
const USERS: usize = 5;
/// Lines of the history that a failure shows.
const TAIL: usize = 80;
/// Images of the store that are started from when a run is over.
const IMAGES: usize = 12;

/// Something that happens.
enum Action {
    Up(LinkId, u64, Up),
    Down(LinkId, u64, Down),
    /// The gateway finds that a client is gone.
    Notice(LinkId),
    Dial(Who),
    Act(Who, Intent),
    /// A connection breaks.
    Cut(Who),
    /// The disk has what was given to it, or has failed.
    Synced(u64),
    Crash,
    Restart,
    SetClock,
}

/// The gateway, while it is up.
struct Gateway {
    desk: Desk,
    seats: BTreeMap<LinkId, Seat>,
    /// What is on its way to the disk.
    syncing: Option<Pending>,
}

/// One run.
struct World {
    rules: Rules,
    seed: u64,
    now: Millis,
    dice: Dice,
    machine: Machine,
    /// Of its own, so that the rest of a run is the same whether somebody sets the clock or not.
    clock_dice: Dice,
    has_clock_steps: bool,
    agenda: BTreeMap<(Millis, u64), Action>,
    planned: u64,
    gateway: Option<Gateway>,
    /// Counts starts: what was planned for an earlier one is void.
    starts: u64,
    store: FaultStore,
    links: BTreeMap<LinkId, Link>,
    dialled: LinkId,
    users: Vec<User>,
    names: Vec<String>,
    history: Vec<Event>,
    /// The gateway's events, as whoever observes would see them.
    events: Vec<(Millis, Message)>,
    calm: bool,
    /// Hashes what reached the disk.
    written: DefaultHasher,
}

type Outcome = Result<(), String>;

/// A run that broke nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Report {
    /// The same for the same seed: what clients saw, and what was written.
    pub(in super::super) trace: u64,
    /// What happened how often.
    pub(in super::super) counts: Counts,
}

/// Runs a seed; what was broken, with the last lines of the history.
pub(in super::super) fn run(seed: u64) -> Result<Report, String> {
    let mut world = World::new(seed);
    world.has_clock_steps = world.clock_dice.percent(40);
    world.run()
}

/// The same, as runs were before anybody set clocks in them: what an early seed tells, it tells so.
pub(in super::super) fn run_undisturbed(seed: u64) -> Result<Report, String> {
    World::new(seed).run()
}

impl World {
    fn run(mut self) -> Result<Report, String> {
        let world = &mut self;
        let lived = world.live().map(|counts| Report {
            trace: world.trace(),
            counts,
        });
        lived.map_err(|broken| {
            format!(
                "{}\n\nbroken at {}: {broken}",
                world.story().join("\n"),
                world.now - DAWN
            )
        })
    }
}

fn settings(rules: &Rules) -> DeskSettings {
    DeskSettings {
        root: ROOT.to_owned(),
        clients: ClientLimits {
            max_clients: 100,
            max_subscriptions: 20,
            max_mailbox_messages: rules.mailbox_letters,
            max_mailbox_bytes: 1 << 20,
            max_results: rules.mailbox_letters,
            max_result_bytes: 1 << 20,
            // Whoever waits for a reply here waits for it.
            max_replies: 10_000,
            max_queued_messages: 10_000,
            max_queued_bytes: 1 << 24,
            max_backlog_bytes: 1 << 20,
            refuse_when_full: true,
        },
        retained: RetainedConfig {
            max_messages: 1_000,
            max_bytes: Size(1 << 22),
        },
        journal: rules.journal(),
        memory: MemoryBudget::new(usize::MAX / 2),
        authorizers: None,
        log_limiter: Arc::default(),
        linger_ms: 20,
        slow_consumer_timeout_ms: 10_000,
    }
}

/// A desk that starts on what a store has.
fn start(rules: &Rules, seed: u64, machine: Machine, store: &dyn Store) -> Result<Desk, String> {
    let records = engine_records(store).map_err(|error| error.to_string())?;
    let engine = Engine::recover(rules.settings(), seed, records);
    let engine = engine.map_err(|error| format!("the engine cannot read its records: {error}"))?;
    let mut desk = Desk::new(settings(rules), engine, Arc::new(InterestIndex::default()));
    let last = last_mark(store).map_err(|error| error.to_string())?;
    let clock = machine.clock(last.as_ref(), desk.latest())?;
    let now = clock.now();
    desk.keep_time(clock.reading());
    let recovered = desk.recover(now, store);
    recovered.map_err(|error| format!("the desk cannot read its records: {error}"))?;
    if let Some(last) = last {
        desk.step_found(now, clock.reading().ahead - last.reading.ahead);
    }
    Ok(desk)
}

/// Whether the disk took it.
fn commit(store: &mut FaultStore, written: &mut DefaultHasher, records: &Batch) -> bool {
    let is_done = store.commit(records).is_ok();
    for change in records.iter().filter(|_| is_done) {
        change.hash(written);
    }
    is_done
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed);
        let users: Vec<User> = (0..MEMBERS.end)
            .map(|number| User::new(number, &mut dice))
            .collect();
        let rules = Rules {
            mailbox_letters: usize::try_from(dice.between(8, 30)).expect("small"),
            ..Rules::default()
        };
        World {
            rules,
            seed,
            now: DAWN,
            dice,
            machine: Machine::new(DAWN),
            clock_dice: Dice::new(!seed),
            has_clock_steps: false,
            agenda: BTreeMap::new(),
            planned: 0,
            gateway: None,
            starts: 0,
            store: FaultStore::new(),
            links: BTreeMap::new(),
            dialled: 0,
            names: users[..EAR]
                .iter()
                .map(|user| user.client.name.clone())
                .collect(),
            users,
            history: Vec::new(),
            events: Vec::new(),
            calm: false,
            written: DefaultHasher::new(),
        }
    }

    fn plan(&mut self, after: Millis, action: Action) {
        self.planned += 1;
        self.agenda.insert((self.now + after, self.planned), action);
    }

    fn live(&mut self) -> Result<Counts, String> {
        self.restart()?;
        let trouble = self.dice.between(2_000, 9_000);
        for who in 0..USERS {
            let after = self.dice.below(500);
            self.plan(after, Action::Dial(who));
            self.plan(after + 1, Action::Act(who, Intent::Stroll));
            let after = self.dice.between(300, 4_000);
            self.plan(after, Action::Cut(who));
        }
        let after = self.dice.between(300, 4_000);
        self.plan(after, Action::Crash);
        let after = trouble + self.dice.below(3_000);
        self.plan(after, Action::Dial(LATE));
        for who in MEMBERS.chain([EAR]) {
            self.plan(0, Action::Dial(who));
            let after = self.dice.between(300, 4_000);
            self.plan(after, Action::Cut(who));
        }
        if self.has_clock_steps {
            let after = self.clock_dice.between(200, 2_500);
            self.plan(after, Action::SetClock);
        }
        self.pass(DAWN + trouble)?;
        self.calm = true;
        self.store.heal();
        self.plan(6_000, Action::Act(0, Intent::Open));
        for who in 0..USERS {
            self.plan(9_000, Action::Act(who, Intent::Greet));
        }
        self.pass(DAWN + trouble + CALM_MS)?;
        self.everything_has_ended()?;
        self.readers_give_up();
        let mut counts = check::check(&self.history)?;
        linear::check(&self.history)?;
        self.everybody_leaves()?;
        let images: Vec<MemoryStore> = self.store.images().collect();
        self.every_image_is_a_start(&images)?;
        counts.extend(self.damage_is_never_a_loss_in_silence(&images)?);
        Ok(counts)
    }

    fn pass(&mut self, until: Millis) -> Outcome {
        loop {
            let (now, due) = (
                self.now,
                self.agenda.keys().next().map_or(Millis::MAX, |(at, _)| *at),
            );
            let wakes = self.gateway.as_ref().and_then(|up| {
                let sealing = match up.desk.wants_sealing(now) {
                    _ if up.syncing.is_some() => None,
                    Sealing::Now => Some(now),
                    Sealing::At(at) => Some(at),
                    Sealing::Never => None,
                };
                sealing.into_iter().chain(up.desk.poll_timeout()).min()
            });
            let wakes = wakes.map_or(Millis::MAX, |at| at.max(now));
            if due.min(wakes) >= until {
                break;
            }
            if wakes <= due {
                self.now = wakes;
                self.tick();
                continue;
            }
            let ((at, _), action) = self.agenda.pop_first().expect("something is planned");
            self.now = at.max(self.now);
            self.happen(action)?;
        }
        self.now = until;
        Ok(())
    }

    /// Whatever is due at the desk.
    fn tick(&mut self) {
        let now = self.now;
        let Some(up) = &mut self.gateway else {
            return;
        };
        up.desk.tick(now);
        self.seal();
    }

    fn happen(&mut self, action: Action) -> Outcome {
        match action {
            Action::Up(link, number, packet) => self.arrives(link, number, packet),
            Action::Down(link, number, packet) => self.delivers(link, number, packet),
            Action::Notice(link) => self.notices(link),
            Action::Dial(who) => self.dial(who),
            Action::Act(_, Intent::Read) => self.send_reader(),
            Action::Act(who, Intent::HangUp) => self.hang_up(who),
            Action::Act(who, intent) => self.act(who, intent),
            Action::Cut(who) => self.cut(who),
            Action::Synced(start) if start == self.starts => return self.synced(),
            Action::Synced(_) => {}
            Action::Crash => self.crash(),
            Action::Restart => return self.restart(),
            Action::SetClock => self.set_clock(),
        }
        Ok(())
    }

    fn arrives(&mut self, link: LinkId, number: u64, packet: Up) {
        let now = self.now;
        let (Some(known), Some(up)) = (self.links.get_mut(&link), &mut self.gateway) else {
            return self.refuse(link);
        };
        if !known.up.arrives(number) {
            return;
        }
        let user = &self.users[known.who].client;
        if let Up::Connect(will) = packet {
            let (seat, request) = Seat::open(link, &user.name, user.clean, will.as_deref());
            up.seats.insert(link, seat);
            up.desk.handle(now, request);
        } else if let Some(seat) = up.seats.get_mut(&link) {
            let leaves = matches!(packet, Up::Disconnect(_));
            if let Some(request) = seat.request(now, packet) {
                up.desk.handle(now, request);
            }
            if leaves {
                up.seats.remove(&link);
            }
        } else {
            return self.refuse(link);
        }
        up.desk.tick(now);
        if up.desk.is_stalled() {
            up.desk.release_non_durable_pending();
        }
        self.pump();
        self.seal();
    }

    /// Nobody is there, or not any more: the client is told in the end.
    fn refuse(&mut self, link: LinkId) {
        let Some(known) = self.links.get_mut(&link) else {
            return;
        };
        let (number, at) = known.down.send(self.now + 20);
        self.plan(at - self.now, Action::Down(link, number, Down::End));
    }

    fn notices(&mut self, link: LinkId) {
        let now = self.now;
        if let Some(up) = &mut self.gateway
            && let Some(seat) = up.seats.remove(&link)
        {
            up.desk.handle(now, seat.close(true, None));
            self.tell("gateway", What::Noticed { link });
        }
        self.seal();
    }

    /// Writes down what somebody did or was told.
    fn tell(&mut self, who: &str, what: What) {
        let (at, who) = (self.now, who.to_owned());
        self.history.push(Event { at, who, what });
    }

    /// Lets out what a commit justifies. Nobody here listens to the live plane, but who reads a
    /// failure wants to know of events.
    fn release(&mut self, releases: Vec<Release>) {
        for release in releases {
            match release {
                // A session that is gone needs no answer.
                Release::Respond(connection, response)
                | Release::NonDurable(connection, response) => {
                    drop(connection.responses.send(response));
                }
                Release::Broadcast(message) if message.topic().contains("/observe/") => {
                    self.events.push((self.now, message));
                }
                Release::Broadcast(_) | Release::Published(_) | Release::Answer(_) => {}
            }
        }
    }

    /// What everybody did and was told, and the gateway's own events between.
    fn trace(&self) -> u64 {
        let mut trace = self.written.clone();
        for event in &self.history {
            format!("{} {:?} {:?}", event.at, event.who, event.what).hash(&mut trace);
        }
        for (at, message) in &self.events {
            (at, message.topic(), message.payload()).hash(&mut trace);
        }
        trace.finish()
    }

    fn story(&self) -> Vec<String> {
        let told = self.history.iter().map(|event| {
            let words = format!("{:5} {:?}", event.who, event.what);
            (event.at, words)
        });
        let events = self.events.iter().map(|(at, message)| {
            let payload = message.payload();
            let words = format!("      {}", String::from_utf8_lossy(&payload));
            (*at, words)
        });
        let mut all: Vec<(Millis, String)> = told.chain(events).collect();
        all.sort_by_key(|(at, _)| *at);
        let skipped = all
            .len()
            .saturating_sub(number("HALLWARD_SIM_TAIL").unwrap_or(TAIL));
        let lines = all.drain(skipped..);
        lines
            .map(|(at, words)| format!("{} {words}", at - DAWN))
            .collect()
    }

    /// What the desk has for connections goes on its way.
    fn pump(&mut self) {
        let Some(up) = &mut self.gateway else {
            return;
        };
        let mut packets = Vec::new();
        for (link, seat) in &mut up.seats {
            packets.extend(seat.packets().into_iter().map(|packet| (*link, packet)));
        }
        for (link, packet) in packets {
            if matches!(packet, Down::End)
                && let Some(up) = &mut self.gateway
            {
                up.seats.remove(&link);
            }
            let delay = self.dice.weighted(&[(80, 3), (15, 20), (5, 150)]);
            let at = self.now + self.dice.below(delay);
            if let Some(known) = self.links.get_mut(&link) {
                let (number, at) = known.down.send(at);
                self.plan(at - self.now, Action::Down(link, number, packet));
            }
        }
    }

    /// Gives a batch to the disk if one is due and the disk is free.
    fn seal(&mut self) {
        let now = self.now;
        let Some(up) = &mut self.gateway else {
            return;
        };
        if up.syncing.is_some() || up.desk.wants_sealing(now) != Sealing::Now {
            return;
        }
        up.syncing = Some(up.desk.seal(now));
        if !self.calm && self.dice.percent(2) {
            let times = usize::try_from(self.dice.between(1, 4)).expect("few");
            let path = "disk".into();
            self.store.fail_next(times, StoreError::Full { path });
        }
        let takes = self.dice.weighted(&[(70, 2), (25, 10), (5, 60)]);
        let takes = self.dice.below(takes);
        self.plan(takes, Action::Synced(self.starts));
    }

    fn synced(&mut self) -> Outcome {
        let Some(up) = &mut self.gateway else {
            return Ok(());
        };
        let Some(mut pending) = up.syncing.take() else {
            return Ok(());
        };
        if !commit(&mut self.store, &mut self.written, &pending.records) {
            // It tries again, and takes requests meanwhile: those who need no disk go on.
            up.desk.disk_stalls(self.now, true);
            up.desk.release_non_durable(&mut pending.releases);
            up.desk.release_non_durable_pending();
            up.syncing = Some(pending);
            self.plan(5, Action::Synced(self.starts));
            self.pump();
            return Ok(());
        }
        up.desk.disk_stalls(self.now, false);
        up.desk.committed(pending.number);
        self.release(pending.releases);
        self.pump();
        self.seal();
        Ok(())
    }
}
