//! Presence: who is in the room, and what they can take.

use super::core::{data, decode};
use super::error::Error;
use super::feed::{Feed, UNREAD};
use super::link::{Letter, Level};
use super::room::Room;
use crate::wire::name::Agent as AgentId;
use crate::wire::presence::{Announcement, Presence, PresenceList, Roll};
use crate::wire::topic::Topic;

/// Who is in a room: [`Room::presence`].
#[derive(Debug, Clone)]
pub struct RoomPresence {
    room: Room,
}

/// Somebody came, changed, or left.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PresenceUpdate {
    /// Is so.
    Here(Box<Presence>),
    /// Has left.
    Left(AgentId),
}

impl RoomPresence {
    pub(super) fn new(room: Room) -> RoomPresence {
        RoomPresence { room }
    }

    /// Says something of this agent: its name, its role, what it can do.
    ///
    /// # Errors
    /// What the gateway refuses.
    pub async fn announce(&self, announcement: Announcement) -> Result<(), Error> {
        let topic = Topic::PresenceAnnounce { me: self.room.me() };
        self.room.call(topic, announcement).await.map(drop)
    }

    /// Leaves the room. Tasks that this agent has go to others.
    ///
    /// # Errors
    /// [`Error::Timeout`].
    pub async fn leave(&self) -> Result<(), Error> {
        let topic = Topic::PresenceAnnounce { me: self.room.me() };
        self.room.say(topic, bytes::Bytes::new(), None).await
    }

    /// Who is here, or was, a page at a time.
    ///
    /// # Errors
    /// What the gateway refuses.
    pub async fn list(&self, query: PresenceList) -> Result<Roll, Error> {
        let topic = Topic::PresenceList { me: self.room.me() };
        data(&self.room.call(topic, query).await?)
    }

    /// Everybody who is here.
    ///
    /// # Errors
    /// What the gateway refuses.
    pub async fn agents(&self) -> Result<Vec<Presence>, Error> {
        let mut agents = Vec::new();
        let mut after = None;
        loop {
            let page = self.list(PresenceList {
                after,
                limit: Some(1_000),
                ..PresenceList::default()
            });
            let roll = page.await?;
            agents.extend(roll.agents);
            after = roll.next;
            if after.is_none() {
                return Ok(agents);
            }
        }
    }

    /// Those who are here, and every change.
    ///
    /// # Errors
    /// If the gateway does not let this agent see it.
    pub async fn watch(&self) -> Result<Feed<PresenceUpdate>, Error> {
        let (sender, feed) = Feed::new(&self.room.core().link, UNREAD);
        let arrived = move |mut letter: Letter| {
            letter.ack();
            sender.push(if letter.payload.is_empty() {
                let agent = AgentId::new(letter.last_level());
                agent.map(PresenceUpdate::Left).map_err(Error::from)
            } else {
                decode(&letter.payload).map(PresenceUpdate::Here)
            });
        };
        let route = self
            .room
            .subscribe("presence/agent/+", Level::Certain, arrived)
            .await?;
        Ok(feed.with(route))
    }
}
