//! Asking: a worker that cannot go on without an answer waits for one, and keeps its attempt.
//!
//! Meanwhile its lease rests and its place is free. The answer brings the task back to it, or to
//! another worker where it is gone. What was asked stands in a record of its own, because it may be
//! large and a task's state is written at every step.

use std::collections::BTreeMap;

use crate::wire::handoff::{ResultStatus, TaskResult, Update};
use crate::wire::json::Json;
use crate::wire::name::Agent;
use crate::wire::presence::ConnectionState;
use crate::wire::question::{AnswerTask, GivenAnswer, OpenQuestion};
use crate::wire::reply::{Code, Rejection};
use crate::wire::topic::{RoomTopic, Topic};

use crate::engine::effect::Effect;
use crate::engine::ids::TaskNo;
use crate::engine::kept_bytes::MOST_AT_ONCE;
use crate::engine::question::{Inquiry, Question, Questions};
use crate::engine::recorded::Recorded;
use crate::engine::replies::{Accepted, Call, Outcome};
use crate::engine::tx::RoomTx;

use super::records::TaskChange;
use super::step::{AskEnd, Step};
use super::task::{Task, TaskStage};
use super::{Advance, Handoff};

/// What was asked of tasks that have not ended well.
#[derive(Debug, Default)]
pub(in crate::engine) struct TaskQuestions {
    of: BTreeMap<TaskNo, Questions>,
    bytes: usize,
}

impl TaskQuestions {
    pub(in crate::engine) fn get(&self, no: TaskNo) -> Option<&Questions> {
        self.of.get(&no)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn answers(&self, no: TaskNo) -> &[GivenAnswer] {
        self.get(no).map_or(&[], Questions::answers)
    }

    /// How many of a task's questions are over.
    pub(super) fn answered(&self, no: TaskNo) -> u32 {
        u32::try_from(self.answers(no).len()).unwrap_or(u32::MAX)
    }

    fn edit<T>(&mut self, no: TaskNo, edit: impl FnOnce(&mut Questions) -> T) -> T {
        let questions = self.of.entry(no).or_default();
        let before = questions.bytes();
        let done = edit(questions);
        self.bytes = self.bytes - before + questions.bytes();
        if questions.is_empty() {
            self.of.remove(&no);
        }
        done
    }

    fn put(&mut self, no: TaskNo, questions: Questions) {
        self.edit(no, |kept| *kept = questions);
    }
}

impl Handoff {
    /// Recovery, after the tasks.
    pub(super) fn rebuild_questions(&mut self, no: TaskNo, questions: Questions) {
        if self.tasks.contains_key(&no) {
            self.questions.put(no, questions);
        }
    }

    /// Its worker asks.
    pub(super) fn ask(
        &mut self,
        tx: &mut RoomTx<'_>,
        call: &Call<'_>,
        no: TaskNo,
        update: Update,
    ) -> Result<(), Rejection> {
        if self.tasks[&no].status.asker().is_some() {
            let reason = format!("{} waits for an answer already", update.task);
            return Err(Rejection::new(Code::Conflict, reason));
        }
        let settings = &tx.cx.settings.handoff;
        let (usual, most) = (settings.ask_timeout.ms(), settings.max_questions_per_task);
        let question = Inquiry {
            question: update.question,
            schema: update.schema,
            answerers: update.answerers,
            ttl_ms: update.ttl_ms,
        };
        let question = question.check(tx.cx, usual)?;
        if let Some(before) = self.questions.get(no) {
            before.expect_fewer_than(most)?;
        }
        let size = question.bytes();
        self.admit_bytes(tx, size, "a question")?;
        let to = self.tasks[&no].body.dispatcher.clone();
        tx.cx
            .has_room_beside_promises(call.mailboxes, &to, size, "a question")?;
        self.keep_progress(tx, no, update.result);
        let until = question.expires_at;
        self.questions.edit(no, |kept| kept.ask(question));
        self.change(tx, TaskChange::Questions(no));
        let ask = Advance {
            who: Some(call.from()),
            ..Advance::new(Step::Ask(until))
        };
        self.advance(tx, no, ask);
        if let Some(asked) = self.question_result(tx, no) {
            self.deliver_result(tx, to, &asked);
        }
        Ok(())
    }

    /// `handoff/answer`: what was asked has its answer.
    pub(super) fn answer(&mut self, tx: &mut RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
        let said: AnswerTask = call.read(&tx.cx.settings)?;
        tx.once(call, |tx| {
            let no = self.number(&said.task)?;
            let task = &self.tasks[&no];
            let (Some(_), Some(questions)) = (task.status.asker(), self.questions.get(no)) else {
                let state = task.status.state().as_str();
                let reason = format!("{} waits for no answer: it is {state}", said.task);
                return Err(Rejection::new(Code::Conflict, reason));
            };
            let is_dispatcher = task.body.dispatcher == *call.from();
            let answerers = questions.open().map(|(_, open)| open.answerers.as_slice());
            if !is_dispatcher && !tx.is_named_by(answerers.unwrap_or_default(), call.actor()) {
                let reason = format!(
                    "{} has not dispatched {} and is not among those who may answer",
                    call.from(),
                    said.task
                );
                return Err(Rejection::new(Code::Forbidden, reason));
            }
            if task.status.attempt != said.attempt {
                let (is, was) = (task.status.attempt, said.attempt);
                let reason = format!("attempt {is} of {} asks, not attempt {was}", said.task);
                return Err(Rejection::new(Code::Conflict, reason).at("attempt"));
            }
            questions.check_answer(tx.cx, said.ask, &said.answer)?;
            self.admit_bytes(tx, said.answer.text().len(), "an answer")?;
            self.go_on(tx, no, Some(call.from()), Some(said.answer));
            Ok(Accepted::task(Code::Done, &said.task))
        })
    }

    pub(super) fn answer_over(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        self.go_on(tx, no, None, None);
    }

    /// The wait for an answer is over: the task goes on with its worker as long as that has a
    /// place here, and else with whoever gets it.
    fn go_on(
        &mut self,
        tx: &mut RoomTx<'_>,
        no: TaskNo,
        who: Option<&Agent>,
        answer: Option<Json>,
    ) {
        let Some(asker) = self.tasks.get(&no).and_then(|task| task.status.asker()) else {
            return;
        };
        let member = tx.room.members.0.get(asker);
        let is_here = member
            .is_some_and(|member| !member.left && member.connection != ConnectionState::Offline);
        let is_here = is_here && !self.is_too_large(tx, no, asker);
        let how = match answer {
            Some(_) => AskEnd::Answered,
            None => AskEnd::TimedOut,
        };
        self.questions.edit(no, |kept| kept.close(answer));
        self.change(tx, TaskChange::Questions(no));
        let step = match is_here {
            true => Step::Resume(how),
            false => Step::Requeue(how),
        };
        let advance = Advance {
            who,
            ..Advance::new(step)
        };
        self.advance(tx, no, advance);
    }

    /// A task waits for an answer no more, one way or another.
    pub(super) fn asks_no_more(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        if self.questions.edit(no, Questions::withdraw) {
            self.change(tx, TaskChange::Questions(no));
        }
        self.show_question(tx, no);
    }

    pub(super) fn forget_questions(&mut self, tx: &mut RoomTx<'_>, no: TaskNo) {
        if self.questions.get(no).is_some() {
            self.questions.put(no, Questions::default());
            self.change(tx, TaskChange::Questions(no));
        }
    }

    /// Shows whoever may answer what there is to answer.
    pub(super) fn show_question(&self, tx: &mut RoomTx<'_>, no: TaskNo) {
        let Some(task) = self.tasks.get(&no) else {
            return;
        };
        let topic = Topic::HandoffAsking {
            task: task.body.id.clone(),
        };
        let open = self.open_question(no, task);
        tx.cx.emit(Effect::Retain {
            topic: RoomTopic::new(tx.room.name.clone(), topic),
            payload: open.map(|open| tx.cx.wall.encode(&open)),
        });
    }

    pub(super) fn open_question(&self, no: TaskNo, task: &Task) -> Option<OpenQuestion> {
        let TaskStage::Asking { worker, .. } = &task.status.stage else {
            return None;
        };
        let (ask, open) = self.questions.get(no)?.open()?;
        let Question {
            question,
            schema,
            answerers,
            asked_at,
            expires_at,
        } = open.clone();
        let body = &task.body;
        Some(OpenQuestion {
            task: body.id.clone(),
            task_type: body.task_type.clone(),
            attempt: task.status.attempt,
            ask,
            question,
            schema,
            answerers,
            dispatcher: body.dispatcher.clone(),
            worker: worker.clone(),
            asked_at,
            expires_at,
            traceparent: body.traceparent.as_deref().map(str::to_owned),
            tracestate: body.tracestate.as_deref().map(str::to_owned),
        })
    }

    /// What the dispatcher is told.
    fn question_result(&self, tx: &RoomTx<'_>, no: TaskNo) -> Option<TaskResult> {
        let task = self.tasks.get(&no)?;
        let open = self.open_question(no, task)?;
        Some(TaskResult {
            ask: Some(open.ask),
            question: Some(open.question),
            schema: open.schema,
            expires_at: Some(open.expires_at),
            ..task.result(tx.cx.now, ResultStatus::Input, None)
        })
    }

    /// Refuses what the room has no room for beside its payloads.
    fn admit_bytes(
        &mut self,
        tx: &mut RoomTx<'_>,
        more: usize,
        what: &str,
    ) -> Result<(), Rejection> {
        self.spare_bytes(tx, more);
        let limit = tx.cx.settings.handoff.max_task_bytes_per_room.0;
        if self.kept_bytes() + more > limit {
            let reason = format!("the room has no place for {what}: it may keep {limit} bytes");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        Ok(())
    }

    /// Where the room has no place for so many bytes more, what dead tasks would begin with if they
    /// were redriven gives way, the oldest first.
    pub(super) fn spare_bytes(&mut self, tx: &mut RoomTx<'_>, more: usize) {
        let limit = tx.cx.settings.handoff.max_task_bytes_per_room.0;
        if self.kept_bytes() + more <= limit {
            return;
        }
        let kept = self.questions.of.keys().chain(self.progress.tasks());
        let is_dead = |no: &&TaskNo| {
            let task = self.tasks.get(no);
            task.is_some_and(|task| task.status.state().is_final())
        };
        let mut dead: Vec<TaskNo> = kept.filter(is_dead).take(MOST_AT_ONCE).copied().collect();
        dead.sort_unstable();
        for no in dead {
            if self.kept_bytes() + more <= limit {
                break;
            }
            tx.cx.stats.forgotten_early += 1;
            self.forget_progress(tx, no);
            self.forget_questions(tx, no);
        }
    }

    /// Bytes that the room keeps of tasks that have not ended well.
    pub(super) fn kept_bytes(&self) -> usize {
        self.payload_bytes + self.progress.bytes() + self.questions.bytes()
    }
}
