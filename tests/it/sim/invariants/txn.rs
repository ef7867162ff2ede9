//! Transactions: all of it or nothing, as one revision, and linearizable: conditions are those of
//! the room as it was just before.

use hallward::wire::blackboard::{Op, OpKind, Set, Txn};
use hallward::wire::name::{Key, Room};
use hallward::wire::reply::Code;
use hallward::wire::topic::Topic;

use super::super::history::{Step, read};
use super::super::model::Model;
use super::super::model::board::Board;
use super::{Check, ensure, locks};

/// What a step's command would write to a key, if anything.
pub(super) fn wanted(step: &Step, room: &Room, key: &Key) -> Option<Set> {
    let command = step
        .command()
        .filter(|command| command.topic.room == *room)?;
    match &command.topic.topic {
        Topic::BlackboardSet { key: named, .. } if named == key => Some(read(&command.payload)),
        Topic::BlackboardTxn { .. } => {
            let txn: Txn = read(&command.payload);
            let op = txn
                .ops
                .into_iter()
                .find(|op| op.op == OpKind::Set && op.key == *key)?;
            Some(Set {
                value: op.value?,
                if_version: op.if_version,
                merge: op.merge,
                ttl_ms: op.ttl_ms,
                fence: None,
                id: None,
                correlation_id: None,
            })
        }
        _ => None,
    }
}

/// Whether a step's command deletes a key.
pub(super) fn deletes(step: &Step, room: &Room, key: &Key) -> bool {
    let command = step.command().filter(|command| command.topic.room == *room);
    command.is_some_and(|command| match &command.topic.topic {
        Topic::BlackboardDelete { key: named, .. } => named == key,
        Topic::BlackboardTxn { .. } => {
            let txn: Txn = read(&command.payload);
            txn.ops
                .iter()
                .any(|op| op.op == OpKind::Delete && op.key == *key)
        }
        _ => false,
    })
}

/// Blackboard: a transaction is taken if all its conditions hold, and else refused for the first
/// that does not.
pub(super) fn transactions(model: &Model, step: &Step, room: &Room) -> Check {
    let command = step.command().expect("a transaction");
    let txn: Txn = read(&command.payload);
    if locks::fences(model, step, room, txn.fence.as_ref())? {
        return Ok(());
    }
    let board = model.board(room);
    let faults = txn.ops.iter().map(|op| fault_of(board, op));
    let (fault, expected) = match faults.enumerate().find_map(|(at, code)| Some((at, code?))) {
        Some((at, code)) => (Some(at), Some(code)),
        None => (None, None),
    };
    ensure!(
        step.refusal() == expected,
        "a transaction got {:?}, expected {expected:?} for operation {fault:?}",
        step.verdict
    );
    let reply = step.replies_to(&command.from).pop().map(|(_, reply)| reply);
    let Some(reply) = reply else {
        return Ok(());
    };
    if let Some(at) = fault {
        let key = &txn.ops[at].key;
        ensure!(
            reply.path == Some(format!("ops[{at}]"))
                && model.tells(
                    room,
                    &command.from,
                    &reply.current.as_ref(),
                    &board.entries.get(key)
                ),
            "operation {at} is to blame, the reply says {reply:?}"
        );
        return Ok(());
    }
    let written = txn.ops.iter().filter(|op| op.op != OpKind::Check);
    let versions: Vec<(Key, u64)> = written
        .map(|op| {
            let version = match op.op {
                OpKind::Set => board.next_version(&op.key),
                _ => board.version(&op.key),
            };
            (op.key.clone(), version)
        })
        .collect();
    let told = reply.versions.iter();
    let told: Vec<_> = told
        .map(|written| (written.key.clone(), written.version))
        .collect();
    ensure!(
        told == versions && reply.revision == Some(board.revision + u64::from(!told.is_empty())),
        "{versions:?} is written after revision {}, the reply says {reply:?}",
        board.revision
    );
    one_revision(step, reply.revision)
}

fn fault_of(board: &Board, op: &Op) -> Option<Code> {
    let current = board.version(&op.key);
    if op.if_version.is_some_and(|version| version != current) {
        Some(Code::Conflict)
    } else if op.op == OpKind::Delete && current == 0 {
        Some(Code::NotFound)
    } else {
        None
    }
}

/// All that a transaction writes has the revision that its reply says.
fn one_revision(step: &Step, revision: Option<u64>) -> Check {
    let written = step
        .events()
        .filter(|event| matches!(event.what.as_str(), "blackboard.set" | "blackboard.deleted"));
    for event in written {
        let detail = event.detail.as_ref().map(|detail| detail.text());
        let detail: serde_json::Value = read(detail.unwrap_or("{}").as_bytes());
        ensure!(
            detail["revision"].as_u64() == revision,
            "a transaction of revision {revision:?} wrote {event:?}"
        );
    }
    Ok(())
}
