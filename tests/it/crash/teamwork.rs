//! Actors that work together: dispatchers and workers, writers of the blackboard, requesters and
//! approvers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hallward::wire::approve::{Decision, PendingApproval};
use hallward::wire::blackboard::Entry;
use hallward::wire::handoff::{Assignment, TaskResult};
use hallward::wire::reply::{Reply, ReplyStatus};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::history::What;
use super::peer::{Heard, Peer};
use super::world::World;
use crate::harness::{Connect, Publish};

/// Tasks or approvals that wait for their outcome at once.
const OPEN: usize = 4;
/// How the id of a key's last write ends.
pub(super) const END: &str = "end";
/// The key that every writer writes to.
pub(super) const SHARED: &str = "shared";
const OWN: &str = "own";

fn read<T: DeserializeOwned>(peer: &Peer, message: &Publish) -> Option<T> {
    let read = serde_json::from_slice(&message.payload);
    if let Err(error) = &read {
        let words = format!("{} carries {}: {error}", message.topic, message.text());
        peer.record(&message.topic, 0, What::Wrong(words));
    }
    read.ok()
}

/// Dispatches tasks and waits for the final result of each.
pub(super) fn dispatcher(world: &Arc<World>, connect: Connect, qos: u8) {
    let name = connect.client_id.clone();
    let results = format!("rooms/crash/handoff/result/{name}");
    let replies = format!("rooms/crash/reply/{name}");
    let mut peer = Peer::new(world, connect)
        .listening(&[(results.as_str(), qos), (replies.as_str(), 1)])
        .cutting(20);
    peer.settle();
    let mut open = BTreeSet::new();
    let mut count = 0;
    while !world.stopping() || !open.is_empty() || peer.in_flight() > 0 {
        while open.len() < OPEN && !world.stopping() {
            count += 1;
            let id = format!("{name}-{count}");
            let task = json!({
                "id": id, "type": "job", "payload": {"n": count}, "maxAttempts": 100,
                "backoff": {"initialMs": 5, "factor": 1.0, "maxMs": 5}
            });
            peer.command(
                &format!("handoff/dispatch/{name}"),
                &task,
                &format!("task/{id}"),
            );
            open.insert(id);
        }
        match peer.next() {
            Heard::Message(message) if message.topic == results => {
                if let Some(task) = result(&peer, &message) {
                    open.remove(&task);
                }
            }
            Heard::Message(message) => refused(&peer, &message),
            Heard::Acked => {}
            Heard::Over => return,
        }
    }
    fence(&mut peer, |peer, message| {
        if message.topic == results {
            result(peer, message);
        }
    });
}

fn result(peer: &Peer, message: &Publish) -> Option<String> {
    let result: TaskResult = read(peer, message)?;
    let task = result.task.as_str().to_owned();
    if result.is_final {
        let worker = result
            .worker
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let what = What::Result {
            worker,
            attempts: result.attempts,
            outcome: format!("{:?} {:?} at {}", result.status, result.result, result.at),
            delivery: peer.delivery(message),
        };
        peer.record(&format!("task/{task}"), 0, what);
    }
    Some(task)
}

/// Replies that say no to a command which nothing was wrong with.
fn refused(peer: &Peer, message: &Publish) {
    if let Some(reply) = read::<Reply>(peer, message)
        && reply.status == ReplyStatus::Rejected
    {
        peer.record(&reply.command.clone(), 0, What::Wrong(format!("{reply:?}")));
    }
}

/// Asks a question: mailboxes are in order, so after its answer nothing older can come.
fn fence(peer: &mut Peer, mut hear: impl FnMut(&Peer, &Publish)) {
    let name = peer.name.clone();
    let correlation = format!("{name}-fence");
    let body = json!({"prefix": "no.such.key", "correlationId": correlation});
    peer.command(&format!("blackboard/get/{name}"), &body, "fence");
    loop {
        match peer.next() {
            Heard::Message(message) if message.text().contains(&correlation) => return,
            Heard::Message(message) => hear(peer, &message),
            Heard::Acked => {}
            Heard::Over => return,
        }
    }
}

/// Does every task that it is given; fails some at their first attempt.
pub(super) fn worker(world: &Arc<World>, connect: Connect, qos: u8, cuts: u32) {
    let name = connect.client_id.clone();
    let mut peer = Peer::new(world, connect)
        .listening(&[("rooms/crash/handoff/work/job", qos)])
        .cutting(cuts);
    peer.settle();
    let mut seen = BTreeSet::new();
    loop {
        match peer.next() {
            Heard::Message(message) => {
                let Some(assignment) = read::<Assignment>(&peer, &message) else {
                    continue;
                };
                let attempt = (assignment.task.as_str().to_owned(), assignment.attempt);
                if seen.insert(attempt) {
                    work(&mut peer, &name, &assignment);
                }
            }
            Heard::Acked => {}
            Heard::Over => return,
        }
    }
}

fn work(peer: &mut Peer, name: &str, assignment: &Assignment) {
    let (task, attempt) = (assignment.task.as_str(), assignment.attempt);
    let mut update = json!({"task": task, "attempt": attempt, "id": format!("{task}.{attempt}")});
    if attempt == 1 && peer.pick(8) == 0 {
        update["status"] = json!("error");
        update["error"] = json!({"message": "on purpose"});
    } else {
        update["status"] = json!("success");
        update["result"] = json!({"by": name, "attempt": attempt});
        peer.record(&format!("task/{task}"), 0, What::Finished { attempt });
    }
    peer.command(
        &format!("handoff/update/{name}"),
        &update,
        &format!("update/{task}.{attempt}"),
    );
}

/// Writes to a key that all share and to one of its own, always on the version that it knows.
pub(super) fn writer(world: &Arc<World>, connect: Connect) {
    let name = connect.client_id.clone();
    let replies = format!("rooms/crash/reply/{name}");
    let mut peer = Peer::new(world, connect)
        .listening(&[(replies.as_str(), 1)])
        .cutting(20);
    peer.settle();
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = 0;
    loop {
        let last = world.stopping();
        count += 1;
        let id = match peer.pick(2) {
            _ if last => format!("{name}.{OWN}.{END}"),
            0 => format!("{name}.{OWN}.{count}"),
            _ => format!("{name}.{SHARED}.{count}"),
        };
        let key = key_of(&id);
        let version = versions.get(&key).copied().unwrap_or_default();
        let Some(now) = write(&mut peer, &key, &id, version) else {
            return;
        };
        versions.insert(key, now);
        if last {
            return;
        }
    }
}

/// The key that a command writes to: its id says so, and so its reply does.
fn key_of(id: &str) -> String {
    match id.split('.').collect::<Vec<_>>().as_slice() {
        [name, kind, _] if *kind == OWN => format!("{OWN}/{name}"),
        _ => SHARED.to_owned(),
    }
}

/// Writes once, and returns the version that the key has then.
fn write(peer: &mut Peer, key: &str, id: &str, version: u64) -> Option<u64> {
    let body = json!({"value": {"id": id}, "ifVersion": version, "id": id, "correlationId": id});
    let topic = format!("blackboard/set/{}/{key}", peer.name);
    peer.command(&topic, &body, &format!("write/{id}"));
    let (mut acked, mut now) = (false, None);
    while !acked || now.is_none() {
        match peer.next() {
            Heard::Acked => acked = true,
            Heard::Message(message) => {
                let Some(reply) = read::<Reply>(peer, &message) else {
                    continue;
                };
                let known = written(peer, &reply);
                if reply.correlation_id.as_deref() == Some(id) {
                    now = now.or(known);
                }
            }
            Heard::Over => return None,
        }
    }
    now
}

/// The version that the key has after this reply.
fn written(peer: &Peer, reply: &Reply) -> Option<u64> {
    let id = reply.correlation_id.clone().unwrap_or_default();
    let key = key_of(&id);
    match (reply.status, u16::from(reply.code), reply.version) {
        (ReplyStatus::Accepted, _, Some(version)) => {
            peer.record(&key, 0, What::Written { id, version });
            Some(version)
        }
        (ReplyStatus::Rejected, 409, _) => {
            Some(reply.current.as_ref().map_or(0, |current| current.version))
        }
        _ => {
            peer.record(&key, 0, What::Wrong(format!("{reply:?}")));
            None
        }
    }
}

/// Watches every version of every key, until it has seen the end of each.
pub(super) fn watcher(world: &Arc<World>, connect: Connect, qos: u8, cuts: u32, ends: usize) {
    const STATE: &str = "rooms/crash/blackboard/state/";
    let filter = format!("{STATE}#");
    let mut peer = Peer::new(world, connect)
        .listening(&[(filter.as_str(), qos)])
        .cutting(cuts);
    peer.settle();
    let mut ended = BTreeSet::new();
    while ended.len() < ends {
        match peer.next() {
            Heard::Message(message) => {
                let Some(entry) = read::<Entry>(&peer, &message) else {
                    continue;
                };
                let value: serde_json::Value =
                    serde_json::from_str(entry.value.text()).unwrap_or_default();
                let id = value["id"].as_str().unwrap_or_default().to_owned();
                if id.ends_with(END) {
                    ended.insert(entry.key.clone());
                }
                let version = entry.version;
                let delivery = peer.delivery(&message);
                peer.record(
                    entry.key.as_str(),
                    0,
                    What::Shown {
                        id,
                        version,
                        delivery,
                    },
                );
            }
            Heard::Acked => {}
            Heard::Over => return,
        }
    }
}

/// Asks for approvals and waits for the decision on each.
pub(super) fn requester(world: &Arc<World>, connect: Connect, qos: u8) {
    let name = connect.client_id.clone();
    let decisions = format!("rooms/crash/approve/decision/{name}");
    let replies = format!("rooms/crash/reply/{name}");
    let mut peer = Peer::new(world, connect)
        .listening(&[(decisions.as_str(), qos), (replies.as_str(), 1)])
        .cutting(20);
    peer.settle();
    let mut open = BTreeSet::new();
    let mut count = 0;
    while !world.stopping() || !open.is_empty() || peer.in_flight() > 0 {
        while open.len() < OPEN && !world.stopping() {
            count += 1;
            let id = format!("{name}-{count}");
            let request = json!({"id": id, "action": "go on", "content": {"n": count}});
            peer.command(
                &format!("approve/request/{name}"),
                &request,
                &format!("approval/{id}"),
            );
            open.insert(id);
        }
        match peer.next() {
            Heard::Message(message) if message.topic == decisions => {
                if let Some(id) = decision(&peer, &message) {
                    open.remove(&id);
                }
            }
            Heard::Message(message) => refused(&peer, &message),
            Heard::Acked => {}
            Heard::Over => return,
        }
    }
    fence(&mut peer, |peer, message| {
        if message.topic == decisions {
            decision(peer, message);
        }
    });
}

fn decision(peer: &Peer, message: &Publish) -> Option<String> {
    let decision: Decision = read(peer, message)?;
    let id = decision.id.as_str().to_owned();
    let what = What::Decision {
        by: decision.by.iter().map(ToString::to_string).collect(),
        approved: decision.approved,
        delivery: peer.delivery(message),
    };
    peer.record(&format!("approval/{id}"), 0, what);
    Some(id)
}

/// Decides whatever is pending, by the toss of a coin.
pub(super) fn approver(world: &Arc<World>, connect: Connect, cuts: u32) {
    let name = connect.client_id.clone();
    let mut peer = Peer::new(world, connect)
        .listening(&[("rooms/crash/approve/pending/+", 1)])
        .cutting(cuts);
    peer.settle();
    let mut seen = BTreeSet::new();
    loop {
        match peer.next() {
            Heard::Message(message) if message.payload.is_empty() => {}
            Heard::Message(message) => {
                let Some(pending) = read::<PendingApproval>(&peer, &message) else {
                    continue;
                };
                let id = pending.id.as_str();
                if !seen.insert(id.to_owned()) {
                    continue;
                }
                let approve = peer.pick(2) == 0;
                peer.record(&format!("approval/{id}"), 0, What::Voted { approve });
                let word = if approve { "approve" } else { "reject" };
                let body = json!({"decision": word, "digest": pending.digest, "id": format!("{name}.{id}")});
                peer.command(
                    &format!("approve/decide/{name}/{id}"),
                    &body,
                    &format!("vote/{name}.{id}"),
                );
            }
            Heard::Acked => {}
            Heard::Over => return,
        }
    }
}
