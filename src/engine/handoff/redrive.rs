//! Redrive: dead tasks get another life, one by one or by type.

use crate::wire::handoff::{Redrive, Redriven, Skipped, TaskState};
use crate::wire::json::Json;
use crate::wire::name::TaskType;
use crate::wire::reply::{Code, Rejection};

use crate::engine::gate::GateMessage;
use crate::engine::replies::{Accepted, Call, Outcome, between};
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Advance;
use super::Handoff;
use super::approval::gate;
use super::index::TaskFilter;
use super::step::Step;
use crate::engine::ids::TaskNo;

/// Tasks that one command redrives, where it does not say.
const USUAL_REDRIVE: u32 = 100;

/// Dead tasks that are counted one by one for what remains.
const COUNTED: usize = 10_000;

/// How far a redrive by type has come.
#[derive(Debug, Clone, Copy, Default)]
struct RedriveWalk {
    last: TaskNo,
    /// Tasks before that which were left where they are.
    skipped: u64,
}

impl RedriveWalk {
    fn from(cursor: Option<&str>) -> Result<RedriveWalk, Rejection> {
        let Some(text) = cursor else {
            return Ok(RedriveWalk::default());
        };
        let read = || {
            let (last, skipped) = text.split_once('/')?;
            // The greatest number of all has none behind it.
            let last = last.parse().ok().filter(|last| *last < u64::MAX)?;
            let skipped = skipped.parse().ok()?;
            let last = TaskNo(last);
            Some(RedriveWalk { last, skipped })
        };
        read().ok_or_else(|| {
            let reason = format!("cursor must be one that an answer came with, but is {text:?}");
            Rejection::new(Code::Invalid, reason).at("cursor")
        })
    }
}

impl Redriven {
    fn skip(&mut self, why: Rejection) {
        self.skipped += 1;
        let known = &mut self.skipped_because;
        match known.iter_mut().find(|known| known.code == why.code) {
            Some(known) => known.count += 1,
            None => known.push(Skipped {
                code: why.code,
                count: 1,
                reason: why.reason,
            }),
        }
    }
}

impl Handoff {
    pub(in crate::engine) fn redrive(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
    ) -> Outcome {
        let redrive: Redrive = call.read(&tx.cx.settings)?;
        tx.once(call, |tx| match (&redrive.task, &redrive.task_type) {
            (Some(id), None) => {
                let no = self.number(id)?;
                self.admit_redrive(tx, call, no)?;
                self.reopen(tx, call, no)?;
                Ok(Accepted::task(Code::Taken, id))
            }
            (None, Some(of_type)) => {
                let most = tx.cx.settings.handoff.max_redrive;
                let limit = redrive.limit.unwrap_or(USUAL_REDRIVE.min(most));
                between("limit", limit.into(), 1, most.into())?;
                let walk = RedriveWalk::from(redrive.cursor.as_deref())?;
                Ok(self.redrive_type(tx, call, of_type, limit, walk))
            }
            _ => {
                let reason = "expected either task or type: which dead task, or all of which type";
                Err(Rejection::new(Code::Invalid, reason).at("task"))
            }
        })
    }

    /// The dead of a type, oldest first; those that cannot live again now are left where they are.
    fn redrive_type(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &Call<'_>,
        of_type: &TaskType,
        limit: u32,
        mut walk: RedriveWalk,
    ) -> Accepted {
        let dead = TaskFilter {
            states: &[TaskState::Dead],
            task_type: Some(of_type),
            capability: None,
        };
        let rest = TaskNo(walk.last.0 + 1)..=TaskNo(self.last_no);
        let found = self.index.find(dead, rest, false);
        let found: Vec<TaskNo> = found.take(COUNTED + 1).collect();
        let mut told = Redriven::default();
        let mut behind = found.len();
        for no in found.iter().copied().take(tx.cx.settings.max_redrive_looks) {
            if told.redriven == limit {
                break;
            }
            behind -= 1;
            walk.last = no;
            let admitted = self.admit_redrive(tx, call, no);
            match admitted.and_then(|()| self.reopen(tx, call, no)) {
                Ok(()) => told.redriven += 1,
                Err(rejection) => told.skip(rejection),
            }
        }
        walk.skipped += u64::from(told.skipped);
        if behind > 0 {
            told.remaining = behind as u64;
            if found.len() > COUNTED {
                // Those further behind are not counted one by one.
                let dead = self.index.count(dead) as u64;
                told.remaining = told.remaining.max(dead.saturating_sub(walk.skipped));
            }
            told.cursor = Some(format!("{}/{}", walk.last.0, walk.skipped));
        }
        Accepted {
            told: Some(Json::of(&told)),
            ..Accepted::new(Code::Taken)
        }
    }

    fn admit_redrive(&self, tx: &RoomTx<'_>, call: &Call<'_>, no: TaskNo) -> Result<(), Rejection> {
        let task = &self.tasks[&no];
        let id = &task.body.id;
        if task.status.state() != TaskState::Dead {
            let state = task.status.state().as_str();
            let reason = format!("only a dead task can be redriven, but {id} is {state}");
            return Err(Rejection::new(Code::Conflict, reason));
        }
        let overdue = |deadline| deadline <= tx.cx.now;
        if task.body.deadline.is_some_and(overdue) {
            let reason = format!("the time to live of {id} is over");
            return Err(Rejection::new(Code::Expired, reason));
        }
        let full = self.unfinished() >= tx.cx.settings.handoff.max_tasks_per_room;
        if full || tx.cx.free_results_of(call.mailboxes, &task.body.dispatcher) == 0 {
            let reason = format!("no room for {id} or for its result");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        Ok(())
    }

    /// A dead task begins a new life: it is owed a result again.
    fn reopen(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &Call<'_>,
        no: TaskNo,
    ) -> Result<(), Rejection> {
        let unmet = self.tie_again(tx, no)?;
        let limit = tx.cx.settings.handoff.max_routes_per_room;
        let Some(task) = self.tasks.get_mut(&no) else {
            return Ok(());
        };
        let gate = match task.status.approved {
            true => None,
            false => gate(tx, &task.body)?,
        };
        task.route = self.scheduler.enter(task.body.need(), limit);
        if task.route.is_none() {
            let reason = format!("the room's tasks need {limit} different sets of capabilities");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        task.status.awaits = gate.as_ref().map(|gate| gate.id.clone());
        self.payload_bytes += task.body.payload_bytes();
        if let Some(deadline) = task.body.deadline {
            let subject = TimerSubject::Task(tx.room.name.clone(), no);
            tx.cx.timers.arm(deadline, Timer::Deadline, subject);
        }
        let advance = Advance {
            who: Some(call.from()),
            ..Advance::new(Step::Redrive(unmet))
        };
        self.advance(tx, no, advance);
        self.join_family(no);
        if let Some(gate) = gate {
            tx.tell_gates(GateMessage::Ask(gate));
        }
        Ok(())
    }
}
