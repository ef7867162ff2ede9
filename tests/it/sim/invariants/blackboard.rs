//! Blackboard: every key is a register that all writers see alike.

use std::collections::BTreeMap;

use bytes::Bytes;
use hallward::engine::Effect;
use hallward::wire::blackboard::{Delete, Entry, Get, Set, Snapshot};
use hallward::wire::json;
use hallward::wire::name::{Key, Room};
use hallward::wire::reply::{Code, Reply};
use hallward::wire::topic::{RoomTopic, Topic};
use serde_json::Value;

use super::super::durable::{Durable, ROOT};
use super::super::history::{Step, read};
use super::super::model::Model;
use super::{Check, board_past, ensure, locks, txn};

/// Blackboard: `ifVersion` is honoured (0 means absent), a mismatch is 409 with the current entry,
/// anything else well-formed is taken.
pub(super) fn sets(model: &Model, step: &Step, room: &Room, key: &Key) -> Check {
    let command = step.command().expect("a write");
    let Ok(set) = json::decode::<Set>(&command.payload) else {
        return malformed(step);
    };
    if locks::fences(model, step, room, set.fence.as_ref())? {
        return Ok(());
    }
    let board = model.board(room);
    conditional(model, step, room, key, set.if_version, true)?;
    if step.verdict.is_ok()
        && let Some((_, reply)) = step.replies_to(&command.from).pop()
    {
        let version = board.next_version(key);
        ensure!(
            reply.version == Some(version) && reply.revision == Some(board.revision + 1),
            "{key} becomes version {version} after revision {}, the reply says {reply:?}",
            board.revision
        );
    }
    Ok(())
}

/// Blackboard: the same for a delete; what is absent cannot be deleted, or need not be.
pub(super) fn deletes(model: &Model, step: &Step, room: &Room, key: &Key) -> Check {
    let command = step.command().expect("a delete");
    let delete = if command.payload.is_empty() {
        Delete::default()
    } else {
        read(&command.payload)
    };
    if locks::fences(model, step, room, delete.fence.as_ref())? {
        return Ok(());
    }
    conditional(model, step, room, key, delete.if_version, false)
}

fn conditional(
    model: &Model,
    step: &Step,
    room: &Room,
    key: &Key,
    if_version: Option<u64>,
    is_set: bool,
) -> Check {
    let board = model.board(room);
    let current = board.version(key);
    let matches = if_version.is_none_or(|version| version == current);
    match step.refusal() {
        None => ensure!(
            matches,
            "{key} is at version {current} and was written on condition of {if_version:?}"
        ),
        Some(Code::Conflict) => {
            ensure!(
                !matches,
                "{key} is at version {current}: no conflict with {if_version:?}"
            );
            conflict_shows_the_entry(model, step, room, key)?;
        }
        Some(Code::NotFound) => ensure!(!is_set && current == 0, "{key} is there: no 404"),
        Some(code) => return Err(format!("a write of {key} was refused with {code:?}")),
    }
    Ok(())
}

fn conflict_shows_the_entry(model: &Model, step: &Step, room: &Room, key: &Key) -> Check {
    let from = &step.command().expect("a write").from;
    let shown = step.replies_to(from).pop().and_then(|(_, r)| r.current);
    ensure!(
        model.tells(
            room,
            from,
            &shown.as_ref(),
            &model.board(room).entries.get(key)
        ),
        "a conflict on {key} shows {shown:?}, not the current entry"
    );
    Ok(())
}

fn malformed(step: &Step) -> Check {
    ensure!(
        step.refusal() == Some(Code::Malformed),
        "what is no JSON object got {:?}",
        step.verdict
    );
    Ok(())
}

/// Blackboard: versions of a key are 1, 2, 3 … across deletes and crashes, revisions of a room only
/// grow, and an entry says what was written, by whom and when.
pub(super) fn entries(
    model: &Model,
    step: &Step,
    room: &Room,
    key: &Key,
    payload: Option<&Bytes>,
) -> Check {
    let board = model.board(room);
    let Some(payload) = payload else {
        return removals(model, step, room, key);
    };
    let entry: Entry = read(payload);
    let Some(set) = txn::wanted(step, room, key) else {
        return Err(format!("{key} was written by nobody: {entry:?}"));
    };
    let command = step.command().expect("a write");
    let is_txn = matches!(command.topic.topic, Topic::BlackboardTxn { .. });
    ensure!(
        entry.version == board.next_version(key),
        "{key} goes from version {} to {}",
        board.next_version(key) - 1,
        entry.version
    );
    ensure!(
        entry.revision == board.revision + 1 || (is_txn && entry.revision == board.revision),
        "revision {} follows {}",
        entry.revision,
        board.revision
    );
    ensure!(
        entry.key == *key
            && entry.updated_by == command.from
            && entry.updated_at == step.now
            && entry.expires_at
                == set
                    .ttl_ms
                    .or(command.mirrors.ttl_ms)
                    .map(|ttl| step.now + ttl),
        "an entry that says another key, writer or time: {entry:?}"
    );
    value_is_the_writers(model, room, &set, &entry)
}

fn value_is_the_writers(model: &Model, room: &Room, set: &Set, entry: &Entry) -> Check {
    let board = model.board(room);
    if !set.merge {
        ensure!(
            model.shows(room, &entry.value, &set.value),
            "{:?} was written, {:?} is there",
            set.value,
            entry.value
        );
        return Ok(());
    }
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let before = board.entries.get(&entry.key);
    let before = before.map_or(Value::Null, |entry| parse(entry.value.text()));
    let patch = parse(set.value.text());
    let now = parse(entry.value.text());
    let expected = merged(before, &patch);
    ensure!(now == expected, "merged to {now}, expected {expected}");
    Ok(())
}

/// RFC 7396, section 2.
fn merged(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut target = match target {
        Value::Object(target) => target,
        _ => serde_json::Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let old = target.remove(name).unwrap_or(Value::Null);
            target.insert(name.clone(), merged(old, value));
        }
    }
    Value::Object(target)
}

/// Blackboard: a key goes because somebody deletes it, because its time is up, or because the room
/// is closed.
fn removals(model: &Model, step: &Step, room: &Room, key: &Key) -> Check {
    let board = model.board(room);
    let is_closed = model.closed.contains_key(room);
    let deleted = step.verdict.is_ok() && txn::deletes(step, room, key);
    let lapsed = step.runs_timers() && board.is_lapsed(key, step.now);
    ensure!(
        board.entries.contains_key(key) && (deleted || lapsed || is_closed),
        "{key} went for no reason: {:?}",
        board.entries.get(key)
    );
    Ok(())
}

/// Blackboard: an accepted write is on `blackboard/state/{key}`, once.
pub(super) fn accepted_writes_are_seen(model: &Model, step: &Step) -> Check {
    let Some(command) = step.command().filter(|_| step.verdict.is_ok()) else {
        return Ok(());
    };
    let (key, is_set) = match &command.topic.topic {
        Topic::BlackboardSet { key, .. } => (key, true),
        Topic::BlackboardDelete { key, .. } => (key, false),
        _ => return Ok(()),
    };
    let told = step
        .effects
        .iter()
        .filter(|effect| {
            matches!(effect, Effect::Retain { topic, payload }
                if topic.topic == Topic::BlackboardState { key: key.clone() }
                    && payload.is_some() == is_set)
        })
        .count();
    let there = model.board(&command.topic.room).version(key) > 0;
    ensure!(
        there == is_set && (told == 1 || !is_set),
        "{key} was written and told {told} times; it is there: {there}"
    );
    Ok(())
}

/// Blackboard: a get is a consistent snapshot of the keys under a prefix.
pub(super) fn snapshots(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a question");
    let get: Get = read(&command.payload);
    if let Some(revision) = get.revision {
        return board_past::snapshots(model, step, room, &get, revision);
    }
    ensure!(
        step.verdict.is_ok(),
        "a get was refused: {:?}",
        step.verdict
    );
    let Some((_, reply)) = step.replies_to(&command.from).pop() else {
        return Err("a get got no reply".to_owned());
    };
    let board = model.board(room);
    let (revision, shown) = entries_of(&reply)?;
    ensure!(
        revision == board.revision,
        "a snapshot of revision {revision} after {}",
        board.revision
    );
    let mut expected: BTreeMap<Key, Entry> = board.entries.clone();
    expected.retain(|key, _| is_under(key, get.prefix.as_ref()));
    ensure!(
        model.tells(room, &command.from, &shown, &expected),
        "a snapshot shows {shown:?}, expected {expected:?}"
    );
    Ok(())
}

/// Whether a key is the prefix, or lies below it.
pub(super) fn is_under(key: &Key, prefix: Option<&Key>) -> bool {
    prefix.is_none_or(|prefix| {
        let rest = key.as_str().strip_prefix(prefix.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

pub(super) fn entries_of(reply: &Reply) -> Result<(u64, BTreeMap<Key, Entry>), String> {
    let data = reply.data.as_ref().ok_or("a get's reply has no data")?;
    let snapshot: Snapshot =
        serde_json::from_str(data.text()).map_err(|error| format!("{data:?}: {error}"))?;
    let entries = snapshot.entries.into_iter();
    let entries = entries.map(|entry| (entry.key.clone(), entry)).collect();
    Ok((snapshot.revision, entries))
}

/// Blackboard: who subscribes late has it all: the retained entries are the board, to the byte.
pub(super) fn retained_entries_are_the_board(model: &Model, durable: &Durable) -> Check {
    let mut retained = BTreeMap::new();
    for (topic, payload) in &durable.retained {
        if let Some(Ok(RoomTopic {
            room,
            topic: Topic::BlackboardState { key },
        })) = RoomTopic::parse(ROOT, topic)
        {
            retained.insert((room, key), read::<Entry>(payload));
        }
    }
    let mut expected = BTreeMap::new();
    for (room, board) in &model.boards {
        for (key, entry) in &board.entries {
            expected.insert((room.clone(), key.clone()), entry.clone());
        }
    }
    ensure!(
        retained == expected,
        "retained {retained:?}, expected {expected:?}"
    );
    Ok(())
}

/// Blackboard: a TTL deletes the key.
pub(super) fn lapsed_keys_are_gone(model: &Model) -> Check {
    for board in model.boards.values() {
        for key in board.entries.keys() {
            ensure!(
                !board.is_lapsed(key, model.ticked_at),
                "the time of {key} is up since before {}: {:?}",
                model.ticked_at,
                board.entries.get(key)
            );
        }
    }
    Ok(())
}
