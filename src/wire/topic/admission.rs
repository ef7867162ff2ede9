//! What becomes of a client's publish, by the grammar alone.

use crate::wire::name::{GATEWAY, Room};
use crate::wire::reply::{Code, Rejection};

use super::{RoomTopic, TopicKind, below_root, parse_below_root};

/// What is to be done with a client's publish on a topic.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// Outside the root: ordinary MQTT.
    Ordinary,
    /// A command or an inbox message: the desk handles it, the ack waits for the disk.
    Desk(RoomTopic),
    /// An agent's own event: relayed as it is.
    Relayed(RoomTopic),
    /// Not allowed or not understood; `room` is where the `rejected` reply can go.
    Refused {
        /// The room of the topic, where it could be read.
        room: Option<Room>,
        /// Why.
        rejection: Rejection,
    },
}

/// Decides what becomes of a publish by client `client_id` on `topic`, where rooms live under
/// `root`.
///
/// This is the grammar's own rule (every client-written topic names its writer), before any ACL.
pub fn admit(root: &str, client_id: &str, topic: &str) -> Admission {
    let Some(rest) = below_root(root, topic) else {
        return Admission::Ordinary;
    };
    let room = rest.split('/').next().and_then(|room| Room::new(room).ok());
    match parse_below_root(rest) {
        Err(error) => Admission::Refused {
            room,
            rejection: Rejection::new(Code::Malformed, error.to_string()),
        },
        Ok(parsed) => match parsed.topic.writer() {
            None => refused(room, format!("only the gateway writes to {topic}")),
            Some(me) if me.as_str() == GATEWAY => refused(
                room,
                format!("{GATEWAY:?} is reserved for the gateway itself"),
            ),
            Some(me) if me.as_str() != client_id => refused(
                room,
                format!(
                    "the topic names {:?} as its writer, but this session's client id is {client_id:?}",
                    me.as_str()
                ),
            ),
            Some(_) if parsed.topic.kind() == TopicKind::Relayed && !parsed.topic.is_directed() => {
                Admission::Relayed(parsed)
            }
            Some(_) => Admission::Desk(parsed),
        },
    }
}

fn refused(room: Option<Room>, reason: String) -> Admission {
    Admission::Refused {
        room,
        rejection: Rejection::new(Code::Forbidden, reason),
    }
}
