//! Observe: what happens, and what happened.

use serde::Serialize;

use super::core::{data, decode, json_text};
use super::error::Error;
use super::feed::{Feed, UNREAD};
use super::follow::{self, Followed, Since};
use super::link::{Letter, Level};
use super::room::Room;
use crate::wire::json::Json;
use crate::wire::name::{Agent as AgentId, Category, GATEWAY};
use crate::wire::observe::{Event, Replay, ReplayPage};
use crate::wire::topic::Topic;

/// A room's events: [`Room::observe`].
#[derive(Debug, Clone)]
pub struct RoomEvents {
    room: Room,
}

/// Something that an agent, or the gateway, told whoever listens.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Who told it.
    pub source: AgentId,
    /// Of what kind.
    pub category: Category,
    /// What; the gateway's are [`Event`]s.
    pub body: Json,
}

impl Observed {
    /// The gateway's event, if it is one.
    pub fn event(&self) -> Option<Event> {
        (self.source.as_str() == GATEWAY)
            .then(|| serde_json::from_str(self.body.text()).ok())
            .flatten()
    }
}

/// What agents' events look like by convention.
#[derive(Serialize)]
struct EmittedEvent<'a, T: ?Sized> {
    severity: &'a str,
    payload: &'a T,
}

impl RoomEvents {
    pub(super) fn new(room: Room) -> RoomEvents {
        RoomEvents { room }
    }

    /// Tells whoever listens, under this agent's name. Who does not listen misses it.
    ///
    /// # Errors
    /// [`Error::Payload`] if it cannot be written as JSON.
    pub async fn emit<T: Serialize + ?Sized>(
        &self,
        category: &str,
        severity: &str,
        payload: &T,
    ) -> Result<(), Error> {
        let topic = Topic::ObserveEvents {
            source: self.room.me(),
            category: Category::new(category)?,
        };
        let event = super::command::json_of(&EmittedEvent { severity, payload })?;
        let payload = self.room.core().encode(&event);
        self.room.say(topic, payload, None).await
    }

    /// What agents and the gateway tell from now on: of one category, or of all (`"*"`).
    ///
    /// # Errors
    /// If the gateway does not let this agent hear it.
    pub async fn on(&self, category: &str) -> Result<Feed<Observed>, Error> {
        let (sender, feed) = Feed::new(&self.room.core().link, UNREAD);
        let arrived = move |mut letter: Letter| {
            letter.ack();
            match read(&letter) {
                Ok(observed) => sender.push(Ok(observed)),
                // Agents may publish what is no JSON; that is not for us.
                Err(error) => tracing::debug!(topic = %letter.topic, %error, "passed over"),
            }
        };
        let category = match category {
            "*" => "+",
            named => {
                Category::new(named)?;
                named
            }
        };
        let filter = format!("observe/events/+/{category}");
        let route = self
            .room
            .subscribe(&filter, Level::Certain, arrived)
            .await?;
        Ok(feed.with(route))
    }

    /// The gateway's events from some time on, without a gap: what is kept of the past, then what
    /// happens. What is not kept any more is told as a gap.
    ///
    /// # Errors
    /// If the gateway does not let this agent hear it.
    pub async fn follow(&self, since: Since) -> Result<Feed<Followed>, Error> {
        follow::begin(&self.room, self.clone(), since).await
    }

    /// A page of the past.
    ///
    /// # Errors
    /// What the gateway refuses.
    pub async fn replay(&self, query: Replay) -> Result<ReplayPage, Error> {
        let topic = Topic::ObserveReplay { me: self.room.me() };
        data(&self.room.call(topic, query).await?)
    }
}

fn read(letter: &Letter) -> Result<Observed, Error> {
    let mut levels = letter.topic.rsplit('/');
    let category = Category::new(levels.next().unwrap_or_default())?;
    let source = AgentId::new(levels.next().unwrap_or_default())?;
    let text = json_text(&letter.payload)?;
    Ok(Observed {
        source,
        category,
        body: decode(&text)?,
    })
}
