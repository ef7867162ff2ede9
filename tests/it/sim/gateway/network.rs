//! Packets and connections: within one, nothing overtakes and nothing is missing in the middle;
//! between them nothing is promised.

use bytes::Bytes;
use hallward::wire::Millis;
use hallward::wire::message::Qos;

/// Numbers clients: the index in the world's list.
pub(super) type Who = usize;

/// Numbers connections.
pub(super) type LinkId = u64;

/// An application message on its way.
#[derive(Debug, Clone, Default)]
pub(super) struct Publish {
    /// Above QoS 0.
    pub(super) packet_id: Option<u16>,
    pub(super) qos: Qos,
    pub(super) dup: bool,
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) retain: bool,
    /// Seconds that it may wait, where a client says so.
    pub(super) expiry: Option<u32>,
    /// Which of its sender's it is: not on the wire.
    pub(super) mark: u64,
}

impl Publish {
    /// The payload, if it is text.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap_or_default()
    }
}

/// What a connection leaves behind if it ends without DISCONNECT.
#[derive(Debug, Clone)]
pub(super) struct LastWill {
    pub(super) publish: Publish,
    /// Seconds.
    pub(super) delay: u32,
}

/// From a client.
#[derive(Debug, Clone)]
pub(super) enum Up {
    Connect(Option<Box<LastWill>>),
    Subscribe {
        filters: Vec<String>,
        qos: Qos,
        /// Retained messages are wanted only for what was not subscribed to before.
        only_new: bool,
    },
    /// With another expiry of the session, in seconds.
    Disconnect(Option<u32>),
    Publish(Publish),
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
}

/// To a client.
#[derive(Debug, Clone)]
pub(super) enum Down {
    ConnAck {
        session_present: bool,
    },
    /// With whether every filter was granted.
    SubAck(bool),
    Publish(Publish),
    /// With whether it was taken.
    PubAck(u16, bool),
    PubRec(u16, bool),
    PubRel(u16),
    PubComp(u16),
    /// The gateway has closed the connection, or is no more.
    End,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Lane {
    sent: u64,
    arrived: u64,
    /// Nothing from this one on arrives: the connection broke before it.
    broken_from: Option<u64>,
    last_at: Millis,
}

impl Lane {
    /// Puts a packet on its way, and says its number and when it arrives.
    pub(super) fn send(&mut self, at: Millis) -> (u64, Millis) {
        self.sent += 1;
        self.last_at = self.last_at.max(at);
        (self.sent, self.last_at)
    }

    /// Whether a packet arrives, now that it is its time.
    pub(super) fn arrives(&mut self, number: u64) -> bool {
        self.arrived = self.arrived.max(number);
        self.broken_from.is_none_or(|from| number < from)
    }

    /// The connection breaks: of what is under way, so many in a hundred still arrive.
    pub(super) fn cut(&mut self, percent: u64) {
        let under_way = self.sent - self.arrived;
        let from = self.arrived + 1 + under_way * percent / 100;
        self.broken_from = Some(self.broken_from.map_or(from, |known| known.min(from)));
    }
}

/// A connection, as its two ends know it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) who: Who,
    pub(super) up: Lane,
    pub(super) down: Lane,
    /// Whether the client takes it for open.
    pub(super) client_has_it: bool,
}

impl Link {
    pub(super) fn new(who: Who) -> Link {
        Link {
            who,
            up: Lane::default(),
            down: Lane::default(),
            client_has_it: true,
        }
    }
}
