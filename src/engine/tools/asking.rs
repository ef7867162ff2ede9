//! Asking: a provider that cannot go on without an answer waits for its caller's, and meanwhile the
//! call's time stands still.

use crate::wire::Millis;
use crate::wire::json::Json;
use crate::wire::name::CallId;
use crate::wire::question::AnswerCall;
use crate::wire::reply::{Code, Rejection};
use crate::wire::tools::ToolReturn;

use crate::engine::question::Inquiry;
use crate::engine::recorded::Recorded;
use crate::engine::replies::{Accepted, Call, Outcome};
use crate::engine::timer::{Timer, TimerSubject};
use crate::engine::tx::RoomTx;

use super::Tools;
use super::call::OpenCall;
use super::records::ToolChange;
use super::states::{ASKING, RUNNING};

impl Tools {
    /// Its provider asks.
    pub(super) fn ask(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &Call<'_>,
        said: ToolReturn,
    ) -> Result<(), Rejection> {
        let mut open = self.open_call(&said.call)?.clone();
        if open.is_asking() {
            let reason = format!("{} waits for an answer already", open.id);
            return Err(Rejection::new(Code::Conflict, reason).at("call"));
        }
        let settings = &tx.cx.settings.tools;
        let (usual, most) = (settings.ask_timeout.ms(), settings.max_questions_per_call);
        let question = Inquiry {
            question: said.question,
            schema: said.schema,
            answerers: Vec::new(),
            ttl_ms: said.ttl_ms,
        };
        let question = question.check(tx.cx, usual)?;
        open.questions.expect_fewer_than(most)?;
        let size = question.bytes();
        self.admit_bytes(tx, size)?;
        tx.cx
            .has_room_beside_promises(call.mailboxes, &open.caller, size, "a question")?;
        open.left_ms = open.deadline.saturating_sub(tx.cx.now).max(1);
        let until = question.expires_at;
        open.questions.ask(question);
        self.move_deadline(tx, &mut open, until);
        // The run comes again with the answer.
        self.revoke_run(tx, &open);
        self.deliver_question(tx, &open);
        self.tell_call(tx, &open, "tools.asked", Some(ASKING), None);
        self.renew(tx, open);
        Ok(())
    }

    /// `tools/answer`: what was asked has its answer.
    pub(super) fn answer(&mut self, tx: &mut RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
        let said: AnswerCall = call.read(&tx.cx.settings)?;
        tx.once(call, |tx| {
            let open = self.open_call(&said.call)?;
            if open.caller != *call.from() {
                let reason = format!("{} is not a call of {}", said.call, call.from());
                return Err(Rejection::new(Code::Forbidden, reason));
            }
            open.questions.check_answer(tx.cx, said.ask, &said.answer)?;
            self.admit_bytes(tx, said.answer.text().len())?;
            self.go_on(tx, &said.call, Some(said.answer));
            Ok(Accepted::call(Code::Done, &said.call))
        })
    }

    /// The wait for an answer is over: its provider goes on.
    pub(super) fn go_on(&mut self, tx: &mut RoomTx<'_>, id: &CallId, answer: Option<Json>) {
        let Some(mut open) = self.calls.get(id).cloned() else {
            return;
        };
        let what = match answer {
            Some(_) => "tools.answered",
            None => "tools.unanswered",
        };
        open.questions.close(answer);
        self.let_time_run(tx, &mut open);
        let arguments = open.arguments.clone();
        self.deliver_run(tx, &open, arguments.as_ref());
        self.tell_call(tx, &open, what, Some(RUNNING), None);
        self.renew(tx, open);
    }

    /// What is left of a call's time runs on.
    pub(super) fn let_time_run(&mut self, tx: &mut RoomTx<'_>, open: &mut OpenCall) {
        if open.left_ms > 0 {
            let until = tx.cx.after(std::mem::take(&mut open.left_ms));
            self.move_deadline(tx, open, until);
        }
    }

    fn move_deadline(&mut self, tx: &mut RoomTx<'_>, open: &mut OpenCall, until: Millis) {
        let subject = TimerSubject::Call(tx.room.name.clone(), open.id.clone());
        let timers = &mut tx.cx.timers;
        timers.disarm(open.deadline, Timer::Call, subject.clone());
        open.deadline = until;
        timers.arm(until, Timer::Call, subject);
    }

    /// Puts a call in the place of what it was.
    pub(super) fn renew(&mut self, tx: &mut RoomTx<'_>, open: OpenCall) {
        self.change(tx, ToolChange::Call(open.id.clone()));
        if let Some(before) = self.calls.get(&open.id) {
            self.kept_bytes = self.kept_bytes - before.kept_bytes() + open.kept_bytes();
        }
        self.calls.insert(open.id.clone(), open);
    }

    fn admit_bytes(&self, tx: &RoomTx<'_>, more: usize) -> Result<(), Rejection> {
        let limit = tx.cx.settings.tools.max_call_bytes_per_room.0;
        if self.kept_bytes + more > limit {
            let reason = format!("the room keeps {limit} bytes of calls already");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        Ok(())
    }
}
