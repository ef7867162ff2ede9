//! Connecting: an agent, and how it comes to be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use super::core::{AgentCore, MOST_UNANSWERED, Replies, shared_rooms};
use super::error::Error;
use super::link::{ConnectionStatus, Endpoint, LinkHandle, LinkOptions, Posting, Protocol};
use super::room::Room;
use crate::wire::name::{Agent as AgentId, Room as RoomName};
use crate::wire::presence::Encoding;

/// For a room to be left.
const GOOD_BYE: Duration = Duration::from_secs(2);

/// An agent: one connection to the gateway, under one name. Cloning it is cheap.
///
/// It connects again by itself, with the same session, and everything goes on: subscriptions stay,
/// calls are answered, nothing is done twice. When the last clone, room, feed and handle is gone,
/// the connection is dropped; [`Agent::close`] ends it in good order.
#[derive(Debug, Clone)]
pub struct Agent {
    core: Arc<AgentCore>,
}

impl Agent {
    /// Connects to a gateway (`mqtt://localhost:1883`) under a name: 1 to 64 of
    /// `A-Z a-z 0-9 _ . -`. Whoever has that name already is disconnected.
    ///
    /// # Errors
    /// [`Error::Unconnected`] if that cannot be done within 30 seconds.
    pub async fn connect(url: &str, name: &str) -> Result<Agent, Error> {
        Agent::builder(url, name).connect().await
    }

    /// The same, with more to say.
    pub fn builder(url: &str, name: &str) -> AgentBuilder {
        AgentBuilder {
            url: url.to_owned(),
            name: name.to_owned(),
            root: "rooms".to_owned(),
            protocol: Protocol::default(),
            encoding: Encoding::default(),
            credentials: None,
            session: Duration::from_secs(3_600),
            window: 256,
            offline: 1_000,
            keep_alive: Duration::from_secs(30),
            deadline: Duration::from_secs(30),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.core.name.as_str()
    }

    /// Joins a room. A room exists as soon as somebody uses it.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if it is not for this agent.
    pub async fn join(&self, room: &str) -> Result<Room, Error> {
        Room::join(&self.core, RoomName::new(room)?).await
    }

    /// Publishes on a topic outside of rooms, at QoS 1: for any client that listens there now.
    /// [`Room::publish`] does the same below a room.
    ///
    /// # Errors
    /// What the PUBACK refuses (MQTT 5); [`Error::Malformed`] for a topic that nobody may publish
    /// on, because it is empty or has wildcards.
    pub async fn publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Error> {
        let posting = Posting {
            topic: topic.to_owned(),
            payload: payload.into(),
            ..Posting::default()
        };
        self.core.publish(posting, self.core.deadline).await
    }

    /// The same, and it stays there for whoever comes later, until something else is retained on
    /// that topic; nothing at all (an empty payload) clears it. Returns when that is on disk.
    ///
    /// # Errors
    /// As [`Agent::publish`].
    pub async fn retain(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Error> {
        let posting = Posting {
            topic: topic.to_owned(),
            payload: payload.into(),
            retain: true,
            ..Posting::default()
        };
        self.core.publish(posting, self.core.deadline).await
    }

    /// What becomes of the connection from now on.
    pub fn status(&self) -> mpsc::Receiver<ConnectionStatus> {
        self.core.link.status().listen()
    }

    /// Why nothing will come of this agent any more, if that is so.
    pub fn end(&self) -> Option<Error> {
        self.core.link.status().end()
    }

    /// Deliveries in hand that are not acknowledged yet. When it comes near the window, the gateway
    /// holds the rest back.
    pub fn unacked(&self) -> usize {
        self.core.link.unacked()
    }

    async fn leave(&self) {
        let joined: Vec<Room> = shared_rooms(&self.core)
            .values()
            .filter_map(std::sync::Weak::upgrade)
            .map(|shared| Room {
                shared,
                deadline: GOOD_BYE,
            })
            .collect();
        for room in joined {
            // The gateway finds it out by itself, a little later.
            if let Err(error) = room.presence().leave().await {
                tracing::debug!(%error, room = room.name(), "left without a word");
            }
        }
    }

    /// Leaves in good order: what was handled is acknowledged, the session ends, and whoever still
    /// waits for something is told [`Error::Disconnected`].
    pub async fn close(&self) {
        // On MQTT 3.1.1 a DISCONNECT says nothing of the session, so its rooms are told.
        if self.core.protocol == Protocol::V311 {
            self.leave().await;
        }
        self.core.link.close().await;
    }
}

/// How to connect: [`Agent::builder`].
#[derive(Clone)]
#[must_use = "nothing happens until it connects"]
pub struct AgentBuilder {
    url: String,
    name: String,
    root: String,
    protocol: Protocol,
    encoding: Encoding,
    credentials: Option<(String, String)>,
    session: Duration,
    window: u16,
    offline: usize,
    keep_alive: Duration,
    deadline: Duration,
}

impl std::fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the password.
        f.debug_struct("AgentBuilder")
            .field("url", &self.url)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl AgentBuilder {
    /// MQTT 5 if not said.
    pub fn protocol(mut self, protocol: Protocol) -> AgentBuilder {
        self.protocol = protocol;
        self
    }

    /// What it speaks, and is spoken to in: JSON if not said.
    pub fn encoding(mut self, encoding: Encoding) -> AgentBuilder {
        self.encoding = encoding;
        self
    }

    /// A user's name and password.
    pub fn credentials(mut self, user: &str, password: &str) -> AgentBuilder {
        self.credentials = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// How long the gateway keeps the session when the connection is gone; an hour if not said.
    pub fn session(mut self, session: Duration) -> AgentBuilder {
        self.session = session;
        self
    }

    /// The session ends with each connection: for programs that ask something and go. What is
    /// addressed to the agent waits for it all the same.
    pub fn ephemeral(self) -> AgentBuilder {
        self.session(Duration::ZERO)
    }

    /// Deliveries in hand at most (Receive Maximum; MQTT 5); 256 if not said.
    pub fn window(mut self, window: u16) -> AgentBuilder {
        self.window = window.max(1);
        self
    }

    /// Calls that may wait for a connection; 1,000 if not said.
    pub fn offline(mut self, calls: usize) -> AgentBuilder {
        self.offline = calls;
        self
    }

    /// How soon a broken connection is noticed; 30 seconds if not said.
    pub fn keep_alive(mut self, keep_alive: Duration) -> AgentBuilder {
        self.keep_alive = keep_alive.max(Duration::from_secs(1));
        self
    }

    /// The deadline of every call, and of connecting; 30 seconds if not said.
    pub fn deadline(mut self, deadline: Duration) -> AgentBuilder {
        self.deadline = deadline;
        self
    }

    /// The first level of all rooms' topics, where the operator has changed it (`rooms.root`).
    pub fn root(mut self, root: &str) -> AgentBuilder {
        self.root = root.to_owned();
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`Agent::connect`].
    pub async fn connect(self) -> Result<Agent, Error> {
        let name = AgentId::new(&self.name)?;
        let link = LinkHandle::open(LinkOptions {
            address: Endpoint::parse(&self.url)?,
            agent: self.name,
            root: self.root.clone(),
            protocol: self.protocol,
            credentials: self.credentials,
            session: self.session,
            window: self.window,
            offline: self.offline,
            keep_alive: self.keep_alive,
            deadline: self.deadline,
        });
        let core = AgentCore {
            name,
            root: self.root,
            link: link.await?,
            encoding: self.encoding,
            protocol: self.protocol,
            deadline: self.deadline,
            places: Semaphore::new(MOST_UNANSWERED),
            pending: Replies::default(),
            rooms: Mutex::new(HashMap::new()),
        };
        Ok(Agent {
            core: Arc::new(core),
        })
    }
}
