//! Handoff: tasks for whoever can do them.

use std::time::Duration;

use super::command::{Effort, Persistence, fresh_id};
use super::core::{data, decode};
use super::error::Error;
use super::feed::{Feed, UNREAD, WINDOW};
use super::handle::{self, TaskHandle, TaskQuestion};
use super::link::Level;
use super::results::Mailed;
use super::room::Room;
use super::task::Task;
use super::waiting;
use crate::wire::handoff::{
    GroupResult, ListTasks, Redrive, Redriven, TaskPage, TaskResult, TaskView,
};
use crate::wire::name::{TaskId, TaskType};
use crate::wire::question::OpenQuestion;
use crate::wire::topic::Topic;

/// A room's tasks: [`Room::handoff`].
#[derive(Debug, Clone)]
pub struct RoomHandoff {
    room: Room,
}

impl RoomHandoff {
    pub(super) fn new(room: Room) -> RoomHandoff {
        RoomHandoff { room }
    }

    /// Hands a task over. Returns when the gateway has it on disk, whoever is there to do it.
    ///
    /// # Errors
    /// What the gateway refuses; with [`Task::require_online`], [`Error::Unavailable`] at once if
    /// nobody online can do it.
    pub async fn dispatch(&self, task: impl Into<Task>) -> Result<TaskHandle, Error> {
        let mut message = task.into().into_message()?;
        let is_named = message.id.is_some();
        let id = match &message.id {
            Some(id) => id.clone(),
            None => TaskId::new(&fresh_id())?,
        };
        message.id = Some(id.clone());
        // Before it can have a result.
        let handle = TaskHandle::new(self.room.clone(), id, is_named);
        let effort = Effort {
            deadline: self.room.deadline,
            persistence: match message.require_online {
                true => Persistence::Full,
                false => Persistence::Busy,
            },
        };
        let topic = Topic::HandoffDispatch { me: self.room.me() };
        // In one go: who has lost its connection has them done in one go, too.
        let dispatched = self.room.call_with(topic, message, effort);
        tokio::try_join!(self.room.listen_for_results(), dispatched)?;
        Ok(handle)
    }

    /// Hands a task over, and waits until it has ended well.
    ///
    /// # Errors
    /// As [`RoomHandoff::dispatch`] and [`TaskHandle::result`].
    pub async fn run(&self, task: impl Into<Task>) -> Result<TaskResult, Error> {
        self.dispatch(task).await?.result().await
    }

    /// Finds a task again that this agent dispatched, perhaps in an earlier life.
    ///
    /// # Errors
    /// [`Error::Name`] if that is no id.
    pub async fn task(&self, id: &str) -> Result<TaskHandle, Error> {
        let id = TaskId::new(id)?;
        self.room.listen_for_results().await?;
        Ok(TaskHandle::new(self.room.clone(), id, true))
    }

    /// The results of all tasks of this agent in this room, also of those that an earlier program
    /// dispatched; partial ones and questions as well. Each waits in the mailbox until
    /// [`Mailed::ack`]; of those that came when nobody wanted them, the last 1,024 are kept.
    ///
    /// # Errors
    /// [`Error::Overflow`] if somebody reads them already.
    pub async fn results(&self) -> Result<Feed<Mailed<TaskResult>>, Error> {
        let (sender, feed) = Feed::new(&self.room.core().link, WINDOW);
        self.room.shared.results.tell_all(sender)?;
        self.room.listen_for_results().await?;
        Ok(feed.of(&self.room))
    }

    /// Waits for the result that gathers a group of this agent's tasks. Ask before its last task
    /// can have ended: a group's result comes once.
    ///
    /// # Errors
    /// [`Error::Timeout`].
    pub async fn group(&self, group: &str, within: Duration) -> Result<GroupResult, Error> {
        let mut expected = self.room.shared.results.groups.expect(group.to_owned());
        self.room.listen_for_results().await?;
        let link = &self.room.core().link;
        let gathered = tokio::time::timeout(within, waiting::outcome(link, &mut expected)).await;
        gathered.unwrap_or_else(|_| {
            Err(Error::Timeout {
                what: format!("the result of group {group}"),
                after: within,
                sent: true,
            })
        })
    }

    /// How a task stands, and once it has ended its result.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none of this name, or none any more.
    pub async fn get(&self, task: &str) -> Result<TaskView, Error> {
        handle::get(&self.room, TaskId::new(task)?, false).await
    }

    /// The same, with its payload.
    ///
    /// # Errors
    /// As [`RoomHandoff::get`].
    pub async fn get_with_payload(&self, task: &str) -> Result<TaskView, Error> {
        handle::get(&self.room, TaskId::new(task)?, true).await
    }

    /// A page of the room's tasks. Go on with its `cursor`, where it has one.
    ///
    /// # Errors
    /// What the gateway refuses.
    pub async fn list(&self, query: ListTasks) -> Result<TaskPage, Error> {
        let topic = Topic::HandoffList { me: self.room.me() };
        data(&self.room.call(topic, query).await?)
    }

    /// Has a task end, with all that belongs to it.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it has ended.
    pub async fn cancel(&self, task: &str, reason: &str) -> Result<(), Error> {
        handle::cancel(&self.room, Some(TaskId::new(task)?), None, reason).await
    }

    /// Has what has not ended of a group end, and its result come.
    ///
    /// # Errors
    /// [`Error::NotFound`] if this agent has no such group.
    pub async fn cancel_group(&self, group: &str, reason: &str) -> Result<(), Error> {
        handle::cancel(&self.room, None, Some(group.to_owned()), reason).await
    }

    /// Gives a dead task another chance; it ends with another result.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not dead.
    pub async fn redrive(&self, task: &str) -> Result<(), Error> {
        let body = Redrive {
            task: Some(TaskId::new(task)?),
            ..Redrive::default()
        };
        let topic = Topic::HandoffRedrive { me: self.room.me() };
        self.room.call(topic, body).await.map(drop)
    }

    /// Gives the dead tasks of a type another chance, so many at a time, oldest first.
    ///
    /// # Errors
    /// What the gateway refuses.
    pub async fn redrive_all(
        &self,
        task_type: &str,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<Redriven, Error> {
        let body = Redrive {
            task_type: Some(TaskType::new(task_type)?),
            limit: Some(limit),
            cursor,
            ..Redrive::default()
        };
        let topic = Topic::HandoffRedrive { me: self.room.me() };
        data(&self.room.call(topic, body).await?)
    }

    /// What workers of this room wait to be answered, and will: for whoever may answer. Those that
    /// are open come first.
    ///
    /// # Errors
    /// If the gateway does not let this agent see them.
    pub async fn questions(&self) -> Result<Feed<TaskQuestion>, Error> {
        let (sender, feed) = Feed::new(&self.room.core().link, UNREAD);
        let room = self.room.clone();
        let asked = move |mut letter: super::link::Letter| {
            letter.ack();
            // An empty one: it needs no answer any more.
            if !letter.payload.is_empty() {
                let open = decode::<OpenQuestion>(&letter.payload);
                sender.push(open.map(|open| TaskQuestion::open(&room, open)));
            }
        };
        let route = self
            .room
            .subscribe("handoff/asking/+", Level::Certain, asked)
            .await?;
        Ok(feed.with(route))
    }

    /// Answers a question by what it is known by.
    ///
    /// # Errors
    /// As [`TaskQuestion::answer`].
    pub async fn answer<T: serde::Serialize + ?Sized>(
        &self,
        task: &str,
        attempt: u32,
        ask: Option<u32>,
        answer: &T,
    ) -> Result<(), Error> {
        let body = crate::wire::question::AnswerTask {
            task: TaskId::new(task)?,
            attempt,
            ask,
            answer: super::command::json_of(answer)?,
            id: None,
            correlation_id: None,
        };
        let topic = Topic::HandoffAnswer { me: self.room.me() };
        self.room.call(topic, body).await.map(drop)
    }
}
