//! What whoever drives the engine may ask it, and has to tell it besides its inputs.

use bytes::Bytes;

use crate::wire::Millis;
use crate::wire::cbor::ReaderEncoding;
use crate::wire::name::{Agent, Room};
use crate::wire::presence::Encoding;
use crate::wire::reply::{Rejection, Reply};
use crate::wire::topic::{RoomTopic, Topic};

use super::Engine;
use super::shown::Wall;
use super::stats::EngineStats;

impl Engine {
    /// Numbers for the metrics.
    pub fn stats(&self) -> EngineStats {
        EngineStats {
            encodings: self.cx.encodings.len(),
            ..self.cx.stats.clone()
        }
    }

    /// Why the last command was refused, once: its code, its reason and its path.
    pub fn take_refusal(&mut self) -> Option<Rejection> {
        self.refusal.take()
    }

    /// The answer to the last [`Input::Ask`](super::Input::Ask), once.
    pub fn take_answer(&mut self) -> Option<Reply> {
        self.answer.take()
    }

    /// What an agent is spoken to in.
    pub fn encoding_of(&self, agent: &Agent) -> ReaderEncoding {
        self.cx.encodings.of(agent)
    }

    /// The largest packet that an agent takes in a room, if it has said so.
    pub fn takes(&self, agent: &str, room: &str) -> Option<usize> {
        self.rooms.get(room)?.core.takes(agent)
    }

    /// Rooms that exist and may not be used, because the configuration does not name them: what is
    /// in them is kept.
    pub fn barred_rooms(&self) -> impl Iterator<Item = &Room> {
        self.rooms.keys().filter(|room| !self.cx.may_exist(room))
    }

    /// What a room's retained messages and events are written in.
    pub fn encoding(&self, room: &Room) -> Encoding {
        self.cx.settings_of(room).rooms.encoding
    }

    /// Where the wall clock is, in milliseconds ahead of the timeline: before the first input, and
    /// where it differs by little.
    pub fn set_wall(&mut self, ahead: i64) {
        self.cx.wall = Wall { ahead };
    }

    /// The latest point of the timeline that anything which was recovered, or came since, is known
    /// to have happened at.
    pub fn latest(&self) -> Millis {
        self.cx.now
    }

    /// Every key's topic and payload, for a start: what shows a key is no record of its own. `show`
    /// makes the message and returns the payload in it, where the key's value is kept from then on.
    pub fn show_keys(&mut self, show: &mut dyn FnMut(&RoomTopic, Bytes) -> Bytes) {
        let wall = self.cx.wall;
        for (name, room) in &mut self.rooms {
            let encoding = self.cx.settings_of(name).rooms.encoding;
            room.patterns
                .blackboard
                .show_all(wall, &mut |key, payload| {
                    let topic = Topic::BlackboardState { key: key.clone() };
                    let topic = RoomTopic::new(name.clone(), topic);
                    show(&topic, encoding.encode(payload))
                });
        }
    }

    /// Bytes that the values of all rooms may have together.
    pub fn most_key_bytes(&self) -> usize {
        self.cx.settings.blackboard.max_bytes.0
    }

    /// The payload of a message that shows a key: its value is kept there from now on, and nowhere
    /// else.
    pub fn attach_key(&mut self, topic: &RoomTopic, payload: &Bytes) {
        if let Topic::BlackboardState { key } = &topic.topic
            && let Some(room) = self.rooms.get_mut(&topic.room)
        {
            room.patterns.blackboard.attach(key, payload);
        }
    }
}
