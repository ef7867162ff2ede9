//! Redrive: dead tasks get another life, one by one or by type.

use crate::wire::handoff::{Redrive, Redriven, Skipped, TaskState};
use crate::wire::json::Json;
use crate::wire::name::TaskType;
use crate::wire::reply::{Code, Rejection};

use crate::engine::context::Context;
use crate::engine::replies::{Accepted, Call, Outcome, between};
use crate::engine::room::RoomState;
use crate::engine::timer::{Subject, Timer};

use super::Advance;
use super::index::Wanted;
use super::task::{Step, TaskNo};

/// Tasks that one command redrives, where it does not say.
const USUAL_REDRIVE: u32 = 100;

/// Dead tasks that are counted one by one for what remains.
const COUNTED: usize = 10_000;

/// How far a redrive by type has come.
#[derive(Debug, Clone, Copy, Default)]
struct Walk {
    last: TaskNo,
    /// Tasks before that which were left where they are.
    skipped: u64,
}

impl Walk {
    fn from(cursor: Option<&str>) -> Result<Walk, Rejection> {
        let Some(text) = cursor else {
            return Ok(Walk::default());
        };
        let read = || {
            let (last, skipped) = text.split_once('/')?;
            // The greatest number of all has none behind it.
            let last = last.parse().ok().filter(|last| *last < u64::MAX)?;
            let skipped = skipped.parse().ok()?;
            let last = TaskNo(last);
            Some(Walk { last, skipped })
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

impl RoomState {
    pub(in crate::engine) fn redrive(&mut self, cx: &mut Context, call: &mut Call<'_>) -> Outcome {
        let redrive: Redrive = call.read(&cx.settings)?;
        self.once(cx, call, |room, cx| {
            match (&redrive.task, &redrive.task_type) {
                (Some(id), None) => {
                    let no = room.handoff.number(id)?;
                    room.admit_redrive(cx, call, no)?;
                    room.reopen(cx, call, no)?;
                    Ok(Accepted::task(Code::Taken, id))
                }
                (None, Some(of_type)) => {
                    let most = cx.settings.max_redrive;
                    let limit = redrive.limit.unwrap_or(USUAL_REDRIVE.min(most));
                    between("limit", limit.into(), 1, most.into())?;
                    let walk = Walk::from(redrive.cursor.as_deref())?;
                    Ok(room.redrive_type(cx, call, of_type, limit, walk))
                }
                _ => {
                    let reason =
                        "expected either task or type: which dead task, or all of which type";
                    Err(Rejection::new(Code::Invalid, reason).at("task"))
                }
            }
        })
    }

    /// The dead of a type, oldest first; those that cannot live again now are left where they are.
    fn redrive_type(
        &mut self,
        cx: &mut Context,
        call: &Call<'_>,
        of_type: &TaskType,
        limit: u32,
        mut walk: Walk,
    ) -> Accepted {
        let dead = Wanted {
            states: &[TaskState::Dead],
            task_type: Some(of_type),
            capability: None,
        };
        let rest = TaskNo(walk.last.0 + 1)..=TaskNo(self.handoff.last_no);
        let found = self.handoff.index.find(dead, rest, false);
        let found: Vec<TaskNo> = found.take(COUNTED + 1).collect();
        let mut told = Redriven::default();
        let mut behind = found.len();
        for no in found.iter().copied().take(cx.settings.max_redrive_looks) {
            if told.redriven == limit {
                break;
            }
            behind -= 1;
            walk.last = no;
            let admitted = self.admit_redrive(cx, call, no);
            match admitted.and_then(|()| self.reopen(cx, call, no)) {
                Ok(()) => told.redriven += 1,
                Err(rejection) => told.skip(rejection),
            }
        }
        walk.skipped += u64::from(told.skipped);
        if behind > 0 {
            told.remaining = behind as u64;
            if found.len() > COUNTED {
                // Those further behind are not counted one by one.
                let dead = self.handoff.index.count(dead) as u64;
                told.remaining = told.remaining.max(dead.saturating_sub(walk.skipped));
            }
            told.cursor = Some(format!("{}/{}", walk.last.0, walk.skipped));
        }
        Accepted {
            told: Some(Json::of(&told)),
            ..Accepted::new(Code::Taken)
        }
    }

    fn admit_redrive(&self, cx: &Context, call: &Call<'_>, no: TaskNo) -> Result<(), Rejection> {
        let task = &self.handoff.tasks[&no];
        let id = &task.body.id;
        if task.status.state() != TaskState::Dead {
            let state = task.status.state().as_str();
            let reason = format!("only a dead task can be redriven, but {id} is {state}");
            return Err(Rejection::new(Code::Conflict, reason));
        }
        let overdue = |deadline| deadline <= cx.now;
        if task.body.deadline.is_some_and(overdue) {
            let reason = format!("the time to live of {id} is over");
            return Err(Rejection::new(Code::Expired, reason));
        }
        let full = self.handoff.unfinished() >= cx.settings.max_tasks_per_room;
        if full || cx.unpromised(call.mailboxes, &task.body.dispatcher) == 0 {
            let reason = format!("no room for {id} or for its result");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        Ok(())
    }

    /// A dead task begins a new life: it is owed a result again.
    fn reopen(&mut self, cx: &mut Context, call: &Call<'_>, no: TaskNo) -> Result<(), Rejection> {
        let unmet = self.tie_again(cx, no)?;
        let limit = cx.settings.max_routes_per_room;
        let handoff = &mut self.handoff;
        let Some(task) = handoff.tasks.get_mut(&no) else {
            return Ok(());
        };
        task.route = handoff.scheduler.enter(task.body.need(), limit);
        if task.route.is_none() {
            let reason = format!("the room's tasks need {limit} different sets of capabilities");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        handoff.payload_bytes += task.body.payload_bytes();
        if let Some(deadline) = task.body.deadline {
            let subject = Subject::Task(self.name.clone(), no);
            cx.timers.arm(deadline, Timer::Deadline, subject);
        }
        let advance = Advance {
            who: Some(call.from()),
            ..Advance::new(Step::Redrive(unmet))
        };
        self.advance(cx, no, advance);
        self.join_family(no);
        Ok(())
    }
}
