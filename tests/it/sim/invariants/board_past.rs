//! The blackboard's past: what is told of it is what was, and what cannot be known is refused.

use std::collections::BTreeMap;

use hallward::wire::blackboard::{Entry, Get, GetHistory, History, KeyPage, ListKeys, Version};
use hallward::wire::name::{Agent, Key, Room};
use hallward::wire::reply::Code;

use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::board::Past;
use super::blackboard::{entries_of, is_under};
use super::{Check, ensure};

/// Blackboard: a snapshot of a revision shows every key as it was then, or is refused because too
/// much was forgotten.
pub(super) fn snapshots(
    model: &Model,
    step: &Step,
    room: &Room,
    get: &Get,
    revision: u64,
) -> Check {
    let board = model.board(room);
    let under = |key: &Key| is_under(key, get.prefix.as_ref());
    let mut told = BTreeMap::new();
    let mut is_forgotten = revision > board.revision || revision < board.forgotten_until;
    for (key, past) in board.past.iter().filter(|(key, _)| under(key)) {
        let then = past.iter().rposition(|past| past.revision <= revision);
        let reaches = past.len() - model.rules.kept_versions.min(past.len());
        is_forgotten |= match then {
            Some(then) => then < reaches,
            None => reaches > 0,
        };
        let entry = then.and_then(|then| past[then].entry.clone());
        told.extend(entry.map(|entry| (key.clone(), entry)));
    }
    let from = &step.command().expect("a question").from;
    let reply = step.replies_to(from).pop().map(|(_, reply)| reply);
    let reply = reply.ok_or("a get got no reply")?;
    match step.refusal() {
        Some(Code::NotFound) => ensure!(
            is_forgotten,
            "revision {revision} is known, and refused: {reply:?}"
        ),
        Some(code) => return Err(format!("a get was refused with {code:?}")),
        None => {
            ensure!(
                !is_forgotten,
                "revision {revision} is told, and cannot be known: there were {}",
                board.revision
            );
            let (shown_at, shown): (u64, BTreeMap<Key, Entry>) = entries_of(&reply)?;
            ensure!(
                shown_at == revision && model.tells(room, from, &shown, &told),
                "revision {revision} shows {shown:?} of {shown_at}, expected {told:?}"
            );
        }
    }
    Ok(())
}

/// Blackboard: a key's history is what was written, in order, deletes among it.
pub(super) fn histories(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a question");
    let get: GetHistory = read(&command.payload);
    let board = model.board(room);
    let past = board.past.get(&get.key).map_or(&[][..], Vec::as_slice);
    let refusal = step.refusal();
    if refusal.is_some() || past.is_empty() {
        ensure!(
            refusal == Some(Code::NotFound) && past.is_empty(),
            "a history got {refusal:?}, and there is {past:?}"
        );
        return Ok(());
    }
    let reply = step.replies_to(&command.from).pop();
    let data = reply
        .and_then(|(_, reply)| reply.data)
        .ok_or("a history got no data")?;
    let history: History = read(data.text().as_bytes());
    let most = get
        .limit
        .map_or(usize::MAX, |limit| usize::try_from(limit).expect("small"));
    let first = past.len() - past.len().min(most).min(model.rules.kept_versions);
    let agree = past.len() - first == history.versions.len()
        && past[first..]
            .iter()
            .zip(&history.versions)
            .all(|(past, told)| is_told(model, room, &command.from, past, told));
    ensure!(
        history.key == get.key && agree,
        "the history is told as {history:?}, expected {past:?}"
    );
    Ok(())
}

fn is_told(model: &Model, room: &Room, reader: &Agent, past: &Past, told: &Version) -> bool {
    let entry = past.entry.as_ref();
    told.version == past.version
        && told.revision == past.revision
        && told.deleted == entry.is_none()
        && model.tells(
            room,
            reader,
            &told.value.as_ref(),
            &entry.map(|entry| &entry.value),
        )
        && told.expires_at == entry.and_then(|entry| entry.expires_at)
        && entry.is_none_or(|entry| {
            (entry.updated_at, &entry.updated_by) == (told.updated_at, &told.updated_by)
        })
}

/// Blackboard: a list has the keys that have a value, in order, from behind its cursor on, and says
/// whether there are more.
pub(super) fn lists(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a question");
    let asked: ListKeys = read(&command.payload);
    if step.refusal() == Some(Code::TooMany) && step.free_of(&command.from) == 0 {
        return Ok(());
    }
    ensure!(step.verdict.is_ok(), "a list got {:?}", step.verdict);
    let reply = step.replies_to(&command.from).pop();
    let data = reply.and_then(|(_, reply)| reply.data);
    let page: KeyPage = read(data.as_ref().map_or(b"", |data| data.text().as_bytes()));
    let board = model.board(room);
    let is_meant = |key: &Key| {
        is_under(key, asked.prefix.as_ref())
            && asked
                .cursor
                .as_deref()
                .is_none_or(|after| key.as_str() > after)
    };
    let all: Vec<&Key> = board.entries.keys().filter(|key| is_meant(key)).collect();
    let limit = asked.limit.unwrap_or(100) as usize;
    let told: Vec<&Key> = page.keys.iter().map(|line| &line.key).collect();
    ensure!(
        told == all[..limit.min(all.len())] && page.cursor.is_some() == (all.len() > limit),
        "asked {asked:?}, expected {all:?}, got {page:?}"
    );
    let are_right = page.keys.iter().all(|line| {
        let entry = &board.entries[&line.key];
        (line.version, line.updated_at, line.expires_at)
            == (entry.version, entry.updated_at, entry.expires_at)
    });
    ensure!(
        are_right && page.revision == board.revision,
        "{page:?} is not what stands: {:?}",
        board.entries
    );
    Ok(())
}
