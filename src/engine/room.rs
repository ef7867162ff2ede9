//! A room: everything that its agents share, and the door through which their commands come in.
//!
//! It holds the patterns' state side by side and knows which file handles which command. It never looks at other rooms.

use std::collections::BTreeMap;

use crate::wire::Millis;
use crate::wire::name::{Agent, Room};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::Topic;

use super::approve::Approvals;
use super::blackboard::Blackboard;
use super::context::Context;
use super::event::{Happened, Log};
use super::handoff::{Handoff, TaskNo};
use super::member::Members;
use super::outcomes::Outcomes;
use super::record::{Change, Head};
use super::replies::{Call, Outcome};
use super::roll::Departures;
use super::timer::{Subject, Timer};
use super::tools::Tools;

/// How much one retention timer forgets, so that no single input takes long; the rest follows at once.
const FORGOTTEN_AT_ONCE: usize = 100;

#[derive(Debug)]
pub(super) struct RoomState {
    pub(super) name: Room,
    pub(super) log: Log,
    pub(super) members: Members,
    /// Members that have not left.
    pub(super) present: usize,
    pub(super) departures: Departures,
    pub(super) handoff: Handoff,
    pub(super) blackboard: Blackboard,
    pub(super) approvals: Approvals,
    pub(super) tools: Tools,
    pub(super) outcomes: Outcomes,
    /// What must be recorded, with repeats.
    pub(super) changes: Vec<Change>,
    /// Agents whose presence may look different now, and whether it does for certain.
    pub(super) stirred: BTreeMap<Agent, bool>,
    retention_at: Option<Millis>,
    /// Since when nothing begins in it, if so.
    pub(super) closed: Option<Millis>,
    /// Whether not all has ended yet that was in it when it was closed.
    pub(super) is_sweeping: bool,
    /// How far its tasks have been looked through for that.
    pub(super) swept: TaskNo,
}

impl RoomState {
    pub(super) fn new(name: Room) -> RoomState {
        RoomState {
            log: Log::new(name.clone()),
            name,
            members: Members::default(),
            present: 0,
            departures: Departures::default(),
            handoff: Handoff::default(),
            blackboard: Blackboard::default(),
            approvals: Approvals::default(),
            tools: Tools::default(),
            outcomes: Outcomes::default(),
            changes: Vec::new(),
            stirred: BTreeMap::new(),
            retention_at: None,
            closed: None,
            is_sweeping: false,
            swept: TaskNo(0),
        }
    }

    /// Where its counters stand.
    pub(super) fn head(&self) -> Head {
        Head {
            seq: self.log.seq,
            at: self.log.at,
            last_task: self.handoff.last_no,
            revision: self.blackboard.revision,
            version_floor: self.blackboard.version_floor,
            closed: self.closed,
            history_floor: Some(self.blackboard.history.floor),
            last_token: self.blackboard.locks.last_token,
        }
    }

    /// Lets its counters go on from where they stood.
    pub(super) fn go_on(&mut self, from: &Head) {
        self.log.seq = from.seq;
        self.log.at = from.at;
        self.handoff.last_no = from.last_task;
        self.blackboard.revision = from.revision;
        self.blackboard.version_floor = from.version_floor;
        self.closed = from.closed;
        self.blackboard.history.floor = from.history_floor();
        self.blackboard.locks.last_token = from.last_token;
    }

    /// Whether nobody is in it and nothing of it must be remembered but deleted keys.
    fn is_deserted(&self) -> bool {
        self.members.0.is_empty()
            && self.handoff.tasks.is_empty()
            && self.approvals.by_id.is_empty()
            && self.tools.is_empty()
            && self.outcomes.len() == 0
            && self.blackboard.cells.is_empty()
            && self.blackboard.locks.is_empty()
    }

    /// Whether its counters are all that is left of it.
    pub(super) fn is_vacant(&self) -> bool {
        self.is_deserted() && self.blackboard.tombstones.is_empty() && self.closed.is_none()
    }

    pub(super) fn touch(&mut self, cx: &mut Context) {
        self.log.touch(cx);
    }

    pub(super) fn tell(&mut self, cx: &mut Context, happened: &Happened<'_>) {
        self.log.tell(cx, happened);
    }

    /// Notes that a record must be written or deleted.
    pub(super) fn change(&mut self, cx: &mut Context, change: Change) {
        self.touch(cx);
        self.changes.push(change);
    }

    /// Hands a command to its pattern.
    pub(super) fn command(&mut self, cx: &mut Context, call: &mut Call<'_>) -> Outcome {
        self.expect_member(cx, call.from())?;
        self.expect_open(&call.command.topic.topic)?;
        match &call.command.topic.topic {
            Topic::PresenceAnnounce { .. } => self.announce(cx, call),
            Topic::PresenceList { .. } => self.list_presence(cx, call),
            Topic::HandoffDispatch { .. } => self.dispatch(cx, call),
            Topic::HandoffUpdate { .. } => self.update(cx, call),
            Topic::HandoffCancel { .. } => self.cancel(cx, call),
            Topic::HandoffGet { .. } => self.get_task(cx, call),
            Topic::HandoffList { .. } => self.list_tasks(cx, call),
            Topic::HandoffRedrive { .. } => self.redrive(cx, call),
            Topic::Inbox { to, .. } => self.inbox(cx, call, to),
            Topic::BlackboardSet { key, .. } => self.set(cx, call, key),
            Topic::BlackboardDelete { key, .. } => self.delete(cx, call, key),
            Topic::BlackboardTxn { .. } => self.transact(cx, call),
            Topic::BlackboardGet { .. } => self.snapshot(cx, call),
            Topic::BlackboardList { .. } => self.list_keys(cx, call),
            Topic::BlackboardHistory { .. } => self.history(cx, call),
            Topic::BlackboardLock { name, .. } => self.lock(cx, call, name),
            Topic::BlackboardUnlock { name, .. } => self.unlock(cx, call, name),
            Topic::ObserveReplay { .. } => self.replay(cx, call),
            Topic::MailboxList { me, of } => self.list_mail(cx, call, of.as_ref().unwrap_or(me)),
            Topic::MailboxPurge { me, of } => self.purge_mail(cx, call, of.as_ref().unwrap_or(me)),
            Topic::RoomClose { .. } => self.close(cx, call),
            Topic::RoomOpen { .. } => self.open(cx, call),
            Topic::ApproveRequest { .. } => self.request(cx, call),
            Topic::ApproveDecide { id, .. } => self.decide(cx, call, id),
            Topic::ApproveCancel { .. } => self.cancel_approval(cx, call),
            Topic::ApproveAudit { .. } => self.audit(cx, call),
            Topic::ToolsRegister { tool, .. } => self.register_tool(cx, call, tool),
            Topic::ToolsCall { tool, .. } => self.call_tool(cx, call, tool),
            Topic::ToolsReturn { .. } => self.return_call(cx, call),
            Topic::ToolsCancel { .. } => self.cancel_call(cx, call),
            Topic::ToolsGet { .. } => self.get_call(cx, call),
            Topic::PresenceAgent { .. }
            | Topic::HandoffWork { .. }
            | Topic::HandoffResult { .. }
            | Topic::BlackboardState { .. }
            | Topic::ObserveEvents { .. }
            | Topic::ApprovePending { .. }
            | Topic::ApproveDecision { .. }
            | Topic::ToolsCard { .. }
            | Topic::ToolsRun { .. }
            | Topic::ToolsResult { .. }
            | Topic::ToolsCancelled { .. }
            | Topic::Reply { .. } => Err(Rejection::new(
                Code::Malformed,
                "this topic carries no command",
            )),
        }
    }

    /// Refuses who may not take part.
    pub(super) fn expect_member(&self, cx: &Context, agent: &Agent) -> Result<(), Rejection> {
        if cx.may_enter(&self.name, agent) {
            return Ok(());
        }
        let reason = format!("{agent} is no member of the room {}", self.name);
        Err(Rejection::new(Code::Forbidden, reason))
    }

    /// A timer of the room's is due.
    pub(super) fn timer(&mut self, cx: &mut Context, timer: Timer, subject: &Subject) {
        match (timer, subject) {
            (Timer::Deadline, Subject::Task(_, no)) => self.deadline_over(cx, *no),
            (Timer::Dependency, Subject::Task(_, no)) => self.dependency_over(cx, *no),
            (Timer::Group, Subject::Task(_, no)) => self.group_over(cx, *no),
            (Timer::Lease, Subject::Task(_, no)) => self.lease_over(cx, *no),
            (Timer::Due, Subject::Task(_, no)) => self.due(cx, *no),
            (Timer::Approval, Subject::Approval(_, id)) => self.approval_timed_out(cx, id),
            (Timer::Call, Subject::Call(_, id)) => self.call_timed_out(cx, id),
            (Timer::ProviderGrace, Subject::Provider(_, agent)) => self.provider_is_gone(cx, agent),
            (Timer::KeyExpiry, Subject::Key(_, key)) => self.key_expired(cx, key),
            (Timer::LockLease, Subject::Lock(_, name)) => self.lock_expired(cx, name),
            (Timer::LockWait, Subject::Waiter(_, name, who)) => self.wait_over(cx, name, who),
            (Timer::Retention, _) => self.retention_over(cx),
            (Timer::Closing, _) => self.sweep(cx),
            // No such pair is ever armed.
            _ => {}
        }
    }

    /// Sees to it that the oldest thing that the room remembers is forgotten in time.
    pub(super) fn arm_retention(&mut self, cx: &mut Context) {
        let Some(at) = self.next_retention(cx) else {
            return;
        };
        // What ended later may be kept for a shorter time.
        if self.retention_at.is_some_and(|armed| armed <= at) {
            return;
        }
        self.disarm_retention(cx);
        let subject = Subject::Room(self.name.clone());
        cx.timers.arm(at, Timer::Retention, subject);
        self.retention_at = Some(at);
    }

    fn next_retention(&self, cx: &Context) -> Option<Millis> {
        let decided = self.approvals.oldest_decided();
        let decided = decided.map(|at| at.saturating_add(cx.settings.approval_retention_ms));
        let called = self.tools.ended.oldest();
        let called = called.map(|at| at.saturating_add(cx.settings.call_retention_ms));
        let kept = [self.handoff.forgets_at(), decided, called];
        let kept = kept.into_iter().flatten();
        let outcome = self.outcomes.oldest();
        let outcome = outcome.map(|at| at.saturating_add(cx.settings.idempotency_ms));
        let departed = self.departures.oldest();
        let departed = departed.map(|at| at.saturating_add(cx.settings.departed_retention_ms));
        // Deleted keys keep their versions one by one as long as somebody may think of them.
        let graves = self.is_deserted() && !self.blackboard.tombstones.is_empty();
        let deserted = graves.then(|| self.log.at.saturating_add(cx.settings.idempotency_ms));
        kept.chain(outcome).chain(departed).chain(deserted).min()
    }

    /// Forgets what has been remembered for long enough.
    pub(super) fn retention_over(&mut self, cx: &mut Context) {
        self.retention_at = None;
        let now = cx.now;
        let is_over = |at: Millis, ms: u64| at.saturating_add(ms) <= now;
        let idempotency = cx.settings.idempotency_ms;
        for _ in 0..FORGOTTEN_AT_ONCE {
            let ended = self.handoff.forgets_at();
            let decided = self.approvals.oldest_decided();
            let called = self.tools.ended.oldest();
            let outcome = self.outcomes.oldest();
            let departed = self.departures.oldest();
            if ended.is_some_and(|at| at <= now) {
                self.forget_oldest_task(cx);
            } else if decided.is_some_and(|at| is_over(at, cx.settings.approval_retention_ms)) {
                self.forget_oldest_approval(cx);
            } else if called.is_some_and(|at| is_over(at, cx.settings.call_retention_ms)) {
                self.forget_oldest_call(cx);
            } else if outcome.is_some_and(|at| is_over(at, idempotency)) {
                if let Some(key) = self.outcomes.forget_oldest() {
                    self.change(cx, Change::Outcome(key));
                }
            } else if departed.is_some_and(|at| is_over(at, cx.settings.departed_retention_ms)) {
                self.forget_oldest_departed(cx);
            } else if !(self.is_deserted()
                && is_over(self.log.at, idempotency)
                && self.merge_oldest_tombstone(cx))
            {
                break;
            }
        }
        self.arm_retention(cx);
    }

    /// Nothing is to be forgotten for now: the room is about to go, or something else is due sooner.
    pub(super) fn disarm_retention(&mut self, cx: &mut Context) {
        if let Some(at) = self.retention_at.take() {
            let subject = Subject::Room(self.name.clone());
            cx.timers.disarm(at, Timer::Retention, subject);
        }
    }
}
