//! One connected client: packets, responses and frames in; bytes, requests and live publishes out. No I/O, no waiting.
//!
//! The connection calls it with whatever happened, then carries off what the session left at its exits.

pub(super) mod access;
pub(super) mod ack_times;
mod aliases;
pub(super) mod awaited;
pub(super) mod exits;
pub(super) mod inbound;
pub(super) mod listening;
pub(super) mod outbound;
mod oversize;
pub(super) mod poison;
mod subscribing;
pub(super) mod subscriptions;
mod throttle;
mod unheard;

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::desk::port::{Response, Stage};
use crate::diary::{About, limited, shortened};
use crate::mqtt::accept::handshake::Client;
use crate::mqtt::accept::listener::Door;
use crate::mqtt::codec::decode;
use crate::mqtt::codec::frame::{self, Kind};
use crate::mqtt::codec::reason::Reason;
use crate::wire::Millis;
use crate::wire::message::{Message, Qos};

use super::config::MqttConfig;
use super::current::Versioned;
use super::ending::Ending;
use super::plane::{Plane, Publisher, Received, Subscriber};
use access::{Access, Change};
use ack_times::AckTimes;
use awaited::Subscribing;
use exits::Exits;
use inbound::Inbound;
use listening::Listening;
use outbound::{Origin, Outbound, Overrun, Parcel};
use oversize::Oversize;
use subscriptions::Subscriptions;
use throttle::Throttle;
use unheard::Unheard;

/// Requests that may wait for the desk's channel before the client's socket is left unread. Their bytes count in
/// `memory.max_queued`; the number only keeps one client from being far ahead of the others, so there is no key for it.
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
    Refused(Ending),
}

/// A client's session, as far as it lives in a connection.
pub(super) struct Session<P: Plane> {
    pub(super) door: Arc<Door<P>>,
    pub(super) config: Arc<Versioned<MqttConfig>>,
    pub(super) client: Client,
    pub(super) exits: Exits,
    pub(super) inbound: Inbound,
    pub(super) acks: AckTimes,
    pub(super) outbound: Outbound,
    pub(super) subscriptions: Subscriptions,
    pub(super) subscribing: Subscribing,
    pub(super) listening: Listening,
    /// Opened by the first publish, and the first subscription, that need them.
    pub(super) publisher: Option<P::Publisher>,
    pub(super) subscriber: Option<P::Subscriber>,
    /// What the client may do; `None` for everything.
    pub(super) access: Option<Box<Access>>,
    pub(super) end: Option<End>,
    /// A packet that is being read away.
    oversize: Option<Box<Oversize>>,
    /// What the log says of the end beside its name.
    pub(super) detail: Box<str>,
    /// When this round began.
    pub(super) now: Millis,
    /// `None` where clients may send as fast as they like.
    throttle: Option<Box<Throttle>>,
    /// Refusals that it cannot hear.
    unheard: Option<Box<Unheard>>,
    congested: bool,
    ids: Vec<u32>,
    /// Messages of QoS 0 that the live plane jumped over for this client in this round.
    unread: u64,
}

impl<P: Plane> Session<P> {
    pub(super) fn new(
        door: Arc<Door<P>>,
        config: Arc<Versioned<MqttConfig>>,
        client: Client,
        exits: Exits,
        outbound: Outbound,
    ) -> Session<P> {
        let throttle = Throttle::new(&config);
        let now = door.clock.now();
        Session {
            throttle,
            unheard: None,
            config,
            door,
            client,
            exits,
            inbound: Inbound::default(),
            acks: AckTimes::default(),
            outbound,
            subscriptions: Subscriptions::default(),
            subscribing: Subscribing::default(),
            listening: Listening::default(),
            publisher: None,
            subscriber: None,
            access: None,
            end: None,
            oversize: None,
            detail: Box::default(),
            now,
            congested: false,
            ids: Vec::new(),
            unread: 0,
        }
    }

    /// A new round: takes the time once for all that it brings. Whether a client that sent too fast is read again from now on.
    pub(super) fn begin(&mut self) -> bool {
        self.now = self.door.clock.now();
        self.acks.begin();
        self.exits.share.look();
        if self.door.config.is_past(&self.config) {
            self.heed_config();
        }
        let now = Instant::now();
        let throttle = self.throttle.as_mut();
        let released = throttle.is_some_and(|throttle| throttle.release(now));
        let unheard = self.unheard.as_mut();
        unheard.is_some_and(|unheard| unheard.release(now)) || released
    }

    /// Other settings hold from now on, but for those that the client was told or that its buffers were made for.
    fn heed_config(&mut self) {
        let config = self.door.config.get().map(|now| self.config.renewed(now));
        let rates = |config: &MqttConfig| (config.publish_rate, config.byte_rate);
        if rates(&config) != rates(&self.config) {
            self.throttle = Throttle::new(&config);
        }
        self.config = Arc::new(config);
    }

    /// Until when the client is not read because it sent too fast, or more than there is room for.
    pub(super) fn held_until(&self) -> Option<Instant> {
        let throttle = self.throttle.as_ref();
        let throttle = throttle.and_then(|throttle| throttle.held_until());
        let unheard = self.unheard.as_ref();
        let unheard = unheard.and_then(|unheard| unheard.held_until());
        throttle.max(unheard)
    }

    /// Whether the client's rates allow a packet now.
    pub(super) fn in_time(&mut self, publishes: bool, bytes: usize) -> bool {
        let metrics = &self.exits.metrics;
        self.throttle
            .as_mut()
            .is_none_or(|throttle| throttle.takes(publishes, bytes, Instant::now(), metrics))
    }

    /// Whether another packet may be taken from the client. Every "no" ends by itself: with the socket, the desk or the live
    /// plane having taken what waits for it, or in time.
    pub(super) fn may_read(&self) -> bool {
        let at_desk_max = usize::from(self.config.receive_maximum);
        self.end.is_none()
            && self.exits.waiting.len() < MAX_WAITING_REQUESTS
            && self.exits.output.len() < self.config.write_high_water_bytes
            && self.subscribing.has_room()
            && self.held_until().is_none()
            // MQTT 3.1.1 knows no Receive Maximum; MQTT 5 clients who exceed it are told so.
            && (self.client.v5 || self.inbound.at_desk() < at_desk_max)
    }

    /// Whether frames wait to be flushed to the live plane.
    pub(super) fn is_publishing(&self) -> bool {
        let publisher = self.publisher.as_ref();
        publisher.is_some_and(|live| !live.is_empty())
    }

    /// Takes packets as far as they are whole and may be taken; how many bytes that was.
    pub(super) fn feed(&mut self, input: &[u8]) -> usize {
        let mut used = 0;
        while self.may_read() {
            if self.oversize.is_some() {
                let away = self.read_away(&input[used..]);
                used += away;
                if away == 0 {
                    break;
                }
                continue;
            }
            match frame::first(&input[used..], self.config.max_packet_bytes) {
                Ok(None) => break,
                Ok(Some(frame)) if self.client.v5 && !frame.is_minimal() => {
                    self.refuse(Reason::Malformed);
                }
                Ok(Some(frame)) => {
                    let publishes = matches!(frame::kind(frame.first), Ok(Kind::Publish));
                    if publishes && self.subscribing.holds_publish() {
                        break;
                    }
                    if !self.in_time(publishes, frame.len()) {
                        break;
                    }
                    let packet = &input[used..used + frame.len()];
                    used += frame.len();
                    self.exits.metrics.packets_received.add(1);
                    if let Err(reason) = self.on_packet(frame.first, &packet[frame.header..]) {
                        self.refuse(reason);
                    }
                }
                Err(Reason::PacketTooLarge) => {
                    self.on_oversize(&input[used..]);
                    if self.oversize.is_none() {
                        break;
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
                self.outbound.puback(ack.packet_id, &mut self.exits)
            }
            Kind::Pubrec => {
                let ack = decode::ack(self.client.v5, kind, body)?;
                self.outbound
                    .pubrec(ack.packet_id, ack.success, &mut self.exits)
            }
            Kind::Pubcomp => {
                let ack = decode::ack(self.client.v5, kind, body)?;
                self.outbound.pubcomp(ack.packet_id, &mut self.exits)
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
        let longest = self.config.session_expiry_max;
        let expiry = packet.expiry.map(|seconds| seconds.min(longest));
        if expiry.is_some_and(|seconds| seconds > 0) && !self.client.asked_to_last {
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
            Response::Published {
                packet_id,
                verdict,
                words,
                of_own_backlog,
            } => {
                self.heed(verdict, of_own_backlog);
                self.on_published(packet_id, verdict, words.as_deref());
                Ok(())
            }
            Response::NoRoom {
                packet_id,
                full,
                message,
            } => {
                self.on_no_room(packet_id, full, &message);
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
            Response::Close(reason) => {
                self.refuse(reason);
                Ok(())
            }
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
            self.refuse(Ending::TooSlow);
        } else {
            self.unread += received.missed;
            self.exits.metrics.undelivered.lagged.add(received.missed);
        }
    }

    pub(super) fn on_live(&mut self, message: Message) -> Result<(), Reason> {
        let parts = message.parts();
        let root = &self.config.root;
        let Some(found) = self
            .subscriptions
            .matching(root, &self.client.id, &parts, &mut self.ids)
        else {
            if !self.subscribing.keep_early(&message) {
                self.exits.metrics.undelivered.before_suback.add_one();
            }
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
        if let Some(access) = &mut self.access
            && !access.may_receive(parcel.message.topic())
        {
            access.not_delivered();
            self.exits.acknowledge(parcel.seq, Stage::Done);
            return Ok(());
        }
        if let Err(Overrun) = self.outbound.offer(parcel, &mut self.exits, now) {
            self.refuse(Ending::TooSlow);
        }
        Ok(())
    }

    /// Notes how much is held of what the client sent, in bytes; ends the session if it needs more and there is no memory.
    pub(super) fn settle_input(&mut self, waiting: usize) {
        let held = waiting + self.inbound.held_bytes();
        self.exits.share.set_incoming(held);
        if self.exits.share.is_refused(held) && self.may_read() {
            self.exits.share.memory().closed.add_one();
            self.refuse(Ending::Memory);
        }
    }

    /// The end of a round: writes what now has room, and tells the live plane whether to go easy.
    pub(super) fn settle_round(&mut self) {
        if !self.is_publishing() {
            self.exits.retry();
        }
        self.acks.settle(&self.exits.metrics.ack_latency);
        self.outbound.written(&mut self.exits);
        self.outbound.pump(&mut self.exits, self.now);
        let outgoing =
            self.exits.output.len() + self.outbound.held_bytes() + self.subscribing.early_bytes();
        self.exits.share.set_outgoing(outgoing);
        if let Some(congested) = self.outbound.congestion(self.congested) {
            self.congested = congested;
            if let Some(subscriber) = &mut self.subscriber {
                subscriber.set_congested(congested);
            }
        }
        if self.exits.desk_gone {
            self.refuse(Reason::ShuttingDown);
        }
        if self.exits.output.is_incomplete() {
            self.refuse(Ending::AnswerTooLarge);
        }
        self.tell_of_unread();
    }

    /// A client that does not read what may be lost is told of in the log.
    fn tell_of_unread(&mut self) {
        let dropped = self.unread + self.outbound.take_dropped();
        self.unread = 0;
        if dropped > 0 {
            let admitted = self.admits("unread");
            let client = shortened(&self.client.id);
            limited!(
                info,
                admitted,
                client,
                kind = "unread",
                dropped,
                "it reads too slowly: messages of QoS 0 dropped"
            );
        }
    }

    /// Whether a line of this kind about this client is worth the log.
    pub(super) fn admits(&self, kind: &'static str) -> bool {
        let about = self
            .access
            .as_ref()
            .map_or(About::Client, |own| own.about());
        self.door.diary.admits(about, kind, &self.client.id)
    }

    /// The rules, or the client's standing, have changed.
    pub(super) fn on_change(&mut self, change: Change) {
        let Some(access) = &mut self.access else {
            return;
        };
        let renewed = match change {
            Change::Expired => Err(access.expire()),
            Change::Rules => access.renew(),
        };
        match renewed {
            Ok(()) => {
                self.outbound
                    .retain(|topic| access.may_receive(topic), &mut self.exits);
                self.review_offers();
            }
            Err(reason) => self.refuse(reason),
        }
    }

    /// Ends the session for a reason of ours; the first one stands.
    pub(super) fn refuse(&mut self, ending: impl Into<Ending>) {
        self.end.get_or_insert(End::Refused(ending.into()));
    }
}
