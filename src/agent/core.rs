//! What all of an agent's rooms share: its connection, its name, and the replies that it waits for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::command::{CommandBody, Effort, Persistence};
use super::error::{Error, Refusal};
use super::link::{LinkHandle, Posting, Protocol, Sent};
use super::pause::RetryPause;
use super::room::RoomShared;
use crate::wire::cbor;
use crate::wire::json::{self, Json};
use crate::wire::name::{Agent as AgentId, Room as RoomName};
use crate::wire::presence::Encoding;
use crate::wire::reply::{Code, Reply, ReplyStatus};
use crate::wire::topic::{RoomTopic, Topic};

/// Commands that wait for their replies at most; further ones wait for a place. The gateway keeps a
/// thousand replies for an agent that does not come to read them (`mailbox.max_replies`).
pub(super) const MOST_UNANSWERED: usize = 500;

/// An agent, as its rooms see it.
#[derive(Debug)]
pub(super) struct AgentCore {
    pub(super) name: AgentId,
    pub(super) root: String,
    pub(super) link: LinkHandle,
    pub(super) encoding: Encoding,
    pub(super) protocol: Protocol,
    pub(super) deadline: Duration,
    pub(super) places: Semaphore,
    pub(super) pending: Replies,
    pub(super) rooms: Mutex<HashMap<RoomName, Weak<RoomShared>>>,
}

/// The replies that somebody waits for, by id or correlation id.
#[derive(Debug, Default)]
pub(super) struct Replies(Mutex<HashMap<String, oneshot::Sender<Reply>>>);

impl Replies {
    fn map(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Reply>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect<'a>(&'a self, key: &'a str) -> Result<Expected<'a>, Error> {
        let (tell, answer) = oneshot::channel();
        let mut map = self.map();
        if map.contains_key(key) {
            return Err(Error::refused(Refusal {
                command: "call".to_owned(),
                code: Code::Conflict,
                reason: format!("{key:?} is on its way already"),
                path: None,
                current: None,
                lock: None,
            }));
        }
        map.insert(key.to_owned(), tell);
        drop(map);
        Ok(Expected {
            replies: self,
            key,
            answer,
        })
    }

    /// Gives a reply to who waits for it; back if nobody does.
    pub(super) fn arrived(&self, reply: Reply) -> Option<Reply> {
        let mut map = self.map();
        let id = reply.id.as_ref().map(|id| id.as_str());
        let known = [id, reply.correlation_id.as_deref()];
        let waiting = known.into_iter().flatten().find_map(|key| map.remove(key));
        match waiting {
            Some(waiting) => waiting.send(reply).err(),
            None => Some(reply),
        }
    }
}

/// One of them; not expected any more when this is dropped.
struct Expected<'a> {
    replies: &'a Replies,
    key: &'a str,
    answer: oneshot::Receiver<Reply>,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.replies.map().remove(self.key);
    }
}

/// A command that is ready to be sent, as often as it takes.
struct PreparedCall<'a> {
    command: &'static str,
    key: String,
    topic: String,
    payload: Bytes,
    sent: &'a Sent,
}

impl AgentCore {
    /// Sends a command, and returns its reply: it is done, and on disk.
    ///
    /// # Errors
    /// What the reply refuses, by its code; [`Error::Timeout`] at the deadline.
    pub(super) async fn call<B: CommandBody>(
        &self,
        room: &RoomName,
        topic: Topic,
        mut body: B,
        effort: Effort,
    ) -> Result<Reply, Error> {
        let sent = Sent::default();
        let prepared = PreparedCall {
            command: topic.command_name(),
            key: body.identify(),
            topic: self.topic(room, topic),
            payload: self.encode(&body),
            sent: &sent,
        };
        let answered = tokio::time::timeout(effort.deadline, self.insist(&prepared, effort)).await;
        answered.unwrap_or_else(|_| {
            Err(Error::Timeout {
                what: prepared.command.to_owned(),
                after: effort.deadline,
                sent: sent.get(),
            })
        })
    }

    async fn insist(&self, prepared: &PreparedCall<'_>, effort: Effort) -> Result<Reply, Error> {
        let until = Instant::now() + effort.deadline;
        let mut pause = RetryPause::refused();
        loop {
            let error = match self.once(prepared).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let is_busy = match &error {
                Error::TooMany(_) => true,
                Error::Unavailable(_) => effort.persistence == Persistence::Busy,
                _ => false,
            };
            let asked = error.refusal().and_then(Refusal::retry_after);
            let wait = pause.next().max(asked.unwrap_or_default());
            if !is_busy || Instant::now() + wait >= until {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn once(&self, prepared: &PreparedCall<'_>) -> Result<Reply, Error> {
        // Nobody closes it.
        let _place = self.places.acquire().await;
        let mut expected = self.pending.expect(&prepared.key)?;
        let mut connections = self.link.connections();
        loop {
            let publish = self.link.publish(Posting {
                topic: prepared.topic.clone(),
                payload: prepared.payload.clone(),
                sent: prepared.sent.clone(),
                ..Posting::default()
            });
            // The reply comes before the PUBACK, and what a PUBACK can say of a refusal is less.
            let connection = tokio::select! {
                biased;
                reply = &mut expected.answer => return self.outcome(reply.ok()),
                acked = publish => match (acked, expected.answer.try_recv()) {
                    (_, Ok(reply)) => return self.outcome(Some(reply)),
                    (acked, Err(_)) => acked?,
                },
            };
            // Replies come at QoS 0: one that was lost with its connection is asked for again.
            tokio::select! {
                biased;
                reply = &mut expected.answer => return self.outcome(reply.ok()),
                linked = connections.other_than(connection) => if linked.is_none() {
                    return Err(self.link.status().gone());
                }
            }
        }
    }

    fn outcome(&self, reply: Option<Reply>) -> Result<Reply, Error> {
        let reply = reply.ok_or_else(|| self.link.status().gone())?;
        match reply.status {
            ReplyStatus::Accepted => Ok(reply),
            ReplyStatus::Rejected => Err(Error::of_reply(reply)),
        }
    }

    /// Publishes something that is not answered but by its PUBACK.
    pub(super) async fn publish(&self, posting: Posting, deadline: Duration) -> Result<(), Error> {
        let (topic, sent) = (posting.topic.clone(), posting.sent.clone());
        match tokio::time::timeout(deadline, self.link.publish(posting)).await {
            Ok(acked) => acked.map(drop),
            Err(_) => Err(Error::Timeout {
                what: topic,
                after: deadline,
                sent: sent.get(),
            }),
        }
    }

    /// A topic of a room as MQTT has it.
    pub(super) fn topic(&self, room: &RoomName, topic: Topic) -> String {
        RoomTopic::new(room.clone(), topic).format(&self.root)
    }

    /// A message as this agent speaks.
    pub(super) fn encode<T: Serialize + ?Sized>(&self, message: &T) -> Bytes {
        self.encoding.encode(json::encode(message))
    }
}

/// A message in either encoding.
pub(super) fn decode<T: DeserializeOwned>(payload: &Bytes) -> Result<T, Error> {
    let read = |text: &[u8]| {
        serde_json::from_slice(text)
            .map_err(|error| Error::unreadable("what came cannot be read", error))
    };
    if cbor::begins(payload) {
        read(&json_text(payload)?)
    } else {
        read(payload)
    }
}

/// The JSON of a payload in either encoding.
pub(super) fn json_text(payload: &Bytes) -> Result<Bytes, Error> {
    if !cbor::begins(payload) {
        return Ok(payload.clone());
    }
    let text = cbor::to_json(payload).map(Bytes::from);
    text.map_err(|error| Error::unreadable("what came is no CBOR", error))
}

/// Reads a value that was carried for us.
pub(super) fn decode_json<T: DeserializeOwned>(json: Option<&Json>) -> Result<T, Error> {
    let text = json.map_or("null", Json::text);
    serde_json::from_str(text).map_err(|error| {
        let kind = std::any::type_name::<T>();
        Error::Payload(format!("it is no {kind}: {error}"))
    })
}

/// The `data` of a reply.
pub(super) fn data<T: DeserializeOwned>(reply: &Reply) -> Result<T, Error> {
    decode_json(reply.data.as_ref())
}

/// An agent's rooms.
pub(super) fn shared_rooms(
    core: &Arc<AgentCore>,
) -> MutexGuard<'_, HashMap<RoomName, Weak<RoomShared>>> {
    core.rooms.lock().unwrap_or_else(PoisonError::into_inner)
}
