//! Groups: tasks that were fanned out together, and the one result that gathers them.
//!
//! A group is its dispatcher's, and is derived from its tasks: nothing else is recorded of it. Its
//! tasks are remembered, and count as unfinished, until it is gathered: when all of them are there
//! and have ended, when its dispatcher ends it, or when no further one came for as long as results
//! are kept. Only to end it early changes what happens to a task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::wire::Millis;
use crate::wire::handoff::{self, GroupEntry, GroupResult, GroupStatus};
use crate::wire::json::Json;
use crate::wire::mirror::MessageMirrors;
use crate::wire::name::Agent;
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{RoomTopic, Topic};

use super::records::TaskChange;
use crate::engine::effect::{Directed, DirectedKind, Effect};
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::recorded::Recorded;
use crate::engine::replies::{Call, between, text_at_most};
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Handoff;
use super::task::{Task, TaskStage};
use crate::engine::ids::TaskNo;

/// The group that a task is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct GroupTie {
    pub(super) name: Box<str>,
    size: u32,
}

/// Whose group, and its name.
type GroupKey = (Agent, Box<str>);

/// Tasks that wait to be gathered.
#[derive(Debug)]
struct Group {
    size: u32,
    /// In the order in which they were dispatched.
    members: Vec<TaskNo>,
    ended: usize,
    /// Bytes of results and errors that are kept for the group result.
    bytes: usize,
    /// When it is gathered though it is not complete; armed while all that are there have ended.
    until: Option<Millis>,
}

/// The groups of a room that have not been gathered.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<GroupKey, Group>);

/// The group that still waits for it.
fn group_of(task: &Task) -> Option<GroupKey> {
    let tie = task.body.ties.as_deref()?.group.as_ref()?;
    let key = || (task.body.dispatcher.clone(), tie.name.clone());
    (!task.status.gathered).then(key)
}

/// Whether it must be remembered for its group.
pub(super) fn is_gathered(task: &Task) -> bool {
    group_of(task).is_none()
}

impl Handoff {
    /// Checks the group that a new task asks for.
    pub(super) fn admit_group(
        &self,
        tx: &RoomTx<'_>,
        call: &Call<'_>,
        asked: &handoff::Task,
    ) -> Result<Option<GroupTie>, Rejection> {
        let settings = &tx.cx.settings;
        let refuse = |code, reason: String| Err(Rejection::new(code, reason).at("group"));
        let Some(name) = asked.group.as_deref() else {
            if asked.group_size.is_some() {
                let reason = "groupSize means nothing without group".to_owned();
                return refuse(Code::Invalid, reason);
            }
            return Ok(None);
        };
        text_at_most("group", Some(name), settings.commands.max_label.0)?;
        let key = (call.from().clone(), Box::from(name));
        let known = self.groups.0.get(&key);
        let Some(size) = asked.group_size.or(known.map(|group| group.size)) else {
            let reason = format!("groupSize must say how many tasks {name:?} has");
            return Err(Rejection::new(Code::Invalid, reason).at("groupSize"));
        };
        between(
            "groupSize",
            size.into(),
            1,
            settings.handoff.max_group_size.into(),
        )?;
        let name = Box::from(name);
        let tie = Some(GroupTie { name, size });
        let Some(group) = known else {
            let limit = settings.handoff.max_groups_per_room;
            if self.groups.0.len() >= limit {
                return refuse(Code::TooMany, format!("the room has its {limit} groups"));
            }
            if tx.cx.free_results_of(call.mailboxes, call.from()) < 2 {
                let reason = format!(
                    "what {} waits for has no room for a group: mailbox.max_results is reached",
                    call.from()
                );
                return refuse(Code::TooMany, reason).map_err(Rejection::of_own_backlog);
            }
            return Ok(tie);
        };
        if group.size != size {
            let reason = format!("the group has {} tasks, not {size}", group.size);
            return refuse(Code::Conflict, reason);
        }
        if group.members.len() >= size as usize {
            return refuse(Code::Conflict, format!("the group has its {size} tasks"));
        }
        Ok(tie)
    }

    /// A task is there, new or from its records.
    pub(super) fn join_group(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        let Some(task) = self.tasks.get(&no) else {
            return;
        };
        let Some(key) = group_of(task) else {
            return;
        };
        let tie = task
            .body
            .ties
            .as_deref()
            .and_then(|ties| ties.group.as_ref());
        let size = tie.map_or(0, |tie| tie.size);
        let dispatcher = key.0.clone();
        let group = self.groups.0.entry(key.clone()).or_insert_with(|| {
            tx.cx.reserve_result(&dispatcher);
            Group {
                size,
                members: Vec::new(),
                ended: 0,
                bytes: 0,
                until: None,
            }
        });
        group.members.push(no);
        if let TaskStage::Ended { .. } = task.status.stage {
            group.ended += 1;
            group.bytes += task.status.kept_bytes();
            self.payload_bytes += task.status.kept_bytes();
        }
        self.wait_for_group(tx, &key);
    }

    /// A task of a group has ended: what it came to is kept for the group result, as far as there
    /// is room.
    pub(super) fn ended_in_group(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, result: Option<Json>) {
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        let Some(key) = group_of(task) else {
            return;
        };
        let Some(group) = self.groups.0.get_mut(&key) else {
            return;
        };
        task.status.kept = result;
        let bytes = task.status.kept_bytes();
        let room = tx
            .cx
            .settings
            .handoff
            .max_group_result
            .0
            .saturating_sub(group.bytes);
        let in_room = tx.cx.settings.handoff.max_task_bytes_per_room.0;
        if bytes > room || self.payload_bytes + bytes > in_room {
            task.status.kept = None;
            task.status.omitted = true;
        } else {
            group.bytes += bytes;
            self.payload_bytes += bytes;
        }
        group.ended += 1;
        if group.ended == group.size as usize {
            self.gather(tx, &key);
        } else {
            self.wait_for_group(tx, &key);
        }
    }

    /// A dead task of a group lives again.
    pub(super) fn back_in_group(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        let Some(key) = group_of(task) else {
            return;
        };
        let bytes = task.status.kept_bytes();
        task.status.omitted = false;
        if let Some(group) = self.groups.0.get_mut(&key) {
            group.ended -= 1;
            group.bytes -= bytes;
            self.payload_bytes -= bytes;
        }
        self.wait_for_group(tx, &key);
    }

    /// Sees to it that a group of which everything that is there has ended does not wait for ever.
    fn wait_for_group(&mut self, tx: &mut RoomTx<'_>, key: &GroupKey) {
        let Some(group) = self.groups.0.get_mut(key) else {
            return;
        };
        let Some(first) = group.members.first() else {
            return;
        };
        let subject = || TimerSubject::Task(tx.room.name.clone(), *first);
        if let Some(until) = group.until.take() {
            tx.cx.timers.disarm(until, Timer::Group, subject());
        }
        if group.ended == group.members.len() {
            let until = tx.cx.after(tx.cx.settings.handoff.result_retention.ms());
            group.until = Some(until);
            tx.cx.timers.arm(until, Timer::Group, subject());
        }
    }

    /// Nothing came to a group for long enough: it is gathered as it is.
    pub(in crate::engine) fn group_over(&mut self, tx: &mut RoomTx<'_>, first: TaskNo) {
        let task = self.tasks.get(&first);
        if let Some(key) = task.and_then(|task| group_of(task)) {
            self.gather(tx, &key);
        }
    }

    /// Its dispatcher ends a group early: what has not ended is cancelled, and what there is is
    /// gathered.
    pub(super) fn cancel_group(
        &mut self,
        tx: &mut RoomTx<'_>,
        by: &Agent,
        name: &str,
        reason: Option<&str>,
    ) -> Result<(), Rejection> {
        let key = (by.clone(), Box::from(name));
        let Some(group) = self.groups.0.get(&key) else {
            let reason = format!("{by} has no group {name:?} that has not been gathered");
            return Err(Rejection::new(Code::NotFound, reason).at("group"));
        };
        let words = format!("its group {name} was cancelled by {by}");
        for no in group.members.clone() {
            let task = self.tasks.get(&no);
            if task.is_some_and(|task| !task.status.state().is_final()) {
                self.cancel_family(tx, no, by, Some(reason.unwrap_or(&words)));
            }
        }
        // Complete ones are gathered already.
        self.gather(tx, &key);
        Ok(())
    }

    /// Gathers the first group as it is; whether there was one.
    pub(in crate::engine) fn gather_first_group(&mut self, tx: &mut RoomTx<'_>) -> bool {
        let key = self.groups.0.keys().next().cloned();
        key.inspect(|key| self.gather(tx, key)).is_some()
    }

    /// Sends the one result of a group, and lets its tasks go.
    fn gather(&mut self, tx: &mut RoomTx<'_>, key: &GroupKey) {
        let Some(group) = self.groups.0.remove(key) else {
            return;
        };
        let first = group.members.first().copied().unwrap_or_default();
        if let Some(until) = group.until {
            let subject = TimerSubject::Task(tx.room.name.clone(), first);
            tx.cx.timers.disarm(until, Timer::Group, subject);
        }
        self.payload_bytes -= group.bytes;
        let members = group.members.iter().filter_map(|no| self.tasks.get(no));
        let gathered = GroupResult {
            group: key.1.to_string(),
            status: GroupStatus::Group,
            is_final: true,
            complete: group.members.len() == group.size as usize,
            size: group.size,
            tasks: members.filter_map(|task| entry(task)).collect(),
            at: tx.cx.now,
            too_large: None,
        };
        tx.cx.release_result(&key.0);
        let dispatcher = key.0.clone();
        let topic = Topic::HandoffResult { dispatcher };
        tx.cx.emit(Effect::Deliver(Directed {
            to: key.0.clone(),
            topic: RoomTopic::new(tx.room.name.clone(), topic),
            payload: tx.cx.wall.encode(&gathered),
            class: DirectedKind::Result,
            mirrors: MessageMirrors {
                expires_at: Some(tx.cx.after(tx.cx.settings.mailbox.result_ttl.ms())),
                ..MessageMirrors::default()
            },
        }));
        let gateway = tx.cx.gateway.clone();
        let happened = RoomEvent {
            from: Some("gathering"),
            detail: Detail {
                dispatcher: Some(&key.0),
                ..Detail::default()
            },
            ..RoomEvent::new("handoff.gathered", &key.1, &gateway)
        };
        tx.record_event(&happened);
        for no in group.members {
            self.let_go(tx, no);
        }
    }

    /// A task of a group that was gathered is remembered as long as any other, and no longer.
    fn let_go(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        task.status.gathered = true;
        self.change(tx, TaskChange::State(no));
        self.remember_ended(tx, no);
    }
}

fn entry(task: &Task) -> Option<GroupEntry> {
    let TaskStage::Ended { how, .. } = task.status.stage else {
        return None;
    };
    let omitted = task.status.omitted;
    let error = task.status.error.as_deref().filter(|_| !omitted);
    Some(GroupEntry {
        task: task.body.id.clone(),
        task_type: task.body.task_type.clone(),
        status: how.result(),
        result: task.status.kept.clone(),
        error: error.cloned(),
        omitted,
        attempts: task.status.attempt,
        worker: task.status.worker().cloned(),
    })
}
