//! Tasks: where each stands, who holds it under which attempt, and until when at least and at most.

use std::collections::{BTreeMap, BTreeSet};

use hallward::engine::{AssignmentKey, Input};
use hallward::wire::Millis;
use hallward::wire::handoff::{
    Backoff, Priority, ResultStatus, Task, TaskResult, Update, UpdateStatus,
};
use hallward::wire::json::Json;
use hallward::wire::name::{Agent, Capability, Room, TaskId};
use hallward::wire::observe::Event;
use hallward::wire::question::GivenAnswer;
use hallward::wire::topic::Offer;

use super::super::history::{Step, read};
use super::super::rules::Rules;
use super::asks::{Ask, ends_a_wait};
use super::gates::Clearance;
use super::holds::Hold;
use super::people::Member;
use super::{Tally, TaskName};

/// Says that a group has had its result.
pub(in super::super) const GATHERED: &str = "handoff.gathered";

/// Says that a task has been taken.
const DISPATCHED: &str = "handoff.dispatched";

/// Says that a worker gave a task back.
const RELEASED: &str = "handoff.released";

/// Says that a worker failed.
const FAILED: &str = "handoff.failed";
const LOST: &str = "handoff.lost";

/// Says that a dead task lives again.
pub(in super::super) const REDRIVEN: &str = "handoff.redriven";

/// One task.
#[derive(Debug, Clone)]
pub(in super::super) struct TaskModel {
    /// Counts dispatches: ties of the clock are broken by it.
    pub(in super::super) order: u64,
    pub(in super::super) spec: Task,
    pub(in super::super) dispatcher: Agent,
    pub(in super::super) created_at: Millis,
    pub(in super::super) deadline: Option<Millis>,
    pub(in super::super) lease_ms: Millis,
    pub(in super::super) max_attempts: u32,
    pub(in super::super) backoff: Backoff,
    /// The word of the last event about it; empty before the first.
    pub(in super::super) state: String,
    /// The last attempt that was handed out; 0 before the first.
    pub(in super::super) attempt: u32,
    pub(in super::super) hold: Option<Hold>,
    pub(in super::super) last_worker: Option<Agent>,
    /// Whether a worker may get it.
    pub(in super::super) clearance: Clearance,
    /// No attempt begins before this.
    pub(in super::super) ready_at: Millis,
    /// It does not wait for its next attempt longer than until here.
    pub(in super::super) due_by: Millis,
    /// Who gave it back last, and until when it is for others alone.
    pub(in super::super) released: Option<(Agent, Millis)>,
    /// Every attempt: who had it, and whether it ended lost or given back.
    pub(in super::super) attempts: Vec<(u32, Agent, bool)>,
    /// What was said last of how far it is.
    pub(in super::super) progress: Option<Json>,
    /// What its worker waits to be answered.
    pub(in super::super) asked: Option<Ask>,
    /// How many questions were asked: those that were taken back have a number, too.
    pub(in super::super) asks: u32,
    /// What came of the questions before.
    pub(in super::super) answers: Vec<GivenAnswer>,
    /// Its worker said that it was done when it had it no more.
    pub(in super::super) done_late: bool,
    /// Attempts that count against `max_attempts`.
    pub(in super::super) failures: u32,
    /// The word with which its worker ended the last attempt, if it did.
    pub(in super::super) last_word: Option<Update>,
    /// Whether it ended by that word.
    pub(in super::super) ended_by_word: bool,
    /// Final results of its present life.
    pub(in super::super) finals: Vec<ResultStatus>,
    /// What it came to.
    pub(in super::super) outcome: Option<Json>,
    pub(in super::super) ended_at: Option<Millis>,
    /// How often it was dispatched or redriven.
    pub(in super::super) lives: usize,
}

/// Whose group, in which room, and its name.
pub(in super::super) type GroupName = (Room, Agent, String);

/// Tasks that are to be gathered.
#[derive(Debug, Clone)]
pub(in super::super) struct GroupModel {
    pub(in super::super) size: u32,
    /// In the order in which they were dispatched.
    pub(in super::super) members: Vec<TaskId>,
}

/// All tasks of all rooms, ended ones included.
#[derive(Default)]
pub(in super::super) struct Tasks {
    pub(in super::super) all: BTreeMap<TaskName, TaskModel>,
    /// Those that have not ended.
    live: BTreeSet<TaskName>,
    /// What each agent holds in each room.
    held: BTreeMap<(Room, Agent), BTreeSet<TaskId>>,
    /// Where the id that the gateway mints for a nameless task becomes known: its first event.
    nameless: Option<TaskModel>,
    dispatched: u64,
    /// Groups that wait for their result.
    pub(in super::super) groups: BTreeMap<GroupName, GroupModel>,
    /// Groups that have had it.
    pub(in super::super) gathered: Vec<GroupName>,
}

/// What a worker must be able to do, all of it.
pub(in super::super) fn needs(spec: &Task) -> Vec<Capability> {
    if spec.capabilities.is_empty() {
        vec![spec.task_type.clone().into()]
    } else {
        spec.capabilities.clone()
    }
}

/// Whether a work topic of this capability may bring it.
fn asks_for(spec: &Task, capability: &Capability) -> bool {
    needs(spec).contains(capability) || spec.any_of.contains(capability)
}

/// Whether somebody with these capabilities can do such a task: it can all of it, and listens where
/// at least one part is sent (a capability that is only announced says nothing about where
/// assignments would be seen).
pub(in super::super) fn suits(spec: &Task, member: &Member) -> bool {
    let can = member.capabilities();
    needs(spec).iter().all(|need| can.contains(need))
        && needs(spec)
            .iter()
            .chain(&spec.any_of)
            .any(|need| member.works.contains(need))
        && (spec.any_of.is_empty() || spec.any_of.iter().any(|one| can.contains(one)))
}

/// The word that a worker has not said, but which its leaving says.
fn given_back(name: &TaskName, attempt: u32) -> Update {
    Update::new(name.1.clone(), attempt, UpdateStatus::Release)
}

impl TaskModel {
    /// Whether somebody with these capabilities can do it.
    pub(in super::super) fn suits(&self, member: &Member) -> bool {
        suits(&self.spec, member)
    }

    pub(in super::super) fn priority(&self) -> Priority {
        self.spec.priority.unwrap_or_default()
    }

    pub(in super::super) fn is_final(&self) -> bool {
        matches!(
            self.state.as_str(),
            "succeeded" | "dead" | "expired" | "cancelled"
        )
    }

    /// Whether it surely goes before `other` when both could have the same worker: within a
    /// priority, dispatchers take turns.
    pub(in super::super) fn goes_before(&self, other: &TaskModel) -> bool {
        let is_older = (self.created_at, self.order) < (other.created_at, other.order);
        let same = self.priority() == other.priority() && self.dispatcher == other.dispatcher;
        self.priority() > other.priority() || (same && is_older)
    }

    /// Whether its last worker says just what ended the attempt, once more.
    pub(in super::super) fn is_echo(&self, worker: &Agent, update: &Update) -> bool {
        let is_same = |word: &Update| {
            let (said, again) = (
                (word.status, &word.result, &word.error),
                (update.status, &update.result, &update.error),
            );
            said == again
        };
        // Of an attempt that was lost before, only that it is done after all.
        let is_done = update.status == UpdateStatus::Success;
        let is_late = is_done && self.is_open_to(worker, update.attempt);
        self.hold.is_none()
            && self.last_worker.as_ref() == Some(worker)
            && self.last_word.as_ref().is_some_and(is_same)
            && (self.attempt == update.attempt || is_late)
    }

    /// Whether a worker that lost an attempt, or gave it back, may still say that it is done.
    pub(in super::super) fn takes_late(&self, worker: &Agent, update: &Update) -> bool {
        let is_done = update.status == UpdateStatus::Success;
        is_done && !self.is_final() && self.is_open_to(worker, update.attempt)
    }

    /// Whether a worker lost an attempt or gave it back, and nobody else has had the task since.
    fn is_open_to(&self, worker: &Agent, attempt: u32) -> bool {
        let mut since = self.attempts.iter().skip_while(|(no, ..)| *no != attempt);
        since
            .next()
            .is_some_and(|(_, own, open)| own == worker && *open)
            && since.all(|(_, own, _)| own == worker)
    }

    /// The group that it is of, if it is.
    pub(in super::super) fn group_name(&self, room: &Room) -> Option<GroupName> {
        let name = self.spec.group.clone()?;
        Some((room.clone(), self.dispatcher.clone(), name))
    }

    /// An attempt came to nothing: until when it waits for the next.
    fn pause_after(&mut self, event: &Event, held_by: Option<Agent>) {
        if event.what == RELEASED {
            let until = event.at + self.wait(1);
            self.released = held_by.map(|worker| (worker, until));
            self.ready_at = event.at;
            self.due_by = until + 1;
        } else {
            self.failures += 1;
            self.ready_at = event.at + self.wait(self.failures);
            // A millisecond for rounding.
            self.due_by = self.ready_at + 1;
        }
    }

    /// How long it waits after so many failures.
    fn wait(&self, failures: u32) -> Millis {
        let mut wait = self.backoff.initial_ms as f64;
        for _ in 1..failures {
            wait *= self.backoff.factor;
        }
        // Rounded down: how the engine rounds is its own business.
        wait.min(self.backoff.max_ms as f64) as Millis
    }
}

impl Tasks {
    pub(in super::super) fn find(&self, room: &Room, task: &TaskId) -> Option<&TaskModel> {
        self.all.get(&(room.clone(), task.clone()))
    }

    /// The tasks that one depends on.
    pub(in super::super) fn dependencies<'a>(
        &'a self,
        room: &'a Room,
        task: &'a TaskModel,
    ) -> impl Iterator<Item = &'a TaskModel> {
        let ids = task.spec.depends_on.iter();
        ids.filter_map(move |id| self.find(room, id))
    }

    /// Whether everything that it depends on has succeeded.
    pub(in super::super) fn is_free_to_go(&self, room: &Room, task: &TaskModel) -> bool {
        let mut dependencies = self.dependencies(room, task);
        dependencies.all(|one| one.state == "succeeded") || task.attempt > 0
    }

    /// When something that it depends on ended otherwise.
    pub(in super::super) fn doomed_at(&self, room: &Room, task: &TaskModel) -> Option<Millis> {
        let dependencies = self.dependencies(room, task);
        let failed = dependencies.filter(|one| one.is_final() && one.state != "succeeded");
        failed.filter_map(|one| one.ended_at).max()
    }

    /// Whether it belongs to another, near or far.
    pub(in super::super) fn is_below(&self, room: &Room, task: &TaskModel, above: &TaskId) -> bool {
        let mut at = Some(task);
        while let Some(parent) = at.and_then(|task| task.spec.parent.as_ref()) {
            if parent == above {
                return true;
            }
            at = self.find(room, parent);
        }
        false
    }

    /// The tasks that have not ended.
    pub(in super::super) fn live(&self) -> impl Iterator<Item = (&TaskName, &TaskModel)> {
        self.live.iter().map(|name| (name, &self.all[name]))
    }

    fn insert(&mut self, name: TaskName, task: TaskModel) {
        self.live.insert(name.clone());
        self.all.insert(name, task);
    }

    /// The tasks that an agent holds in a room.
    pub(in super::super) fn held_by<'a>(
        &'a self,
        room: &'a Room,
        agent: &'a Agent,
    ) -> impl Iterator<Item = (&'a TaskName, &'a TaskModel)> {
        let held = self.held.get(&(room.clone(), agent.clone()));
        held.into_iter()
            .flatten()
            .filter_map(|id| self.all.get_key_value(&(room.clone(), id.clone())))
    }

    pub(in super::super) fn in_flight(&self, room: &Room, agent: &Agent) -> u32 {
        let held = self.held.get(&(room.clone(), agent.clone()));
        held.map_or(0, |held| u32::try_from(held.len()).expect("few"))
    }

    pub(super) fn input(&mut self, now: Millis, input: &Input, rules: &Rules) {
        for name in &self.live {
            let Some(task) = self.all.get_mut(name) else {
                continue;
            };
            let Some(hold) = &mut task.hold else {
                continue;
            };
            match input {
                Input::Recovered => {
                    hold.left = Some(task.lease_ms);
                    hold.pause(now, rules.grace_ms);
                }
                Input::Connected { agent, resumed, .. } if hold.worker == *agent => {
                    hold.owed = !resumed;
                    hold.pause(now, rules.grace_ms);
                }
                // Its new session is sent it now; or, where it has become too large to be sent,
                // left alone with it.
                Input::Offered {
                    agent,
                    offer: Offer::Works(room, capability),
                } if hold.worker == *agent
                    && name.0 == *room
                    && asks_for(&task.spec, capability) =>
                {
                    hold.owed = false;
                }
                Input::Sent { agent, assignments } if hold.worker == *agent => {
                    let is_it = |key: &AssignmentKey| {
                        (&key.room, &key.task) == (&name.0, &name.1) && key.attempt == task.attempt
                    };
                    if assignments.iter().any(is_it) {
                        hold.deliveries += 1;
                        if let Some(left) = hold.left.take() {
                            hold.run_until(now + left);
                        }
                    }
                }
                Input::Disconnected {
                    agent,
                    gives_back: true,
                    ..
                } if hold.worker == *agent && !hold.owed => {
                    hold.given_back = true;
                    task.last_word = Some(given_back(name, task.attempt));
                }
                Input::Disconnected { agent, .. } if hold.worker == *agent => {
                    hold.pause(now, rules.grace_ms);
                }
                _ => {}
            }
        }
    }

    pub(super) fn dispatched(&mut self, step: &Step, rules: &Rules) {
        let command = step.command().expect("a dispatch");
        let spec: Task = read(&command.payload);
        self.dispatched += 1;
        let room = command.topic.room.clone();
        let id = spec.id.clone();
        let ttl = spec.ttl_ms.or(command.mirrors.ttl_ms);
        let task = TaskModel {
            order: self.dispatched,
            dispatcher: command.from.clone(),
            created_at: step.now,
            deadline: ttl.map(|ttl| step.now + ttl),
            lease_ms: spec.lease_ms.unwrap_or(rules.lease_ms),
            max_attempts: spec.max_attempts.unwrap_or(rules.max_attempts),
            backoff: spec.backoff.unwrap_or(rules.backoff),
            state: String::new(),
            attempt: 0,
            hold: None,
            last_worker: None,
            clearance: Clearance::before(rules.asks_before(&spec.task_type)),
            ready_at: step.now + spec.not_before_ms.unwrap_or(0),
            due_by: step.now + spec.not_before_ms.unwrap_or(0),
            released: None,
            attempts: Vec::new(),
            progress: None,
            asked: None,
            asks: 0,
            answers: Vec::new(),
            done_late: false,
            failures: 0,
            last_word: None,
            ended_by_word: false,
            finals: Vec::new(),
            outcome: None,
            ended_at: None,
            lives: 1,
            spec,
        };
        match id {
            Some(id) => self.insert((room, id), task),
            None => self.nameless = Some(task),
        }
    }

    /// At its event, which names it if nobody else has.
    fn join_group(&mut self, name: &(Room, TaskId)) {
        let Some(task) = self.all.get(name) else {
            return;
        };
        let Some(group) = task.group_name(&name.0) else {
            return;
        };
        let group = self.groups.entry(group).or_insert_with(|| GroupModel {
            size: task.spec.group_size.unwrap_or_default(),
            members: Vec::new(),
        });
        group.members.push(name.1.clone());
    }

    /// An update that was accepted: the lease starts anew, or the task comes back.
    pub(super) fn updated(&mut self, step: &Step) {
        use hallward::wire::handoff::UpdateStatus::{
            Accepted, Error, Input, Progress, Release, Success,
        };
        let command = step.command().expect("an update");
        let update: Update = read(&command.payload);
        let name = (command.topic.room.clone(), update.task.clone());
        let Some(task) = self.all.get_mut(&name) else {
            return;
        };
        let said = update.result.clone();
        if matches!(update.status, Progress | Error | Release | Input) && said.is_some() {
            task.progress = said;
        }
        if let Some(ask) = &mut task.asked {
            if matches!(update.status, Success | Error | Release) {
                ask.given_back = true;
                task.last_word = Some(update);
            }
            return;
        }
        let Some(hold) = &mut task.hold else {
            task.done_late = true;
            task.last_word = Some(update);
            return;
        };
        match update.status {
            Accepted | Progress => {
                hold.left = None;
                hold.run_until(step.now + task.lease_ms);
                if update.status == Progress {
                    hold.deliveries = hold.deliveries.min(1);
                }
            }
            Success | Error | Release => {
                hold.given_back = true;
                task.last_word = Some(update);
            }
            Input => {
                task.asks += 1;
                task.asked = Some(Ask::of(hold.worker.clone(), &update, step.now));
            }
        }
    }

    /// Who leaves the room gives back what it holds there.
    pub(super) fn left(&mut self, room: &Room, agent: &Agent) {
        let held: Vec<TaskName> = self
            .held_by(room, agent)
            .map(|(name, _)| name.clone())
            .collect();
        for name in held {
            if let Some(task) = self.all.get_mut(&name)
                && let Some(hold) = &mut task.hold
            {
                hold.given_back = true;
                task.last_word = Some(given_back(&name, task.attempt));
            }
        }
    }

    /// An update that was refused but shows that the worker is at it: its lease may start anew.
    pub(super) fn gave_a_sign(&mut self, step: &Step) {
        let command = step.command().expect("an update");
        let update: Update = read(&command.payload);
        let name = (command.topic.room.clone(), update.task);
        if let Some(task) = self.all.get_mut(&name)
            && let Some(hold) = &mut task.hold
        {
            hold.left = None;
            hold.run_until(step.now + task.lease_ms);
        }
    }

    pub(super) fn assigned(
        &mut self,
        now: Millis,
        key: &AssignmentKey,
        worker: &Agent,
        rules: &Rules,
        tally: &mut Tally,
    ) {
        let name = (key.room.clone(), key.task.clone());
        let Some(task) = self.all.get_mut(&name) else {
            return;
        };
        if let Some(hold) = task.hold.as_mut().filter(|_| task.attempt == key.attempt) {
            tally.assigned_again += 1;
            hold.owed = false;
            return;
        }
        let goes_on = task.asked.is_some();
        tally.assigned += 1;
        let whose = (key.room.clone(), worker.clone());
        let held = self.held.entry(whose).or_default();
        held.insert(key.task.clone());
        if !goes_on {
            task.attempt = key.attempt;
            task.released = None;
            task.attempts.push((key.attempt, worker.clone(), false));
        }
        task.last_worker = Some(worker.clone());
        task.last_word = None;
        let mut hold = Hold {
            worker: worker.clone(),
            lease_low: 0,
            lease_high: 0,
            left: Some(task.lease_ms),
            owed: false,
            deliveries: 0,
            given_back: false,
        };
        hold.pause(now, rules.grace_ms);
        task.hold = Some(hold);
    }

    pub(super) fn event(&mut self, event: &Event, tally: &mut Tally) {
        if !event.what.starts_with("handoff.") || event.what == GATHERED {
            return;
        }
        let Ok(id) = TaskId::new(&event.subject) else {
            return;
        };
        let name = (event.room.clone(), id);
        if !self.all.contains_key(&name)
            && let Some(task) = self.nameless.take()
        {
            self.insert(name.clone(), task);
        }
        if event.what == DISPATCHED {
            self.join_group(&name);
        }
        let (Some(task), Some(to)) = (self.all.get_mut(&name), &event.to) else {
            return;
        };
        if ends_a_wait(event) {
            task.state.clone_from(to);
            task.waited(event, tally);
            return;
        }
        let asked_by = task.asked.as_ref().filter(|_| to != "asking");
        let asked_by = asked_by.map(|ask| ask.worker.clone());
        let held_by = task.hold.as_ref().map(|hold| hold.worker.clone());
        let held_by = held_by.or(asked_by);
        let was_held = held_by.is_some();
        if task.state == "waiting" && to == "dead" && !task.clearance.holds_back() {
            tally.doomed += 1;
        }
        task.state.clone_from(to);
        if event.what == REDRIVEN {
            tally.redriven += 1;
            self.live.insert(name.clone());
            task.lives += 1;
            task.failures = 0;
            (task.ready_at, task.due_by) = (event.at, event.at);
            task.ended_by_word = false;
            task.ended_at = None;
            task.finals.clear();
            return;
        }
        match to.as_str() {
            "asking" => task.hold = None,
            "queued" | "waiting" | "failed" if was_held => {
                (task.hold, task.asked) = (None, None);
                task.pause_after(event, held_by.clone());
                if let Some((_, _, open)) = task.attempts.last_mut() {
                    *open = event.what != FAILED;
                }
                tally.put_back += 1;
            }
            _ if task.is_final() => {
                let hold = task.hold.take();
                let ask = task.asked.take();
                if let Some((_, _, open)) = task.attempts.last_mut() {
                    *open = event.what == LOST;
                }
                let late = std::mem::take(&mut task.done_late);
                task.ended_by_word = late
                    || hold.is_some_and(|hold| hold.given_back)
                    || ask.is_some_and(|ask| ask.given_back);
                self.live.remove(&name);
                task.ended_at = Some(event.at);
                *tally.ended.entry(to.clone()).or_default() += 1;
            }
            _ => {}
        }
        if let Some(worker) = held_by.filter(|_| task.hold.is_none()) {
            let (room, id) = name;
            if let Some(held) = self.held.get_mut(&(room, worker)) {
                held.remove(&id);
            }
        }
    }

    pub(super) fn result(&mut self, room: &Room, result: &TaskResult) {
        if let Some(task) = self.all.get_mut(&(room.clone(), result.task.clone()))
            && result.is_final
        {
            task.finals.push(result.status);
            task.outcome.clone_from(&result.result);
        }
    }

    /// A group has had its result.
    pub(super) fn gathered(&mut self, name: GroupName, tally: &mut Tally) {
        tally.gathered += 1;
        self.groups.remove(&name);
        self.gathered.push(name);
    }

    /// Whether a dispatch without an id still waits for its name: every dispatch is an event.
    pub(in super::super) fn has_nameless(&self) -> bool {
        self.nameless.is_some()
    }
}
