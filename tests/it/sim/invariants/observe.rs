//! Observe: the event stream, and what the gateway remembers of it all.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use hallward::desk::Journal;
use hallward::engine::{Past, TaskCounts};
use hallward::wire::filter;
use hallward::wire::json;
use hallward::wire::name::Room;
use hallward::wire::observe::{Event, Replay, ReplayPage};
use hallward::wire::reply::Code;
use hallward::wire::topic::{RoomTopic, Topic};

use super::super::desk::Desk;
use super::super::durable::ROOT;
use super::super::history::{Step, read};
use super::super::model::Model;
use super::{Check, ensure};

/// Observe: the gateway numbers the events of a room without a gap, and a crash neither loses nor
/// repeats a number.
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

/// Observe: the journal has every event of a room from the oldest that it keeps on, as it was told,
/// and gives up the oldest first.
pub(super) fn the_journal_is_the_past(model: &Model, journal: &Journal) -> Check {
    for (room, past) in &model.past {
        let Some(kept) = journal.kept(room) else {
            continue;
        };
        let expected = past.iter().filter(|event| event.seq >= kept.oldest);
        let mut expected = expected.peekable();
        let mut wrong = None;
        let read = journal.read(room, 0, &mut |event| {
            let told = event.payload;
            if expected
                .next()
                .is_none_or(|event| json::encode(event) != told)
            {
                wrong = Some(String::from_utf8_lossy(told).into_owned());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        ensure!(read.is_ok(), "the past of {room} cannot be read: {read:?}");
        ensure!(wrong.is_none(), "the journal of {room} has {wrong:?}");
        ensure!(
            expected.peek().is_none(),
            "the journal of {room} lacks {:?}",
            expected.peek()
        );
    }
    Ok(())
}

/// Observe: a replay is the past, in order, from where it was asked for to where its cursor stands,
/// all that matches and nothing else.
pub(super) fn replays(model: &mut Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a replay is a command");
    if step.refusal() == Some(Code::TooMany) && step.free_of(&command.from) == 0 {
        return Ok(());
    }
    let member = model.people.member_of(room, &command.from);
    if step.refusal() == Some(Code::TooLarge) && member.is_some_and(|one| one.max_bytes().is_some())
    {
        return Ok(());
    }
    ensure!(
        step.verdict.is_ok(),
        "a replay was refused: {:?}",
        step.verdict
    );
    let Some((_, reply)) = step.replies_to(&command.from).pop() else {
        return Err("a replay without a reply".to_owned());
    };
    let data = reply.data.as_ref().map(|data| data.text().as_bytes());
    let page: ReplayPage = read(data.unwrap_or_default());
    let asked: Replay = read(&command.payload);
    let empty = Vec::new();
    let past = model.past.get(room).unwrap_or(&empty);
    let newest = past.last().map_or(0, |event| event.seq);
    ensure!(
        page.newest == newest,
        "the newest event is {newest}, a replay says {page:?}"
    );
    let first_of_time = |at| past.iter().find(|event| event.at >= at);
    let start = match (asked.from_seq, asked.since) {
        (Some(seq), _) => seq.max(1),
        (None, Some(at)) => first_of_time(at).map_or(newest + 1, |event| event.seq),
        (None, None) => page.oldest,
    };
    let lost = start < page.oldest;
    ensure!(
        !lost || !page.complete,
        "asked from {start}, a replay says that all is there: {page:?}"
    );
    ensure!(
        page.complete || start <= page.oldest,
        "all from {start} on is kept, a replay says otherwise: {page:?}"
    );
    let start = start.max(page.oldest);
    let filter = asked.filter.as_deref().unwrap_or("#");
    let expected: Vec<&Event> = past
        .iter()
        .filter(|event| (start..page.next).contains(&event.seq))
        .filter(|event| asked.until.is_none_or(|until| event.at < until))
        .filter(|event| filter::matches(filter, &topic_of(event)))
        .collect();
    ensure!(
        model
            .encodings
            .same(&command.from, &page.events.iter().collect(), &expected),
        "a replay of {asked:?} shows {:?}, expected {expected:?}",
        page.events
    );
    let limit = asked.limit.map_or(100, |limit| limit as usize);
    ensure!(page.events.len() <= limit, "more than {limit}: {page:?}");
    let next_is_too_late = past
        .iter()
        .find(|event| event.seq >= page.next)
        .is_none_or(|event| asked.until.is_some_and(|until| event.at >= until));
    ensure!(
        page.end == next_is_too_late || page.next < start,
        "whether it ends here: {page:?}"
    );
    model.tally.recalled += page.events.len() as u64;
    model.tally.not_recalled += u64::from(!page.complete);
    Ok(())
}

fn topic_of(event: &Event) -> String {
    let (category, _) = event.what.split_once('.').expect("pattern.transition");
    format!("observe/events/gateway/{category}")
}

/// Ground rule 6: when all has ended and the retention is over, no task and no approval is
/// remembered, a room without keys is vacated, and of records there is one for each room, for each
/// version of a key that is kept, and for each agent that asked to be spoken to otherwise.
pub(super) fn nothing_is_kept_for_ever(model: &Model, desk: &Desk) -> Check {
    let stats = desk.stats();
    let tasks: usize = TaskCounts::STATES
        .map(|state| stats.tasks.of(state))
        .iter()
        .sum();
    ensure!(
        tasks == 0
            && stats.pending_approvals == 0
            && stats.agents == 0
            && stats.tools == 0
            && stats.tool_calls == 0
            && stats.ended_calls == 0,
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
        records <= rooms.len() + versions + model.encodings.len(),
        "{records} records are left for {} rooms and {keys} keys: {:?}",
        rooms.len(),
        desk.durable
            .ledger
            .keys()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect::<Vec<_>>()
    );
    ensure!(
        desk.durable.past.is_empty() && desk.journal.stats().bytes == 0,
        "the journal keeps what is too old: {:?}",
        desk.journal.stats()
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
