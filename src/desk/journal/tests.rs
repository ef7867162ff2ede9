//! The journal: what it keeps, gives back and trims.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::desk::RoomJournal;
use crate::engine::{EventLogError, Past};
use crate::ledger::MemoryStore;

const LIMITS: JournalLimits = JournalLimits {
    keep: true,
    retention_ms: 1_000,
    max_bytes_per_room: 10_000,
    max_bytes: 100_000,
    max_rooms: 100,
    max_read_bytes: 1_000_000,
    rooms: BTreeMap::new(),
};

fn room(name: &str) -> Room {
    Room::new(name).unwrap()
}

/// A journal with a disk, whose batches reach it when the test says so.
struct World {
    journal: Journal,
    limits: JournalLimits,
    store: MemoryStore,
    now: Millis,
    number: u64,
    sealed: VecDeque<(u64, Batch)>,
    /// Everything that was told, and how much of it would survive a crash.
    told: BTreeMap<Room, Vec<(u64, Millis)>>,
    safe: BTreeMap<Room, Vec<(u64, Millis)>>,
    on_the_way: VecDeque<BTreeMap<Room, Vec<(u64, Millis)>>>,
}

impl World {
    fn new(limits: JournalLimits) -> World {
        let store = MemoryStore::new();
        let mut journal = Journal::new(limits.clone());
        journal.recover(&store).unwrap();
        World {
            journal,
            limits,
            store,
            now: 1_000,
            number: 0,
            sealed: VecDeque::new(),
            told: BTreeMap::new(),
            safe: BTreeMap::new(),
            on_the_way: VecDeque::new(),
        }
    }

    fn tell(&mut self, name: &str) {
        let told = self.told.entry(room(name)).or_default();
        let seq = told.last().map_or(1, |(seq, _)| seq + 1);
        told.push((seq, self.now));
        let payload = format!("event {seq}");
        self.journal
            .append(&room(name), seq, self.now, "handoff", payload.as_bytes());
    }

    fn seal(&mut self) {
        self.number += 1;
        let mut batch = Batch::default();
        self.journal.seal(self.number, self.now, &mut batch);
        self.sealed.push_back((self.number, batch));
        self.on_the_way.push_back(self.told.clone());
    }

    /// The oldest sealed batch reaches the disk; the journal hears of it now or later.
    fn land(&mut self, known: bool) {
        let (Some((number, batch)), Some(safe)) =
            (self.sealed.pop_front(), self.on_the_way.pop_front())
        else {
            return;
        };
        self.store.commit(&batch).unwrap();
        self.safe = safe;
        if known {
            self.journal.committed(number);
        }
    }

    fn commit(&mut self) {
        self.seal();
        while !self.sealed.is_empty() {
            self.land(true);
        }
    }

    fn limit(&mut self, max_bytes_per_room: u64, max_bytes: u64, retention_ms: u64) {
        self.limits = JournalLimits {
            max_bytes_per_room,
            max_bytes,
            retention_ms,
            ..LIMITS
        };
        self.journal.set_limits(self.limits.clone());
    }

    fn crash(&mut self) {
        self.sealed.clear();
        self.on_the_way.clear();
        self.told = self.safe.clone();
        self.number = 0;
        self.journal = Journal::new(self.limits.clone());
        self.journal.recover(&self.store).unwrap();
    }

    fn read(&self, name: &str, from: u64) -> Vec<(u64, Millis)> {
        let mut read = Vec::new();
        let seen = &mut |event: crate::engine::Recalled<'_>| {
            assert_eq!(event.payload, format!("event {}", event.seq).as_bytes());
            assert_eq!(event.category, "handoff");
            read.push((event.seq, event.at));
            ControlFlow::Continue(())
        };
        self.journal.read(&room(name), from, seen).unwrap();
        read
    }

    /// What is kept is the newest of what was told, all of it, and nothing younger than the limits
    /// want is lost.
    fn check(&self) {
        let mut bytes = 0;
        for (name, told) in &self.told {
            let Some(kept) = self.journal.kept(name) else {
                continue;
            };
            bytes += self.journal.rooms[name].summary.bytes;
            let from = told.partition_point(|(seq, _)| *seq < kept.oldest);
            assert_eq!(self.read(name.as_str(), 0), told[from..], "{name}");
            assert_eq!(kept.newest, told.last().unwrap().0);
            let lost = told[..from].last().map_or(0, |(_, at)| *at);
            assert!(
                kept.lost_at >= lost && kept.lost_at <= told[from].1,
                "{name}"
            );
            for at in [0, 1_500, self.now, self.now + 1] {
                let near = self.journal.near(name, at).unwrap();
                let first = told[from..].iter().find(|(_, when)| *when >= at);
                assert!(first.is_none_or(|(seq, _)| near <= *seq), "{name} at {at}");
            }
        }
        assert_eq!(bytes, self.journal.stats().bytes);
    }
}

#[test]
fn what_is_on_its_way_to_the_disk_is_seen_in_its_place() {
    let mut world = World::new(LIMITS);
    world.tell("a");
    assert_eq!(world.read("a", 1), [(1, 1_000)], "the batch that fills");
    world.seal();
    world.tell("a");
    world.now = 1_010;
    world.tell("a");
    let all = [(1, 1_000), (2, 1_000), (3, 1_010)];
    assert_eq!(world.read("a", 1), all, "the batch that is being synced");
    world.land(false);
    assert_eq!(world.read("a", 1), all, "on disk, and nobody said so yet");
    world.journal.committed(1);
    world.commit();
    assert_eq!(world.read("a", 1), all);
    assert_eq!(world.read("a", 3), all[2..]);
    assert_eq!(world.read("a", 4), []);
    assert_eq!(world.read("b", 1), []);
    world.check();
}

#[test]
fn a_crash_takes_what_is_not_on_disk_and_its_numbers_are_used_again() {
    let mut world = World::new(LIMITS);
    world.tell("a");
    world.commit();
    world.tell("a");
    world.seal();
    world.crash();
    assert_eq!(world.read("a", 1), [(1, 1_000)]);
    world.tell("a");
    world.check();
}

#[test]
fn what_is_too_old_goes_and_is_said_to_be_lost() {
    let mut world = World::new(LIMITS);
    world.tell("a");
    world.commit();
    assert_eq!(world.journal.next_trim(), Some(2_000));
    world.now = 1_500;
    world.tell("a");
    world.commit();
    world.now = 2_000;
    world.commit();
    assert_eq!(world.read("a", 1), [(2, 1_500)]);
    assert_eq!(world.journal.kept(&room("a")).unwrap().lost_at, 1_000);
    assert_eq!(world.journal.next_trim(), Some(2_500));
    world.check();
    world.now = 2_500;
    world.commit();
    assert_eq!(world.journal.kept(&room("a")), None);
    assert!(world.store.is_empty(), "nothing is left of the room");
    assert_eq!(world.journal.stats().bytes, 0);
    assert_eq!(world.journal.next_trim(), None);
}

#[test]
fn the_oldest_events_of_all_rooms_make_room() {
    let limits = JournalLimits {
        max_rooms: 2,
        ..LIMITS
    };
    let mut world = World::new(limits);
    for name in ["a", "b", "c"] {
        world.now += 1;
        world.tell(name);
        world.commit();
    }
    assert_eq!(world.journal.kept(&room("a")), None);
    assert_eq!(world.journal.stats().rooms, 2);
}

#[test]
fn a_room_keeps_its_past_as_long_and_as_much_as_it_says() {
    let own = |retention_ms, max_bytes| RoomJournal {
        retention_ms,
        max_bytes,
    };
    let limits = JournalLimits {
        rooms: BTreeMap::from([
            (room("brief"), own(100, 10_000)),
            (room("long"), own(5_000, 10_000)),
            (room("small"), own(5_000, 150)),
        ]),
        ..LIMITS
    };
    let mut world = World::new(limits);
    for _ in 0..9 {
        world.tell("small");
        world.commit();
    }
    world.commit();
    assert!(world.journal.kept(&room("small")).unwrap().oldest > 5);
    for name in ["long", "common", "brief"] {
        world.tell(name);
        world.commit();
    }
    let begun = world.now;
    for (later, gone) in [(100, "brief"), (1_000, "common"), (5_000, "long")] {
        assert_eq!(world.journal.next_trim(), Some(begun + later), "{gone}");
        world.now = begun + later - 1;
        world.commit();
        assert!(world.journal.kept(&room(gone)).is_some(), "{gone}");
        world.now += 1;
        world.commit();
        assert!(world.journal.kept(&room(gone)).is_none(), "{gone}");
    }
    world.commit();
    assert_eq!(world.journal.next_trim(), None);
    assert!(world.store.is_empty());
}

#[test]
fn a_backlog_is_forgotten_in_portions() {
    let mut world = World::new(LIMITS);
    for _ in 0..150 {
        world.tell("a");
        world.commit();
    }
    world.now = 10_000;
    let mut left = Vec::new();
    while world.journal.next_trim().is_some_and(|at| at <= world.now) {
        world.seal();
        left.push(world.sealed[0].1.len());
        world.land(true);
    }
    assert_eq!(left, [65, 65, 23], "chunks, and the room's summary");
    assert!(world.store.is_empty());
}

#[test]
fn nothing_is_kept_where_nothing_is_to_be_kept() {
    let mut world = World::new(LIMITS);
    world.tell("a");
    world.commit();
    world.limits.keep = false;
    world.crash();
    world
        .journal
        .append(&room("a"), 2, world.now, "handoff", b"x");
    world.commit();
    assert!(world.store.is_empty(), "what was there goes, too");
}

#[test]
fn who_reads_too_much_at_once_comes_again() {
    let limits = JournalLimits {
        max_read_bytes: 10,
        ..LIMITS
    };
    let mut world = World::new(limits);
    for _ in 0..3 {
        world.tell("a");
        world.commit();
    }
    assert_eq!(world.read("a", 1).len(), 1, "a chunk at least");
    let nothing = &mut |_: crate::engine::Recalled<'_>| ControlFlow::Continue(());
    let refused = world.journal.read(&room("a"), 2, nothing);
    assert_eq!(refused, Err(EventLogError::Busy));
    world.commit();
    assert_eq!(world.read("a", 2).len(), 1);
}

#[test]
fn numbers_may_leave_some_out() {
    let mut world = World::new(LIMITS);
    world
        .journal
        .append(&room("a"), 5, 1_000, "handoff", b"event 5");
    world
        .journal
        .append(&room("a"), 9, 1_000, "handoff", b"event 9");
    world.commit();
    assert_eq!(world.read("a", 1), [(5, 1_000), (9, 1_000)]);
    assert_eq!(world.read("a", 6), [(9, 1_000)]);
    assert_eq!(world.journal.kept(&room("a")).unwrap().lost_at, 1_000);
}

#[derive(Debug, Clone)]
enum Step {
    Tell(&'static str, usize),
    Seal,
    Land(bool),
    Pass(u64),
    /// Other limits: bytes of a room, bytes of all, how long.
    Limit(u64, u64, u64),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (prop::sample::select(vec!["a", "b", "a-b"]), 1..20usize)
            .prop_map(|(name, times)| Step::Tell(name, times)),
        4 => Just(Step::Seal),
        4 => any::<bool>().prop_map(Step::Land),
        2 => (0..400u64).prop_map(Step::Pass),
        1 => (300..2_000u64, 600..3_000u64, 500..1_500u64)
            .prop_map(|(room, all, retention)| Step::Limit(room, all, retention)),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_past_is_what_was_told_without_a_gap(
        steps in prop::collection::vec(step(), 1..120),
        max_bytes_per_room in 300..2_000u64,
        max_bytes in 600..3_000u64,
    ) {
        let mut world = World::new(JournalLimits { max_bytes_per_room, max_bytes, ..LIMITS });
        for step in steps {
            match step {
                Step::Tell(name, times) => (0..times).for_each(|_| world.tell(name)),
                Step::Seal => world.seal(),
                Step::Land(known) => world.land(known),
                Step::Pass(ms) => world.now += ms,
                Step::Limit(room, all, retention) => world.limit(room, all, retention),
                Step::Crash => world.crash(),
            }
            world.check();
        }
        // All of it reaches the disk, and a moment later the limits hold.
        world.commit();
        world.now += 1_000;
        world.commit();
        world.commit();
        world.check();
        let stats = world.journal.stats();
        let limits = &world.limits;
        prop_assert!(stats.bytes <= limits.max_bytes, "{stats:?}");
        for log in world.journal.rooms.values() {
            prop_assert!(log.summary.bytes <= limits.max_bytes_per_room);
            prop_assert!(log.summary.oldest_at + limits.retention_ms > world.now);
        }
    }
}
