//! A task that was dispatched, in the hands of who wants it done.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::command::json_of;
use super::core::{data, decode_json};
use super::error::Error;
use super::results::TaskSeat;
use super::room::Room;
use crate::wire::Millis;
use crate::wire::handoff::{Cancel, GetTask, ResultStatus, TaskResult, TaskState, TaskView};
use crate::wire::json::Json;
use crate::wire::name::{Agent as AgentId, TaskId};
use crate::wire::question::{AnswerTask, OpenQuestion};
use crate::wire::topic::Topic;

/// A task of this agent's. Dropping it leaves the task alone.
#[derive(Debug)]
pub struct TaskHandle {
    room: Room,
    seat: TaskSeat,
    /// It may have ended before we listened, so the gateway is asked once.
    is_found_again: bool,
    /// How it ended, as the gateway says; its result may be on its way still.
    found: Option<TaskResult>,
}

/// What is heard of a task until it ends.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TaskUpdate {
    /// A partial result.
    Part(TaskResult),
    /// Its worker waits for an answer.
    Question(TaskQuestion),
    /// It has ended well; nothing more comes.
    Done(TaskResult),
}

impl TaskHandle {
    pub(super) fn new(room: Room, task: TaskId, is_found_again: bool) -> TaskHandle {
        let seat = room.shared.results.take_seat(task);
        TaskHandle {
            room,
            seat,
            is_found_again,
            found: None,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.seat.task.as_str()
    }

    /// Waits until it has ended well, for as long as that takes: give it a time to live
    /// ([`Task::ttl`](super::Task::ttl)), or see [`TaskHandle::result_within`]. May be dropped and
    /// asked for again.
    ///
    /// # Errors
    /// [`Error::TaskFailed`], [`Error::TaskExpired`], [`Error::TaskCancelled`] as it ended.
    pub async fn result(&mut self) -> Result<TaskResult, Error> {
        self.look_back().await?;
        if let Some(found) = &self.found {
            return found.clone().into_success();
        }
        let link = &self.room.core().link;
        let result = super::waiting::outcome(link, &mut self.seat.end).await?;
        result.into_success()
    }

    /// The same, for so long at most. The task goes on all the same.
    ///
    /// # Errors
    /// [`Error::Timeout`] besides.
    pub async fn result_within(&mut self, within: Duration) -> Result<TaskResult, Error> {
        let what = format!("the result of task {}", self.id());
        let outcome = tokio::time::timeout(within, self.result()).await;
        outcome.unwrap_or(Err(Error::Timeout {
            what,
            after: within,
            sent: true,
        }))
    }

    /// What is heard of it next: partial results, questions, and at last how it ended.
    ///
    /// # Errors
    /// As [`TaskHandle::result`]; [`Error::Overflow`] if too much was left unread.
    pub async fn next(&mut self) -> Result<TaskUpdate, Error> {
        self.look_back().await?;
        let link = self.room.core().link.clone();
        let mut end = self.seat.end.clone();
        let found = super::waiting::after_mail(self.found.as_ref());
        tokio::select! {
            biased;
            part = self.seat.parts.recv() => {
                if self.seat.is_full() {
                    return Err(Error::Overflow("too many parts of a task were left unread"));
                }
                part.map(|part| self.update(part)).ok_or(Error::Disconnected)
            }
            result = super::waiting::outcome(&link, &mut end) => {
                result?.into_success().map(TaskUpdate::Done)
            }
            found = found => found.into_success().map(TaskUpdate::Done),
        }
    }

    fn update(&self, part: TaskResult) -> TaskUpdate {
        match (part.status, &part.question) {
            (ResultStatus::Input, Some(question)) => TaskUpdate::Question(TaskQuestion {
                task: part.task.clone(),
                attempt: part.attempts,
                ask: part.ask.unwrap_or_default(),
                question: question.clone(),
                schema: part.schema.clone(),
                expires_at: part.expires_at.unwrap_or_default(),
                worker: part.worker.clone(),
                dispatcher: self.room.me(),
                room: self.room.clone(),
            }),
            _ => TaskUpdate::Part(part),
        }
    }

    /// Has it end, with all that belongs to it. It ends as cancelled, unless it was quicker.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it has ended.
    pub async fn cancel(&self, reason: &str) -> Result<(), Error> {
        cancel(&self.room, Some(self.seat.task.clone()), None, reason).await
    }

    /// How it stands.
    ///
    /// # Errors
    /// [`Error::NotFound`] once it is forgotten.
    pub async fn get(&self) -> Result<TaskView, Error> {
        get(&self.room, self.seat.task.clone(), false).await
    }

    /// Its result may have come to an earlier program, which knows it and is gone.
    async fn look_back(&mut self) -> Result<(), Error> {
        if !self.is_found_again {
            return Ok(());
        }
        let view = get(&self.room, self.seat.task.clone(), false).await?;
        self.is_found_again = false;
        self.found = ended(view);
        Ok(())
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        self.room.shared.results.leave_seat(&self.seat);
    }
}

/// A task that has ended, as its result said so.
fn ended(view: TaskView) -> Option<TaskResult> {
    let status = match view.state {
        TaskState::Succeeded => ResultStatus::Succeeded,
        TaskState::Dead => ResultStatus::Dead,
        TaskState::Expired => ResultStatus::Expired,
        TaskState::Cancelled => ResultStatus::Cancelled,
        _ => return None,
    };
    Some(TaskResult {
        task: view.task,
        task_type: view.task_type,
        status,
        is_final: true,
        part: None,
        result: view.result,
        error: view.error,
        ask: None,
        question: None,
        schema: None,
        expires_at: None,
        attempts: view.attempt,
        worker: view.worker,
        created_at: view.created_at,
        at: view.updated_at,
        correlation_id: None,
        traceparent: None,
        tracestate: None,
        too_large: None,
    })
}

pub(super) async fn get(room: &Room, task: TaskId, payload: bool) -> Result<TaskView, Error> {
    let body = GetTask {
        task,
        payload,
        correlation_id: None,
    };
    let reply = room.call(Topic::HandoffGet { me: room.me() }, body).await?;
    data(&reply)
}

pub(super) async fn cancel(
    room: &Room,
    task: Option<TaskId>,
    group: Option<String>,
    reason: &str,
) -> Result<(), Error> {
    let body = Cancel {
        task,
        group,
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        id: None,
        correlation_id: None,
    };
    let topic = Topic::HandoffCancel { me: room.me() };
    room.call(topic, body).await.map(drop)
}

/// What a task's worker asks, for who may answer it.
#[derive(Debug, Clone)]
pub struct TaskQuestion {
    /// The task.
    pub task: TaskId,
    /// The attempt that asks.
    pub attempt: u32,
    /// Which of the task's questions it is, counted from 1.
    pub ask: u32,
    /// What is asked.
    pub question: Json,
    /// What the answer must look like.
    pub schema: Option<Json>,
    /// When nobody waits for the answer any more, Unix milliseconds.
    pub expires_at: Millis,
    /// Who asks.
    pub worker: Option<AgentId>,
    /// Who dispatched the task.
    pub dispatcher: AgentId,
    room: Room,
}

impl TaskQuestion {
    pub(super) fn open(room: &Room, open: OpenQuestion) -> TaskQuestion {
        TaskQuestion {
            task: open.task,
            attempt: open.attempt,
            ask: open.ask,
            question: open.question,
            schema: open.schema,
            expires_at: open.expires_at,
            worker: Some(open.worker),
            dispatcher: open.dispatcher,
            room: room.clone(),
        }
    }

    /// What is asked, as a type of yours.
    ///
    /// # Errors
    /// [`Error::Payload`] if it is something else.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode_json(Some(&self.question))
    }

    /// Answers it.
    ///
    /// # Errors
    /// [`Error::Invalid`], with a path, if the answer does not fit the schema: then it may be
    /// answered again. [`Error::Conflict`] if it was answered, or is over.
    pub async fn answer<T: Serialize + ?Sized>(&self, answer: &T) -> Result<(), Error> {
        let body = AnswerTask {
            task: self.task.clone(),
            attempt: self.attempt,
            ask: Some(self.ask),
            answer: json_of(answer)?,
            id: None,
            correlation_id: None,
        };
        let topic = Topic::HandoffAnswer { me: self.room.me() };
        self.room.call(topic, body).await.map(drop)
    }
}
