//! One connected client: packets, responses and frames in; bytes, requests and live publishes out. No I/O, no waiting.
//!
//! The connection calls it with whatever happened, then carries off what the session left at its exits.

use std::sync::Arc;

use bytes::Bytes;

use crate::desk::now;
use crate::desk::port::Response;
use crate::wire::Millis;
use crate::wire::message::{Message, Qos};

use super::decode;
use super::exits::Exits;
use super::frame::{self, Kind};
use super::handshake::Client;
use super::inbound::Inbound;
use super::listener::Door;
use super::listening::Listening;
use super::outbound::{Origin, Outbound, Overrun, Parcel};
use super::plane::{Plane, Received, Subscriber};
use super::reason::Reason;
use super::subscribing::Subscribing;
use super::subscriptions::Subscriptions;

/// Requests that may wait for the desk's channel before the client's socket is left unread.
const MAX_WAITING_REQUESTS: usize = 256;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client said DISCONNECT.
    Left {
        publish_will: bool,
        expiry: Option<u32>,
    },
    /// The socket closed or failed.
    Gone,
    /// We close, and tell whoever can be told.
    Refused(Reason),
}

impl From<Overrun> for Reason {
    fn from(_: Overrun) -> Reason {
        Reason::QuotaExceeded
    }
}

/// A client's session, as far as it lives in a connection.
pub(super) struct Session<P: Plane> {
    pub(super) door: Arc<Door<P>>,
    pub(super) client: Client,
    pub(super) exits: Exits,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) subscriptions: Subscriptions,
    pub(super) subscribing: Subscribing,
    pub(super) listening: Listening,
    /// Opened by the first publish, and the first subscription, that need them.
    pub(super) publisher: Option<P::Publisher>,
    pub(super) subscriber: Option<P::Subscriber>,
    pub(super) end: Option<End>,
    /// When this round began.
    pub(super) now: Millis,
    congested: bool,
    ids: Vec<u32>,
}

impl<P: Plane> Session<P> {
    pub(super) fn new(
        door: Arc<Door<P>>,
        client: Client,
        exits: Exits,
        outbound: Outbound,
    ) -> Session<P> {
        Session {
            door,
            client,
            exits,
            inbound: Inbound::default(),
            outbound,
            subscriptions: Subscriptions::default(),
            subscribing: Subscribing::default(),
            listening: Listening::default(),
            publisher: None,
            subscriber: None,
            end: None,
            now: now(),
            congested: false,
            ids: Vec::new(),
        }
    }

    /// A new round: takes the time once for all that it brings.
    pub(super) fn begin(&mut self) {
        self.now = now();
    }

    /// Whether another packet may be taken from the client. Every "no" ends by itself: with the socket, the desk or the live
    /// plane having taken what waits for it.
    pub(super) fn may_read(&self) -> bool {
        let at_desk_max = usize::from(self.door.config.receive_maximum);
        self.end.is_none()
            && self.exits.waiting.len() < MAX_WAITING_REQUESTS
            && self.exits.output.len() < self.door.config.write_high_water_bytes
            && self.subscribing.has_room()
            // MQTT 3.1.1 knows no Receive Maximum; MQTT 5 clients who exceed it are told so.
            && (self.client.v5 || self.inbound.at_desk() < at_desk_max)
    }

    /// Takes packets as far as they are whole and may be taken; how many bytes that was.
    pub(super) fn feed(&mut self, input: &[u8]) -> usize {
        let mut used = 0;
        while self.may_read() {
            match frame::first(&input[used..], self.door.config.max_packet_bytes) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let publishes = matches!(frame::kind(frame.first), Ok(Kind::Publish));
                    if publishes && self.subscribing.holds_publish() {
                        break;
                    }
                    let packet = &input[used..used + frame.len()];
                    used += frame.len();
                    self.exits.metrics.packets_received.add(1);
                    if let Err(reason) = self.on_packet(frame.first, &packet[frame.header..]) {
                        self.refuse(reason);
                    }
                }
                Err(reason) => self.refuse(reason),
            }
        }
        used
    }

    fn on_packet(&mut self, first: u8, body: &[u8]) -> Result<(), Reason> {
        let kind = frame::kind(first)?;
        match kind {
            Kind::Publish => self.on_publish(first, body),
            Kind::Puback => {
                let ack = decode::ack(self.client.v5, kind, body)?;
                self.outbound.puback(ack.packet_id, &mut self.exits);
                Ok(())
            }
            Kind::Pubrec => {
                let ack = decode::ack(self.client.v5, kind, body)?;
                self.outbound
                    .pubrec(ack.packet_id, ack.success, &mut self.exits);
                Ok(())
            }
            Kind::Pubcomp => {
                let ack = decode::ack(self.client.v5, kind, body)?;
                self.outbound.pubcomp(ack.packet_id, &mut self.exits);
                Ok(())
            }
            Kind::Pubrel => self.on_pubrel(decode::ack(self.client.v5, kind, body)?),
            Kind::Subscribe => self.on_subscribe(body),
            Kind::Unsubscribe => self.on_unsubscribe(body),
            Kind::Pingreq if body.is_empty() => {
                self.exits.output.pingresp();
                Ok(())
            }
            Kind::Pingreq => Err(Reason::Malformed),
            Kind::Disconnect => self.on_disconnect(body),
            // A second CONNECT (MQTT-3.1.0-2); AUTH without an authentication method (MQTT 5 section 4.12).
            Kind::Connect | Kind::Auth => Err(Reason::Protocol),
        }
    }

    fn on_disconnect(&mut self, body: &[u8]) -> Result<(), Reason> {
        let packet = decode::disconnect(self.client.v5, body)?;
        let longest = self.door.config.session_expiry_max;
        let expiry = packet.expiry.map(|seconds| seconds.min(longest));
        if expiry.is_some_and(|seconds| seconds > 0) && !self.client.durable {
            // MQTT-3.14.2-2 forbids to turn an expiry of 0 into another.
            return Err(Reason::Protocol);
        }
        self.end = Some(End::Left {
            publish_will: packet.publish_will,
            expiry,
        });
        Ok(())
    }

    /// What the desk has to say.
    pub(super) fn on_response(&mut self, response: Response) {
        let done = match response {
            // Answered once, before the session began.
            Response::Opened { .. } => Ok(()),
            Response::Subscribed { .. } => self.on_subscribed(response),
            Response::Unsubscribed { existed, .. } => self.on_unsubscribed(&existed),
            Response::Published { packet_id, verdict } => {
                self.on_published(packet_id, verdict);
                Ok(())
            }
            Response::Released { packet_id } => {
                self.on_released(packet_id);
                Ok(())
            }
            Response::Deliver(delivery) => self.offer(delivery.into(), self.now),
            Response::Release { seq, packet_id } => {
                self.outbound.release(seq, packet_id, &mut self.exits);
                Ok(())
            }
            Response::Close(reason) => Err(reason.into()),
        };
        if let Err(reason) = done {
            self.refuse(reason);
        }
    }

    /// What the live plane has to say. All responses that were there before must have been handled.
    pub(super) fn on_frames(&mut self, frames: &mut Vec<Bytes>, received: Received) {
        for frame in frames.drain(..) {
            // The plane carries what sessions and the desk encoded; anything else would be a fault of ours.
            if let Ok(message) = Message::decode(frame)
                && let Err(reason) = self.on_live(message)
            {
                self.refuse(reason);
            }
        }
        let gap = received.missed > 0 && !self.client.durable && self.subscriptions.any_reliable();
        if gap || received.too_slow {
            self.refuse(Reason::QuotaExceeded);
        } else {
            self.exits.metrics.missed.add(received.missed);
        }
    }

    fn on_live(&mut self, message: Message) -> Result<(), Reason> {
        let parts = message.parts();
        let root = &self.door.config.root;
        let Some(found) = self
            .subscriptions
            .matching(root, &self.client.id, &parts, &mut self.ids)
        else {
            return Ok(());
        };
        let qos = parts.qos.min(found.granted);
        if self.client.durable && qos > Qos::AtMostOnce {
            // It comes from the desk, which keeps it until it is acknowledged.
            return Ok(());
        }
        let parcel = Parcel {
            origin: Origin::Live,
            qos,
            retain: parts.retain && found.retain_as_published,
            dup: false,
            seq: 0,
            packet_id: None,
            subscription_ids: self.ids.clone(),
            message,
        };
        self.offer(parcel, self.now)
    }

    pub(super) fn offer(&mut self, parcel: Parcel, now: Millis) -> Result<(), Reason> {
        Ok(self.outbound.offer(parcel, &mut self.exits, now)?)
    }

    /// The end of a round: writes what now has room, and tells the live plane whether to go easy.
    pub(super) fn settle_round(&mut self) {
        self.exits.retry();
        self.outbound.written(&mut self.exits);
        self.outbound.pump(&mut self.exits, self.now);
        if let Some(congested) = self.outbound.congestion(self.congested) {
            self.congested = congested;
            if let Some(subscriber) = &mut self.subscriber {
                subscriber.set_congested(congested);
            }
        }
        if self.exits.desk_gone {
            self.refuse(Reason::ShuttingDown);
        }
    }

    /// Ends the session for a reason of ours; the first one stands.
    pub(super) fn refuse(&mut self, reason: Reason) {
        self.end.get_or_insert(End::Refused(reason));
    }
}
