//! Ties between tasks: which waits for which, and which belongs to which.
//!
//! A task may depend on tasks that exist, and belong to one that has not ended, so neither can go
//! in a circle. What has failed fails those that depend on it, one timer each; what is cancelled
//! cancels all that belongs to it, at once. Only tasks that have not ended stand here, and what
//! keeps them together; the records have the rest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::wire::handoff::{self, TaskState};
use crate::wire::name::{Agent, TaskId};
use crate::wire::reply::{Code, Rejection};

use super::records::TaskChange;
use crate::engine::context::Context;
use crate::engine::recorded::Recorded;
use crate::engine::replies::entries_at_most;
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::group::GroupTie;
use super::step::Step;
use super::task::{Task, TaskEnding, TaskStage, why};
use super::{Advance, Handoff};
use crate::engine::ids::TaskNo;

/// How much of the reason is passed on from task to task, in bytes.
const KEPT_REASON_BYTES: usize = 512;

/// Another task, by both its names: an id may be used anew when its task is forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Tie {
    pub(super) id: TaskId,
    pub(super) no: TaskNo,
}

/// What ties a task to others; part of its body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Ties {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) depends_on: Vec<Tie>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<TaskId>,
    /// The parent, its parent, and so on, the topmost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ancestors: Vec<TaskNo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<GroupTie>,
}

/// The ties of a room's tasks, from the other side.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    /// Who waits for a task.
    dependants: BTreeMap<TaskNo, BTreeSet<TaskNo>>,
    /// What belongs to a task and has not ended, or has something below it that has not.
    children: BTreeMap<TaskNo, BTreeSet<TaskNo>>,
    parents: BTreeMap<TaskNo, TaskNo>,
    /// How many tasks that have not ended belong to a topmost one, near or far.
    families: BTreeMap<TaskNo, usize>,
}

impl Dependencies {
    fn wait(&mut self, no: TaskNo, dependency: TaskNo) {
        self.dependants.entry(dependency).or_default().insert(no);
    }

    fn wait_no_more(&mut self, no: TaskNo, dependency: TaskNo) {
        if let Some(waiting) = self.dependants.get_mut(&dependency) {
            waiting.remove(&no);
            if waiting.is_empty() {
                self.dependants.remove(&dependency);
            }
        }
    }

    fn family(&self, ancestors: &[TaskNo]) -> usize {
        let family = ancestors.first().and_then(|top| self.families.get(top));
        family.copied().unwrap_or(0)
    }

    /// A task is there, below these.
    fn join(&mut self, no: TaskNo, ancestors: &[TaskNo]) {
        let Some(top) = ancestors.first() else {
            return;
        };
        *self.families.entry(*top).or_default() += 1;
        let below = ancestors.iter().skip(1).chain([&no]);
        for (parent, child) in ancestors.iter().zip(below) {
            self.parents.insert(*child, *parent);
            self.children.entry(*parent).or_default().insert(*child);
        }
    }

    /// A task has ended. Those above it that have ended go, too, unless something else is below
    /// them.
    fn leave(&mut self, no: TaskNo, ancestors: &[TaskNo], has_ended: impl Fn(TaskNo) -> bool) {
        let Some(top) = ancestors.first() else {
            return;
        };
        if let Some(family) = self.families.get_mut(top) {
            *family -= 1;
            if *family == 0 {
                self.families.remove(top);
            }
        }
        let mut at = no;
        while has_ended(at) && !self.children.contains_key(&at) {
            let Some(parent) = self.parents.remove(&at) else {
                return;
            };
            if let Some(children) = self.children.get_mut(&parent) {
                children.remove(&at);
                if children.is_empty() {
                    self.children.remove(&parent);
                }
            }
            at = parent;
        }
    }
}

fn ancestors(task: &Task) -> &[TaskNo] {
    let ties = task.body.ties.as_deref();
    ties.map_or(&[], |ties| &ties.ancestors)
}

fn has_ended_badly(task: &Task) -> bool {
    match task.status.stage {
        TaskStage::Ended { how, .. } => how != TaskEnding::Succeeded,
        _ => false,
    }
}

impl Handoff {
    /// What a task depends on and what has not been met of it: unknown tasks are refused, so there
    /// is no circle.
    fn dependencies(&self, cx: &Context, asked: &handoff::Task) -> Result<Vec<Tie>, Rejection> {
        let settings = &cx.settings;
        let most = settings.handoff.max_dependencies_per_task;
        entries_at_most("dependsOn", asked.depends_on.len(), most)?;
        let mut ties: Vec<Tie> = Vec::new();
        for id in &asked.depends_on {
            let no = self.number(id).map_err(|reason| reason.at("dependsOn"))?;
            let waiting = self.bonds.dependants.get(&no).map_or(0, BTreeSet::len);
            let most = settings.handoff.max_dependants_per_task;
            if waiting >= most {
                let reason = format!("{most} tasks wait for {id} already");
                return Err(Rejection::new(Code::TooMany, reason).at("dependsOn"));
            }
            if ties.iter().all(|tie| tie.no != no) {
                let id = id.clone();
                ties.push(Tie { id, no });
            }
        }
        Ok(ties)
    }

    /// The tasks above a new one.
    fn line(&self, cx: &Context, parent: &TaskId) -> Result<Vec<TaskNo>, Rejection> {
        let settings = &cx.settings;
        let no = self.number(parent).map_err(|reason| reason.at("parent"))?;
        let task = &self.tasks[&no];
        let state = task.status.state();
        if state.is_final() {
            let reason = format!("{parent} has ended already: {}", state.as_str());
            return Err(Rejection::new(Code::Conflict, reason).at("parent"));
        }
        let mut line = ancestors(task).to_vec();
        line.push(no);
        if line.len() > settings.handoff.max_depth {
            let reason = format!(
                "{parent} is {} tasks deep already",
                settings.handoff.max_depth
            );
            return Err(Rejection::new(Code::Invalid, reason).at("parent"));
        }
        self.admit_descendant(cx, &line)?;
        Ok(line)
    }

    fn admit_descendant(&self, cx: &Context, line: &[TaskNo]) -> Result<(), Rejection> {
        let most = cx.settings.handoff.max_descendants_per_task;
        if self.bonds.family(line) >= most {
            let reason = format!("{most} unfinished tasks belong to the topmost parent already");
            return Err(Rejection::new(Code::TooMany, reason).at("parent"));
        }
        Ok(())
    }

    /// Which of a task's dependencies have not succeeded.
    pub(super) fn unmet(&self, ties: &Ties) -> Vec<TaskNo> {
        let succeeded = |tie: &&Tie| {
            let task = self.tasks.get(&tie.no);
            task.is_some_and(|task| task.status.state() == TaskState::Succeeded)
        };
        let unmet = ties.depends_on.iter().filter(|tie| !succeeded(tie));
        unmet.map(|tie| tie.no).collect()
    }
}

impl Handoff {
    /// Checks what a new task is tied to.
    pub(super) fn tie(
        &self,
        tx: &RoomTx<'_>,
        asked: &handoff::Task,
        group: Option<GroupTie>,
    ) -> Result<Option<Box<Ties>>, Rejection> {
        let ties = Ties {
            depends_on: self.dependencies(tx.cx, asked)?,
            ancestors: match &asked.parent {
                Some(parent) => self.line(tx.cx, parent)?,
                None => Vec::new(),
            },
            parent: asked.parent.clone(),
            group,
        };
        Ok((ties != Ties::default()).then(|| Box::new(ties)))
    }

    /// A task that has not ended is there, or there again.
    pub(super) fn join_family(&mut self, no: TaskNo) {
        if let Some(task) = self.tasks.get(&no) {
            self.bonds.join(no, ancestors(task));
        }
    }

    pub(super) fn leave_family(&mut self, no: TaskNo) {
        let Handoff { tasks, bonds, .. } = self;
        if let Some(task) = tasks.get(&no) {
            let has_ended = |no: TaskNo| {
                let task = tasks.get(&no);
                task.is_none_or(|task| task.status.state().is_final())
            };
            bonds.leave(no, ancestors(task), has_ended);
        }
    }

    /// A task waits for these. What has failed already, or has been forgotten since it failed,
    /// fails it.
    pub(super) fn await_dependencies(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, unmet: &[TaskNo]) {
        let Handoff { tasks, bonds, .. } = self;
        let mut failed = false;
        for dependency in unmet {
            bonds.wait(no, *dependency);
            let task = tasks.get(dependency);
            failed |= task.is_none_or(|task| task.status.state().is_final());
        }
        if failed {
            let subject = TimerSubject::Task(tx.room.name.clone(), no);
            tx.cx.timers.arm(tx.cx.now, Timer::Dependency, subject);
        }
    }

    pub(super) fn await_no_more(&mut self, no: TaskNo, unmet: &[TaskNo]) {
        for dependency in unmet {
            self.bonds.wait_no_more(no, *dependency);
        }
    }

    /// A task has ended: those that wait for it go on, or fail.
    pub(super) fn release_dependants(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, how: TaskEnding) {
        let Some(waiting) = self.bonds.dependants.remove(&no) else {
            return;
        };
        for one in waiting {
            if how == TaskEnding::Succeeded {
                self.dependency_met(tx, one, no);
            } else {
                let subject = TimerSubject::Task(tx.room.name.clone(), one);
                tx.cx.timers.arm(tx.cx.now, Timer::Dependency, subject);
            }
        }
    }

    fn dependency_met(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, dependency: TaskNo) {
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        let TaskStage::Waiting { until, unmet } = &mut task.status.stage else {
            return;
        };
        unmet.retain(|one| *one != dependency);
        let is_due = unmet.is_empty() && *until <= tx.cx.now;
        self.change(tx, TaskChange::State(no));
        if is_due {
            self.due(tx, no);
        }
    }

    /// A task that waits fails if something that it depends on has failed.
    pub(in crate::engine) fn dependency_over(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        let tasks = &self.tasks;
        let Some(task) = tasks.get(&no) else {
            return;
        };
        let (TaskStage::Waiting { unmet, .. }, Some(ties)) = (&task.status.stage, &task.body.ties)
        else {
            return;
        };
        let failed = unmet.iter().find(|no| {
            let dependency = tasks.get(no);
            dependency.is_none_or(|task| has_ended_badly(task))
        });
        let Some(failed) = failed else {
            return;
        };
        let tie = ties.depends_on.iter().find(|tie| tie.no == *failed);
        let id = tie.map_or("a task", |tie| tie.id.as_str());
        let mut reason = match tasks.get(failed) {
            Some(dependency) => {
                let error = dependency.status.error.as_deref();
                let state = dependency.status.state().as_str();
                let words = error.map_or("", |error| error.message.as_str());
                format!("it depends on {id}, which is {state}: {words}")
            }
            None => format!("it depends on {id}, which did not succeed"),
        };
        reason.truncate(reason.floor_char_boundary(KEPT_REASON_BYTES));
        let step = Step::Doom(why("dependency-failed", &reason));
        let doomed = Advance {
            reason: Some(&reason),
            ..Advance::new(step)
        };
        self.advance(tx, no, doomed);
    }

    /// Cancels a task and all that belongs to it, parents first.
    pub(super) fn cancel_family(
        &mut self,
        tx: &mut RoomTx<'_>,
        no: TaskNo,
        by: &Agent,
        reason: Option<&str>,
    ) {
        let id = self.tasks[&no].body.id.clone();
        let mut words = reason.map_or_else(|| format!("cancelled by {by}"), str::to_owned);
        let mut waiting = VecDeque::from([no]);
        while let Some(next) = waiting.pop_front() {
            let children = self.bonds.children.get(&next);
            waiting.extend(children.into_iter().flatten());
            let cancel = Advance {
                who: Some(by),
                reason: Some(&words)
                    .filter(|_| reason.is_some() || next != no)
                    .map(String::as_str),
                ..Advance::new(Step::Cancel(why("cancelled", words.as_str())))
            };
            self.advance(tx, next, cancel);
            if next == no {
                words = format!("it belongs to {id}, which was cancelled: {words}");
            }
        }
    }

    /// Whether a dead task may live again as far as its ties go, and what it then waits for.
    pub(super) fn tie_again(&self, tx: &RoomTx<'_>, no: TaskNo) -> Result<Vec<TaskNo>, Rejection> {
        let task = &self.tasks[&no];
        let Some(ties) = task.body.ties.as_deref() else {
            return Ok(Vec::new());
        };
        let conflict = |reason: String| Err(Rejection::new(Code::Conflict, reason));
        let cancelled = |no: &&TaskNo| {
            let task = self.tasks.get(no);
            task.is_some_and(|task| task.status.state() == TaskState::Cancelled)
        };
        if let Some(above) = ties.ancestors.iter().find(cancelled) {
            let above = &self.tasks[above].body.id;
            return conflict(format!(
                "{} belongs to {above}, which was cancelled",
                task.body.id
            ));
        }
        self.admit_descendant(tx.cx, &ties.ancestors)?;
        // One that was handed out had all that it depends on.
        if task.status.attempt > 0 {
            return Ok(Vec::new());
        }
        let unmet = self.unmet(ties);
        for tie in ties.depends_on.iter().filter(|tie| unmet.contains(&tie.no)) {
            let state = self.tasks.get(&tie.no).map(|task| task.status.state());
            if state.is_none_or(TaskState::is_final) {
                let state = state.map_or("forgotten", TaskState::as_str);
                let reason = format!("{} depends on {}, which is {state}", task.body.id, tie.id);
                return conflict(reason);
            }
        }
        Ok(unmet)
    }
}
