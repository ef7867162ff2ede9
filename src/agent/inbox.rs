//! Inbox: messages from agent to agent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::command::json_of;
use super::core::decode;
use super::error::Error;
use super::feed::{Feed, WINDOW};
use super::link::{Letter, Level};
use super::results::Mailed;
use super::room::Room;
use crate::wire::cbor;
use crate::wire::json::Json;
use crate::wire::name::Agent as AgentId;
use crate::wire::topic::Topic;

/// This agent's inbox in a room: [`Room::inbox`].
#[derive(Debug, Clone)]
pub struct RoomInbox {
    room: Room,
}

/// A message from another agent.
#[derive(Debug, Clone)]
pub struct InboxMessage {
    /// Who sent it: nobody can sign as somebody else.
    pub from: AgentId,
    /// As it was sent.
    pub payload: Bytes,
}

impl InboxMessage {
    /// It as JSON (or CBOR), as a type of yours.
    ///
    /// # Errors
    /// [`Error::Payload`] if it is something else.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode(&self.payload)
    }

    /// It as text, if it is some.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.payload).ok()
    }
}

impl RoomInbox {
    pub(super) fn new(room: Room) -> RoomInbox {
        RoomInbox { room }
    }

    /// Sends a value as this agent speaks: JSON, or (objects and arrays) CBOR. See
    /// [`RoomInbox::send_bytes`].
    ///
    /// # Errors
    /// As there.
    pub async fn send<T: Serialize + ?Sized>(&self, to: &str, message: &T) -> Result<(), Error> {
        let json: Json = json_of(message)?;
        let payload = self.room.core().encode(&json);
        // Inbox messages are bytes, and CBOR is told from them by how it begins: a map or an array.
        let payload = match cbor::begins(&payload) {
            true => payload,
            false => Bytes::copy_from_slice(json.text().as_bytes()),
        };
        self.send_bytes(to, payload, None).await
    }

    /// Sends bytes, up to 256 KiB. Returns when they are on disk: they wait for up to 7 days (or
    /// `ttl`, with MQTT 5), whether the other is here or not. Messages to one agent arrive in the
    /// order in which they were sent.
    ///
    /// # Errors
    /// [`Error::TooMany`] if its mailbox is full (MQTT 5; 3.1.1 cannot say so).
    pub async fn send_bytes(
        &self,
        to: &str,
        payload: impl Into<Bytes>,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let topic = Topic::Inbox {
            to: AgentId::new(to)?,
            me: self.room.me(),
        };
        self.room.say(topic, payload.into(), ttl).await
    }

    /// Messages as they come. Each waits in the mailbox until [`Mailed::ack`]; what is dropped
    /// without goes back, and so does what was not read when the feed is dropped.
    ///
    /// As long as a message is neither acknowledged nor dropped it takes a place in the window
    /// ([`AgentBuilder::window`](super::AgentBuilder::window)), and those behind it are
    /// acknowledged after it.
    ///
    /// # Errors
    /// If the gateway cannot be asked for them.
    pub async fn listen(&self) -> Result<Feed<Mailed<InboxMessage>>, Error> {
        let (sender, feed) = Feed::new(&self.room.core().link, WINDOW);
        let arrived = move |letter: Letter| match AgentId::new(letter.last_level()) {
            Ok(from) => {
                let payload = letter.payload.clone();
                let message = InboxMessage { from, payload };
                sender.push(Ok(Mailed::new(message, letter)));
            }
            Err(error) => tracing::error!(topic = %letter.topic, %error, "passed over"),
        };
        let filter = format!("inbox/{}/+", self.room.core().name);
        let route = self
            .room
            .subscribe(&filter, Level::Certain, arrived)
            .await?;
        Ok(feed.with(route))
    }

    /// Has a handler called with every message, with so many at the same time, and acknowledges
    /// each when its handler has returned. What fails is logged, goes back to the mailbox and comes
    /// again.
    ///
    /// # Errors
    /// What ends the feed. Dropping the future ends it, too, with the handlers that run.
    pub async fn for_each<F, R, E>(&self, at_once: usize, handler: F) -> Result<(), Error>
    where
        F: Fn(InboxMessage) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let mut feed = self.listen().await?;
        let places = Arc::new(Semaphore::new(at_once.max(1)));
        let handler = Arc::new(handler);
        let mut running = JoinSet::new();
        while let Some(message) = feed.next().await {
            let message = message?;
            let place = places.clone().acquire_owned().await;
            let handler = handler.clone();
            running.spawn(async move {
                let _place = place;
                match handler((*message).clone()).await {
                    Ok(()) => drop(message.ack()),
                    Err(error) => tracing::error!(from = %message.from, %error, "not handled"),
                }
            });
            while running.try_join_next().is_some() {}
        }
        Ok(())
    }
}
