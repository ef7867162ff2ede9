//! Redrive: dead tasks get another life, one by one or by type.

use crate::wire::handoff::{Redrive, Redriven, TaskState};
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
                    Ok(room.redrive_type(cx, call, of_type, limit))
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
    ) -> Accepted {
        let dead = Wanted {
            states: &[TaskState::Dead],
            task_type: Some(of_type),
            capability: None,
        };
        let all = TaskNo(0)..=TaskNo(self.handoff.last_no);
        let found = self.handoff.index.find(dead, all, false);
        let found: Vec<TaskNo> = found.take(cx.settings.max_redrive as usize).collect();
        let mut told = Redriven {
            redriven: 0,
            skipped: 0,
            remaining: 0,
        };
        for no in found {
            if told.redriven == limit {
                break;
            }
            let admitted = self.admit_redrive(cx, call, no);
            match admitted.and_then(|()| self.reopen(cx, call, no)) {
                Ok(()) => told.redriven += 1,
                Err(_) => told.skipped += 1,
            }
        }
        told.remaining = self.handoff.index.count(dead) as u64;
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
