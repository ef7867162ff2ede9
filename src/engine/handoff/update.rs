//! What agents may do with a task that exists: report on it, cancel it.

use crate::wire::handoff::{Cancel, ResultStatus, Update, UpdateStatus};
use crate::wire::name::TaskId;
use crate::wire::reply::{Code, Rejection};

use super::records::TaskChange;
use crate::engine::context::Context;
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::recorded::Recorded;
use crate::engine::replies::{Accepted, Call, Outcome, json_at_most, text_at_most};
use crate::engine::tx::RoomTx;

use super::last_report::{LastReport, admits};
use super::step::Step;
use super::task::why;
use super::{Advance, Handoff};
use crate::engine::ids::TaskNo;

impl Handoff {
    pub(super) fn number(&self, id: &TaskId) -> Result<TaskNo, Rejection> {
        self.numbers
            .get(id)
            .copied()
            .ok_or_else(|| Rejection::new(Code::NotFound, format!("no task {id}")).at("task"))
    }
}

impl Handoff {
    pub(in crate::engine) fn update(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
    ) -> Outcome {
        let update: Update = call.read(&tx.cx.settings)?;
        tx.once(call, |tx| {
            check_update(tx.cx, &update)?;
            let no = self.number(&update.task)?;
            let accepted = Accepted::task(Code::Done, &update.task);
            if !admits(&self.tasks[&no], call.from(), &update)? {
                return Ok(accepted);
            }
            self.seen(tx, call);
            match update.status {
                UpdateStatus::Accepted => self.run(tx, call, no),
                UpdateStatus::Progress => {
                    let admitted = self.admit_partial(tx, call, no, &update);
                    if admitted.is_err() {
                        self.heard(tx, no);
                        return admitted.map(|()| accepted);
                    }
                    self.run(tx, call, no);
                    self.is_getting_on(tx, no);
                    self.partial(tx, call, no, update);
                }
                UpdateStatus::Success => self.succeed(tx, call, no, update),
                UpdateStatus::Error => self.fail(tx, call, no, update),
                UpdateStatus::Input => {
                    let asked = self.ask(tx, call, no, update);
                    if asked.is_err() {
                        self.heard(tx, no);
                        return asked.map(|()| accepted);
                    }
                }
                UpdateStatus::Release => {
                    self.keep_progress(tx, no, update.result);
                    self.release(tx, no, Some(call.from()), None);
                }
            }
            Ok(accepted)
        })
    }

    fn seen(&mut self, tx: &mut RoomTx<'_>, call: &Call<'_>) {
        if let Some(member) = tx.room.members.0.get_mut(call.from()) {
            member.last_seen = tx.cx.now;
            if std::mem::take(&mut member.lapsed) {
                tx.mark_presence_dirty(call.from(), false);
            }
        }
    }

    /// Refused or not, the worker has said something, and so has its whole lease again.
    fn heard(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        if self.tasks[&no].status.holder().is_some() {
            self.renew_lease(tx, no);
        }
    }

    /// The worker is at it, and has its whole lease again. While it waits for an answer it has
    /// none, and is at nothing.
    fn run(&mut self, tx: &mut RoomTx<'_>, call: &Call<'_>, no: TaskNo) {
        if self.tasks[&no].status.asker().is_some() {
            return;
        }
        self.renew_lease(tx, no);
        let is_running = self.tasks[&no].status.is_running();
        if !is_running {
            let run = Advance {
                who: Some(call.from()),
                ..Advance::new(Step::Run)
            };
            self.advance(tx, no, run);
        }
    }

    /// A worker that gets on with a task may be sent it again as often as at first.
    fn is_getting_on(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        if let Some(task) = self.tasks.get_mut(&no)
            && task.status.deliveries > 1
        {
            task.status.deliveries = 1;
            self.change(tx, TaskChange::State(no));
        }
    }

    /// A partial result needs room that is not promised to final ones.
    fn admit_partial(
        &self,
        tx: &RoomTx<'_>,
        call: &Call<'_>,
        no: TaskNo,
        update: &Update,
    ) -> Result<(), Rejection> {
        let Some(result) = &update.result else {
            return Ok(());
        };
        if self.tasks[&no].status.asker().is_some() {
            let reason = format!(
                "{} waits for an answer, and has no partial result",
                update.task
            );
            return Err(Rejection::new(Code::Conflict, reason));
        }
        let to = &self.tasks[&no].body.dispatcher;
        let size = result.text().len();
        let what = "a partial result (the lease goes on all the same)";
        tx.cx
            .has_room_beside_promises(call.mailboxes, to, size, what)
    }

    fn partial(&mut self, tx: &mut RoomTx<'_>, call: &Call<'_>, no: TaskNo, update: Update) {
        let Some(result) = update.result else {
            return;
        };
        let Some(task) = self.tasks.get_mut(&no) else {
            return;
        };
        task.status.parts += 1;
        let (id, to) = (task.body.id.clone(), task.body.dispatcher.clone());
        let traceparent = task.body.traceparent.clone();
        let bytes = result.text().len();
        let partial = task.result(tx.cx.now, ResultStatus::Partial, Some(result.clone()));
        self.change(tx, TaskChange::State(no));
        self.keep_progress(tx, no, Some(result));
        self.deliver_result(tx, to, &partial);
        let happened = RoomEvent {
            detail: Detail {
                attempt: Some(update.attempt),
                worker: Some(call.from()),
                bytes: Some(bytes),
                ..Detail::default()
            },
            traceparent: traceparent.as_deref(),
            ..RoomEvent::new("handoff.progress", id.as_str(), call.from())
        };
        tx.record_event(&happened);
    }

    fn succeed(&mut self, tx: &mut RoomTx<'_>, call: &Call<'_>, no: TaskNo, update: Update) {
        let step = Step::Succeed(LastReport::of(&update));
        let succeed = Advance {
            who: Some(call.from()),
            result: update.result,
            ..Advance::new(step)
        };
        self.advance(tx, no, succeed);
    }

    fn fail(&mut self, tx: &mut RoomTx<'_>, call: &Call<'_>, no: TaskNo, update: Update) {
        let word = LastReport::of(&update);
        self.keep_progress(tx, no, update.result);
        let error = update.error;
        let error = error.unwrap_or_else(|| why("error", "the worker did not say what went wrong"));
        let reason = error.message.clone();
        let fail = Advance {
            who: Some(call.from()),
            reason: Some(&reason),
            ..Advance::new(Step::Fail(error, word))
        };
        self.advance(tx, no, fail);
    }

    pub(in crate::engine) fn cancel(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &mut Call<'_>,
    ) -> Outcome {
        let cancel: Cancel = call.read(&tx.cx.settings)?;
        tx.once(call, |tx| {
            let limit = tx.cx.settings.commands.max_reason.0;
            text_at_most("reason", cancel.reason.as_deref(), limit)?;
            let reason = cancel.reason.as_deref();
            match (&cancel.task, &cancel.group) {
                (Some(task), None) => {
                    let no = self.number(task)?;
                    self.expect_unfinished(no)?;
                    self.cancel_family(tx, no, call.from(), reason);
                    Ok(Accepted::task(Code::Done, task))
                }
                (None, Some(group)) => {
                    self.cancel_group(tx, call.from(), group, reason)?;
                    Ok(Accepted::new(Code::Done))
                }
                _ => {
                    let reason = "expected either task or group: what is to be cancelled";
                    Err(Rejection::new(Code::Invalid, reason).at("task"))
                }
            }
        })
    }

    /// The gateway cancels a task.
    pub(in crate::engine) fn cancel_for(&mut self, tx: &mut RoomTx<'_>, no: TaskNo, reason: &str) {
        let step = Step::Cancel(why("cancelled", reason));
        let advance = Advance {
            reason: Some(reason),
            ..Advance::new(step)
        };
        self.advance(tx, no, advance);
    }

    fn expect_unfinished(&self, no: TaskNo) -> Result<(), Rejection> {
        let task = &self.tasks[&no];
        let state = task.status.state();
        if state.is_final() {
            let reason = format!("{} has ended already: {}", task.body.id, state.as_str());
            return Err(Rejection::new(Code::Conflict, reason));
        }
        Ok(())
    }
}

fn check_update(cx: &Context, update: &Update) -> Result<(), Rejection> {
    let settings = &cx.settings;
    json_at_most(
        "result",
        update.result.as_ref(),
        settings.handoff.max_payload.0,
    )?;
    let error = update.error.as_ref();
    let code = error.and_then(|error| error.code.as_deref());
    text_at_most("error.code", code, settings.commands.max_label.0)?;
    let message = error.map(|error| error.message.as_str());
    text_at_most("error.message", message, settings.commands.max_reason.0)
}
