//! Tools: calling those of others.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::command::{Effort, Persistence, fresh_id, json_of, millis};
use super::core::{data, decode, decode_json};
use super::error::Error;
use super::feed::{Feed, UNREAD};
use super::link::{Letter, Level};
use super::room::Room;
use crate::wire::name::{CallId, CommandId, Tool};
use crate::wire::question::AnswerCall;
use crate::wire::tools::{
    CallState, CallView, CancelCall, GetCall, ReturnStatus, ToolCall, ToolCard, ToolResult,
};
use crate::wire::topic::Topic;

/// Partial results and questions of one call that may wait to be read.
const MOST_PARTS: usize = 256;

/// A room's tools: [`Room::tools`].
#[derive(Debug, Clone)]
pub struct RoomTools {
    room: Room,
}

/// A tool came, changed, or went.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CardUpdate {
    /// It is so.
    Card(Box<ToolCard>),
    /// Nobody has registered it any more.
    Gone(Tool),
}

/// How a tool is called.
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// How long it may take; if not said, as long as the tool says.
    pub timeout: Option<Duration>,
    /// A name of its own: the same again does nothing twice.
    pub id: Option<String>,
}

impl RoomTools {
    pub(super) fn new(room: Room) -> RoomTools {
        RoomTools { room }
    }

    /// Calls a tool, and waits for what it returns.
    ///
    /// # Errors
    /// [`Error::ToolFailed`] if it comes to nothing, [`Error::Invalid`] with a path if the
    /// arguments do not fit, [`Error::Unavailable`] at once if nobody provides it.
    pub async fn call<A, T>(&self, tool: &str, arguments: &A) -> Result<T, Error>
    where
        A: Serialize + ?Sized,
        T: DeserializeOwned,
    {
        let call = self.start(tool, arguments, CallOptions::default()).await?;
        let result = call.result().await?;
        decode_json(result.result.as_ref())
    }

    /// Calls a tool, and returns when a provider has the call.
    ///
    /// # Errors
    /// As [`RoomTools::call`].
    pub async fn start<A: Serialize + ?Sized>(
        &self,
        tool: &str,
        arguments: &A,
        options: CallOptions,
    ) -> Result<CallHandle, Error> {
        let is_named = options.id.is_some();
        let id = CommandId::new(&options.id.unwrap_or_else(fresh_id))?;
        let body = ToolCall {
            arguments: Some(json_of(arguments)?),
            timeout_ms: options.timeout.map(millis),
            id: Some(id.clone()),
            correlation_id: None,
            traceparent: None,
            tracestate: None,
        };
        let topic = Topic::ToolsCall {
            me: self.room.me(),
            tool: Tool::new(tool)?,
        };
        let call = CallId::of(&self.room.me(), &id);
        let handle = CallHandle::new(&self.room, call, is_named);
        let effort = Effort {
            deadline: self.room.deadline,
            persistence: Persistence::Full,
        };
        let called = self.room.call_with(topic, body, effort);
        tokio::try_join!(self.room.listen_for_calls(), called)?;
        Ok(handle)
    }

    /// How a call stands, or what came of it: `{caller}/{id}`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, or none any more.
    pub async fn get(&self, call: &str) -> Result<CallView, Error> {
        get(&self.room, CallId::new(call)?).await
    }

    /// The tools of this room, and every change.
    ///
    /// # Errors
    /// If the gateway does not let this agent see them.
    pub async fn watch(&self) -> Result<Feed<CardUpdate>, Error> {
        let (sender, feed) = Feed::new(&self.room.core().link, UNREAD);
        let arrived = move |mut letter: Letter| {
            letter.ack();
            sender.push(if letter.payload.is_empty() {
                let tool = Tool::new(letter.last_level());
                tool.map(CardUpdate::Gone).map_err(Error::from)
            } else {
                decode(&letter.payload).map(CardUpdate::Card)
            });
        };
        let route = self
            .room
            .subscribe("tools/card/+", Level::Certain, arrived)
            .await?;
        Ok(feed.with(route))
    }
}

async fn get(room: &Room, call: CallId) -> Result<CallView, Error> {
    let body = GetCall {
        call,
        arguments: false,
        correlation_id: None,
    };
    data(&room.call(Topic::ToolsGet { me: room.me() }, body).await?)
}

/// Calls that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct CallResults(Mutex<HashMap<CallId, mpsc::Sender<ToolResult>>>);

impl CallResults {
    fn map(&self) -> MutexGuard<'_, HashMap<CallId, mpsc::Sender<ToolResult>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arrived(&self, mut letter: Letter) {
        letter.ack();
        let result = match decode::<ToolResult>(&letter.payload) {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(topic = %letter.topic, %error, "passed over");
                return;
            }
        };
        let mut map = self.map();
        if let Some(sender) = map.get(&result.call) {
            let (call, is_final) = (result.call.clone(), result.is_final);
            // One place is kept for the end.
            if is_final || sender.capacity() > 1 {
                // Who does not read any more does not care.
                let _ = sender.try_send(result);
            } else {
                tracing::warn!(%call, "a part was dropped: too many are unread");
            }
            if is_final {
                map.remove(&call);
            }
        }
    }
}

/// What is heard of a call until it is over.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CallUpdate {
    /// A partial result.
    Part(ToolResult),
    /// Its provider waits for an answer: [`CallHandle::answer`].
    Question(ToolResult),
    /// It is over, and came to this.
    Done(ToolResult),
}

/// A call that is under way. Dropping it leaves it alone.
#[derive(Debug)]
pub struct CallHandle {
    room: Room,
    call: CallId,
    results: mpsc::Receiver<ToolResult>,
    /// Whether an earlier program may have had the result.
    is_found_again: bool,
    /// It is over, as the gateway says; the result itself may be on its way still.
    found: Option<ToolResult>,
}

impl CallHandle {
    fn new(room: &Room, call: CallId, is_found_again: bool) -> CallHandle {
        let (sender, results) = mpsc::channel(MOST_PARTS);
        room.shared.calls.map().insert(call.clone(), sender);
        CallHandle {
            room: room.clone(),
            call,
            results,
            is_found_again,
            found: None,
        }
    }

    /// Its id: `{caller}/{id}`.
    pub fn id(&self) -> &str {
        self.call.as_str()
    }

    /// Waits for what the tool returns; the gateway sees to it that there is an end.
    ///
    /// # Errors
    /// [`Error::ToolFailed`].
    pub async fn result(mut self) -> Result<ToolResult, Error> {
        self.look_back().await?;
        if let Some(CallUpdate::Done(result)) = self.found.take().map(update).transpose()? {
            return Ok(result);
        }
        loop {
            if let CallUpdate::Done(result) = self.next().await? {
                return Ok(result);
            }
        }
    }

    /// What is heard of it next.
    ///
    /// # Errors
    /// [`Error::ToolFailed`].
    pub async fn next(&mut self) -> Result<CallUpdate, Error> {
        self.look_back().await?;
        let found = super::waiting::after_mail(self.found.as_ref());
        let link = &self.room.core().link;
        let mut connections = link.connections();
        tokio::select! {
            biased;
            result = self.results.recv() => match result {
                Some(result) => update(result),
                None => Err(Error::Disconnected),
            },
            found = found => update(found),
            () = connections.over() => Err(link.status().gone()),
        }
    }

    async fn look_back(&mut self) -> Result<(), Error> {
        if !self.is_found_again {
            return Ok(());
        }
        let view = get(&self.room, self.call.clone()).await?;
        self.is_found_again = false;
        self.found = over(view);
        Ok(())
    }

    /// Answers the question that is open.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the answer does not fit the schema; [`Error::Conflict`] if there is no
    /// such question.
    pub async fn answer<T: Serialize + ?Sized>(
        &self,
        ask: Option<u32>,
        answer: &T,
    ) -> Result<(), Error> {
        let body = AnswerCall {
            call: self.call.clone(),
            ask,
            answer: json_of(answer)?,
            id: None,
            correlation_id: None,
        };
        let topic = Topic::ToolsAnswer { me: self.room.me() };
        self.room.call(topic, body).await.map(drop)
    }

    /// Has it end; its result says so, unless it was quicker.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is over.
    pub async fn cancel(&self, reason: &str) -> Result<(), Error> {
        let body = CancelCall {
            call: self.call.clone(),
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            id: None,
            correlation_id: None,
        };
        let topic = Topic::ToolsCancel { me: self.room.me() };
        self.room.call(topic, body).await.map(drop)
    }
}

impl Drop for CallHandle {
    fn drop(&mut self) {
        self.room.shared.calls.map().remove(&self.call);
    }
}

fn update(result: ToolResult) -> Result<CallUpdate, Error> {
    match result.status {
        ReturnStatus::Partial => Ok(CallUpdate::Part(result)),
        ReturnStatus::Input => Ok(CallUpdate::Question(result)),
        ReturnStatus::Success => Ok(CallUpdate::Done(result)),
        ReturnStatus::Error => Err(Error::ToolFailed(Box::new(result))),
    }
}

/// A call that is over, as its result said so.
fn over(view: CallView) -> Option<ToolResult> {
    let status = match view.state {
        CallState::Success => ReturnStatus::Success,
        CallState::Error => ReturnStatus::Error,
        CallState::Approving | CallState::Running | CallState::Asking => return None,
    };
    Some(ToolResult {
        call: view.call,
        tool: view.tool,
        status,
        is_final: true,
        result: view.result,
        error: view.error,
        ask: None,
        question: None,
        schema: None,
        expires_at: None,
        provider: view.provider,
        called_at: view.called_at,
        at: view.ended_at.unwrap_or_default(),
        correlation_id: None,
        traceparent: None,
        tracestate: None,
        too_large: None,
    })
}

impl ToolResult {
    /// What the tool returned, or a part of it, as a type of yours.
    ///
    /// # Errors
    /// [`Error::Payload`] if it is something else.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode_json(self.result.as_ref())
    }
}
