//! Observe: the event stream, and what the gateway remembers of it all.

use std::collections::BTreeSet;

use hallward::engine::TaskCounts;
use hallward::wire::name::Room;
use hallward::wire::observe::Event;
use hallward::wire::topic::{RoomTopic, Topic};

use super::super::desk::Desk;
use super::super::durable::ROOT;
use super::super::history::Step;
use super::super::model::Model;
use super::{Check, ensure};

/// Observe: the gateway numbers the events of a room without a gap, and a crash neither loses nor repeats a number.
pub(super) fn events_have_no_gap(model: &Model, step: &Step, event: &Event) -> Check {
    let last = model.seqs.get(&event.room).copied().unwrap_or(0);
    ensure!(
        event.seq == last + 1,
        "event {} of {} follows {last}: {event:?}",
        event.seq,
        event.room
    );
    ensure!(
        event.at == step.now,
        "at {} an event says {}: {event:?}",
        step.now,
        event.at
    );
    Ok(())
}

/// Ground rule 6: when all has ended and the retention is over, no task and no approval is remembered, a room without keys is
/// vacated, and of records there is one for each room and for each version of a key that is kept.
pub(super) fn nothing_is_kept_for_ever(model: &Model, desk: &Desk) -> Check {
    let stats = desk.stats();
    let tasks: usize = TaskCounts::STATES
        .map(|state| stats.tasks.of(state))
        .iter()
        .sum();
    ensure!(
        tasks == 0 && stats.pending_approvals == 0 && stats.agents == 0,
        "long after the end the engine still counts {stats:?}"
    );
    let rooms: BTreeSet<_> = model.seqs.keys().collect();
    let keys_of = |room: &Room| {
        model
            .boards
            .get(room)
            .map_or(0, |board| board.entries.len())
    };
    let in_use = rooms.iter().filter(|&&room| keys_of(room) > 0);
    ensure!(
        stats.rooms == in_use.count() && stats.rooms + stats.vacated_rooms == rooms.len(),
        "rooms that hold nothing are still counted: {stats:?}"
    );
    let keys: usize = rooms.iter().map(|room| keys_of(room)).sum();
    let versions: usize = rooms
        .iter()
        .filter(|&&room| keys_of(room) > 0)
        .flat_map(|&room| model.boards[room].past.values())
        .map(|past| past.len().min(model.rules.kept_versions))
        .sum();
    let records = desk.durable.ledger.len();
    ensure!(
        records <= rooms.len() + versions,
        "{records} records are left for {} rooms and {keys} keys: {:?}",
        rooms.len(),
        desk.durable
            .ledger
            .keys()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect::<Vec<_>>()
    );
    for topic in desk.durable.retained.keys() {
        let parsed = RoomTopic::parse(ROOT, topic).and_then(Result::ok);
        let parsed = parsed.map(|parsed| parsed.topic);
        ensure!(
            matches!(parsed, Some(Topic::BlackboardState { .. })),
            "{topic} is still retained"
        );
    }
    Ok(())
}
