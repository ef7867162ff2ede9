//! Recovery: the state rebuilt from its records, after a restart.
//!
//! Nothing is decided again: what follows from the records (queues, timers, counts, promises) is
//! derived from them, and what takes time is left to the timers. Nobody is connected yet;
//! `Input::Recovered` says when the clock starts for those who were.

use std::collections::BTreeMap;

use crate::wire::name::Room;

use super::context::Context;
use super::dormant::Vacated;
use super::record::{RecordError, RecordProblem, agent_of_encoding, decode, ground_key, split};
use super::room::{RoomState, retention};

/// The rooms that the records tell of, which come in the order of their keys; what they say of all
/// rooms, and of rooms that nobody is in, goes where it belongs.
///
/// # Errors
/// If a record cannot be read, or half of a task is missing.
pub(super) fn rooms(
    cx: &mut Context,
    vacated: &mut Vacated,
    records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
) -> Result<BTreeMap<Room, RoomState>, RecordError> {
    let mut rooms = BTreeMap::new();
    for (key, value) in records {
        if key == ground_key() {
            let ground = decode(&value).map_err(|problem| RecordError {
                key: "the ground of all rooms".to_owned(),
                row: key.clone(),
                problem,
            })?;
            vacated.stand_on(ground);
            continue;
        }
        if let Some(agent) = agent_of_encoding(&key) {
            let spoken = decode(&value).map_err(|problem| RecordError {
                key: format!("the encoding of {agent}"),
                row: key.clone(),
                problem,
            })?;
            cx.encodings.restore(agent, spoken);
            continue;
        }
        let taken = match split(&key) {
            Some((room, tag, rest)) => take(cx, &mut rooms, room, (tag, rest), &value),
            None => Err(RecordProblem::Key),
        };
        taken.map_err(|problem| RecordError {
            key: String::from_utf8_lossy(&key).into_owned(),
            row: key.clone(),
            problem,
        })?;
    }
    for (name, room) in &mut rooms {
        room.restored().map_err(|half| RecordError {
            key: format!("{name} {}", half.name),
            row: half.row,
            problem: RecordProblem::Alone,
        })?;
        if room.is_vacant() {
            cx.timers.go_on(name);
            vacated.insert(
                name.clone(),
                room.head(),
                cx.settings.rooms.max_vacated_rooms,
            );
            continue;
        }
        cx.enter(name);
        retention::arm(room, cx);
    }
    rooms.retain(|_, room| !room.is_vacant());
    Ok(rooms)
}

fn take(
    cx: &mut Context,
    rooms: &mut BTreeMap<Room, RoomState>,
    name: Room,
    (tag, rest): (u8, &[u8]),
    value: &[u8],
) -> Result<(), RecordProblem> {
    let room = rooms.entry(name).or_insert_with_key(|name| {
        if !cx.may_exist(name) {
            cx.timers.halt(name);
        }
        RoomState::new(name.clone())
    });
    cx.enter(&room.core.name);
    room.restore(cx, tag, rest, value)
}
