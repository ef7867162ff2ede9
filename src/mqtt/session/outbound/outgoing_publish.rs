//! One message on its way to one client. `waiting` keeps it until window and socket have room.

use crate::desk::port::Delivery;
use crate::wire::message::{Message, Qos};

/// Where a message comes from, which decides what happens when the client does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt::session) enum Origin {
    /// The desk, which keeps count itself.
    Desk,
    /// Retained messages for a new subscription; already in memory, so taken whole.
    Snapshot,
    /// The live plane.
    Live,
}

/// A message on its way to the client.
#[derive(Debug)]
pub(in crate::mqtt::session) struct OutgoingPublish {
    pub(in crate::mqtt::session) origin: Origin,
    pub(in crate::mqtt::session) message: Message,
    pub(in crate::mqtt::session) qos: Qos,
    pub(in crate::mqtt::session) retain: bool,
    pub(in crate::mqtt::session) dup: bool,
    /// The desk's number; 0 if only the session knows of it.
    pub(in crate::mqtt::session) seq: u64,
    /// Given by the desk for durable sessions.
    pub(in crate::mqtt::session) packet_id: Option<u16>,
    pub(in crate::mqtt::session) subscription_ids: Vec<u32>,
}

impl OutgoingPublish {
    /// Bytes that it takes while it waits, all told.
    pub(super) fn weight(&self) -> usize {
        size_of::<OutgoingPublish>()
            + self.subscription_ids.len() * size_of::<u32>()
            + self.message.size()
    }
}

impl From<Delivery> for OutgoingPublish {
    fn from(delivery: Delivery) -> OutgoingPublish {
        OutgoingPublish {
            origin: Origin::Desk,
            message: delivery.message,
            qos: delivery.qos,
            retain: delivery.retain,
            dup: delivery.dup,
            seq: delivery.seq,
            packet_id: delivery.packet_id,
            subscription_ids: delivery.subscription_ids,
        }
    }
}
