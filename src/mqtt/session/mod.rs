//! One connected client: packets, responses and frames in; bytes, requests and live publishes out.
//! No I/O, no waiting.
//!
//! The connection calls it with whatever happened, then carries off what the session left at its
//! io.

pub(super) mod access;
pub(super) mod ack_times;
mod aliases;
mod end;
pub(super) mod inbound;
pub(super) mod io;
pub(super) mod live_filters;
pub(super) mod outbound;
mod oversize;
mod pending_subscribes;
pub(super) mod poison;
mod subscribing;
pub(super) mod subscriptions;
mod throttle;
mod unheard;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::desk::port::{Response, Stage, Subscription};
use crate::log_limiter::{About, limited, shortened};
use crate::mqtt::accept::handshake::ClientInfo;
use crate::mqtt::codec::decode;
use crate::mqtt::codec::fixed_header::{self, PacketType};
use crate::mqtt::codec::reason::Reason;
use crate::mqtt::context::ServerContext;
use crate::wire::Millis;
use crate::wire::message::{Message, Qos};

pub(super) use pending_subscribes::Action;

use super::config::DoorConfig;
use super::current::Versioned;
use super::disconnect_reason::DisconnectReason;
use crate::live::{Plane, Publisher, Received, Subscriber};
use access::ClientAccess;
use ack_times::AckTimes;
use end::SessionEnd;
use inbound::Inbound;
use io::{LiveEnds, SessionIo};
use live_filters::LiveFilters;
use outbound::{Origin, Outbound, OutgoingPublish, Overrun};
use oversize::Oversize;
use pending_subscribes::PendingSubscribes;
use subscriptions::SubscriptionTable;
use throttle::Throttle;
use unheard::Unheard;

/// Requests that may wait for the desk's channel before the client's socket is left unread. Their
/// bytes count in `memory.max_queued`; the number only keeps one client from being far ahead of the
/// others, so there is no key for it.
const MAX_WAITING_REQUESTS: usize = 256;

/// A client's session, as far as it lives in a connection.
pub(super) struct ClientSession<P: Plane> {
    pub(super) io: SessionIo,
    pub(super) live: LiveEnds<P>,
    /// What the client may do; `None` for everything.
    pub(super) access: Option<Box<ClientAccess>>,
    pub(super) config: Arc<Versioned<DoorConfig>>,
    context: Arc<ServerContext<P>>,
    pub(super) client: ClientInfo,
    inbound: Inbound,
    acks: AckTimes,
    outbound: Outbound,
    subscriptions: SubscriptionTable,
    pending_subscribes: PendingSubscribes,
    live_filters: LiveFilters,
    end: Option<SessionEnd>,
    /// A packet that is being read away.
    oversize: Option<Box<Oversize>>,
    /// What the log says of the end beside its name.
    detail: Box<str>,
    /// When this round began.
    now: Millis,
    /// `None` where clients may send as fast as they like.
    throttle: Option<Box<Throttle>>,
    /// Refusals that it cannot hear.
    unheard: Option<Box<Unheard>>,
    ids: Vec<u32>,
    /// Messages of QoS 0 that the live plane jumped over for this client in this round.
    unread: u64,
}

impl<P: Plane> ClientSession<P> {
    pub(super) fn new(
        context: Arc<ServerContext<P>>,
        config: Arc<Versioned<DoorConfig>>,
        client: ClientInfo,
        io: SessionIo,
        inbound: Inbound,
        outbound: Outbound,
        access: Option<ClientAccess>,
    ) -> ClientSession<P> {
        let throttle = Throttle::new(&config.mqtt);
        let now = context.clock.now();
        ClientSession {
            io,
            live: LiveEnds {
                publisher: None,
                subscriber: None,
            },
            access: access.map(Box::new),
            config,
            context,
            client,
            inbound,
            acks: AckTimes::default(),
            outbound,
            subscriptions: SubscriptionTable::default(),
            pending_subscribes: PendingSubscribes::default(),
            live_filters: LiveFilters::default(),
            end: None,
            oversize: None,
            detail: Box::default(),
            now,
            throttle,
            unheard: None,
            ids: Vec::new(),
            unread: 0,
        }
    }

    /// Goes on with what an earlier connection subscribed to, which the live plane has already.
    pub(super) fn resume(
        &mut self,
        subscriptions: Vec<Subscription>,
        live_filters: LiveFilters,
        subscriber: Option<P::Subscriber>,
    ) {
        (self.live_filters, self.live.subscriber) = (live_filters, subscriber);
        for subscription in subscriptions {
            let qos = subscription.qos;
            self.subscriptions.insert(subscription, qos, 0);
        }
        self.review_offers();
    }

    /// A new round: takes the time once for all that it brings. Whether a client that sent too fast
    /// is read again from now on.
    pub(super) fn begin(&mut self) -> bool {
        self.now = self.context.clock.now();
        self.acks.begin();
        self.io.share.look();
        if self.context.config.is_past(&self.config) {
            self.apply_config();
        }
        let now = Instant::now();
        let throttle = self.throttle.as_mut();
        let released = throttle.is_some_and(|throttle| throttle.release(now));
        let unheard = self.unheard.as_mut();
        unheard.is_some_and(|unheard| unheard.release(now)) || released
    }

    /// Other settings hold from now on, but for those that the client was told or that its buffers
    /// were made for.
    fn apply_config(&mut self) {
        let config = self
            .context
            .config
            .get()
            .map(|now| self.config.renewed(now));
        let rates = |config: &DoorConfig| (config.mqtt.publishes(), config.mqtt.bytes());
        if rates(&config) != rates(&self.config) {
            self.throttle = Throttle::new(&config.mqtt);
        }
        self.config = Arc::new(config);
    }

    /// Whether another packet may be taken from the client. Every "no" ends by itself: with the
    /// socket, the desk or the live plane having taken what waits for it, or in time.
    pub(super) fn may_read(&self) -> bool {
        let at_desk_max = usize::from(self.config.mqtt.receive_maximum);
        self.end.is_none()
            && self.io.waiting.len() < MAX_WAITING_REQUESTS
            && self.io.output.len() < self.config.mqtt.write_high_water.0
            && self.pending_subscribes.has_room()
            && self.held_until().is_none()
            // MQTT 3.1.1 knows no Receive Maximum; MQTT 5 clients who exceed it are told so.
            && (self.client.v5 || self.inbound.at_desk() < at_desk_max)
    }

    /// Whether it is the desk or the live plane, rather than the client, for whose sake nothing is
    /// read.
    pub(super) fn reads_held_back(&self) -> bool {
        let client_reads = self.io.output.len() < self.config.mqtt.write_high_water.0;
        client_reads && (self.is_publishing() || !self.may_read())
    }

    /// For how long the client may be silent (MQTT-3.1.2-22: one and a half times its keep-alive);
    /// `None` for ever.
    pub(super) fn max_silence(&self) -> Option<Duration> {
        let seconds = u64::from(self.client.keep_alive);
        (seconds > 0).then(|| Duration::from_millis(seconds * 1500))
    }

    /// What the connection is to do on the live plane; the same until it is done.
    pub(super) fn poll_action(&self) -> Option<Action> {
        self.pending_subscribes.action().cloned()
    }

    /// The last action is done.
    pub(super) fn action_done(&mut self) {
        self.pending_subscribes.action_done();
    }

    /// Whether frames wait to be flushed to the live plane.
    pub(super) fn is_publishing(&self) -> bool {
        let publisher = self.live.publisher.as_ref();
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
            match fixed_header::first(&input[used..], self.config.mqtt.max_packet.0) {
                Ok(None) => break,
                Ok(Some(frame)) if self.client.v5 && !frame.is_minimal() => {
                    self.refuse(Reason::Malformed);
                }
                Ok(Some(frame)) => {
                    let publishes = matches!(
                        fixed_header::packet_type(frame.first),
                        Ok(PacketType::Publish)
                    );
                    if publishes && self.pending_subscribes.holds_publish() {
                        break;
                    }
                    if !self.in_time(publishes, frame.len()) {
                        break;
                    }
                    let packet = &input[used..used + frame.len()];
                    used += frame.len();
                    self.io.metrics.packets_received.add(1);
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
        let kind = fixed_header::packet_type(first)?;
        match kind {
            PacketType::Publish => self.on_publish(first, body),
            PacketType::Puback => {
                let ack = decode::ack(self.client.v5, kind, body)?;
                self.outbound.puback(ack.packet_id, &mut self.io)
            }
            PacketType::Pubrec => {
                let ack = decode::ack(self.client.v5, kind, body)?;
                self.outbound
                    .pubrec(ack.packet_id, ack.success, &mut self.io)
            }
            PacketType::Pubcomp => {
                let ack = decode::ack(self.client.v5, kind, body)?;
                self.outbound.pubcomp(ack.packet_id, &mut self.io)
            }
            PacketType::Pubrel => self.on_pubrel(decode::ack(self.client.v5, kind, body)?),
            PacketType::Subscribe => self.on_subscribe(body),
            PacketType::Unsubscribe => self.on_unsubscribe(body),
            PacketType::Pingreq if body.is_empty() => {
                self.io.output.pingresp();
                Ok(())
            }
            PacketType::Pingreq => Err(Reason::Malformed),
            PacketType::Disconnect => self.on_disconnect(body),
            // A second CONNECT (MQTT-3.1.0-2); AUTH without an authentication method (MQTT 5
            // section 4.12).
            PacketType::Connect | PacketType::Auth => Err(Reason::Protocol),
        }
    }

    fn on_disconnect(&mut self, body: &[u8]) -> Result<(), Reason> {
        let packet = decode::disconnect(self.client.v5, body)?;
        let longest = self.config.mqtt.longest_session();
        let expiry = packet.expiry.map(|seconds| seconds.min(longest));
        if expiry.is_some_and(|seconds| seconds > 0) && !self.client.asked_to_last {
            // MQTT-3.14.2-2 forbids to turn an expiry of 0 into another.
            return Err(Reason::Protocol);
        }
        self.end = Some(SessionEnd::Left {
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
                self.slow_down_unheard(verdict, of_own_backlog);
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
                self.outbound.release(seq, packet_id, &mut self.io);
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
        let bytes: usize = frames.iter().map(Bytes::len).sum();
        let most = self.config.mqtt.write_high_water.0;
        self.io.output.reserve(bytes.min(most));
        for frame in frames.drain(..) {
            // The plane carries what sessions and the desk encoded; anything else would be a fault
            // of ours.
            if let Ok(message) = Message::decode(frame)
                && let Err(reason) = self.on_live(message)
            {
                self.refuse(reason);
            }
        }
        let gap = received.missed > 0 && !self.client.durable && self.subscriptions.any_reliable();
        if gap || received.too_slow {
            self.refuse(DisconnectReason::TooSlow);
        } else {
            self.unread += received.missed;
            self.io.metrics.undelivered.lagged.add(received.missed);
        }
    }

    fn on_live(&mut self, message: Message) -> Result<(), Reason> {
        let parts = message.parts();
        let root = &self.config.root;
        let Some(found) = self
            .subscriptions
            .matching(root, &self.client.id, &parts, &mut self.ids)
        else {
            if !self.pending_subscribes.keep_early(&message) {
                self.io.metrics.undelivered.before_suback.add_one();
            }
            return Ok(());
        };
        let qos = parts.qos.min(found.granted);
        if self.client.durable && qos > Qos::AtMostOnce {
            // It comes from the desk, which keeps it until it is acknowledged.
            return Ok(());
        }
        let publish = OutgoingPublish {
            origin: Origin::Live,
            qos,
            retain: parts.retain && found.retain_as_published,
            dup: false,
            seq: 0,
            packet_id: None,
            subscription_ids: self.ids.clone(),
            message,
        };
        self.offer(publish, self.now)
    }

    fn offer(&mut self, publish: OutgoingPublish, now: Millis) -> Result<(), Reason> {
        if let Some(access) = &mut self.access
            && !access.may_receive(publish.message.topic())
        {
            access.not_delivered();
            self.io.acknowledge(publish.seq, Stage::Done);
            return Ok(());
        }
        if let Err(Overrun) = self.outbound.offer(publish, &mut self.io, now) {
            self.refuse(DisconnectReason::TooSlow);
        }
        Ok(())
    }

    /// Notes how much is held of what the client sent, in bytes; ends the session if it needs more
    /// and there is no memory.
    pub(super) fn settle_input(&mut self, waiting: usize) {
        let held = waiting + self.inbound.held_bytes();
        self.io.share.set_incoming(held);
        if self.io.share.is_refused(held) && self.may_read() {
            self.io.share.memory().outcomes.closed.add_one();
            self.refuse(DisconnectReason::Memory);
        }
    }

    /// The end of a round: writes what now has room, and tells the live plane whether to go easy.
    pub(super) fn settle_round(&mut self) {
        if !self.is_publishing() {
            self.io.retry();
        }
        self.acks.settle(&self.io.metrics.ack_latency);
        self.outbound.written(&mut self.io);
        self.outbound.pump(&mut self.io, self.now);
        let outgoing = self.io.output.len()
            + self.outbound.held_bytes()
            + self.pending_subscribes.early_bytes();
        self.io.share.set_outgoing(outgoing);
        if let Some(congested) = self.outbound.take_congestion()
            && let Some(subscriber) = &mut self.live.subscriber
        {
            subscriber.set_congested(congested);
        }
        if self.io.desk_gone {
            self.refuse(Reason::ShuttingDown);
        }
        if self.io.output.is_incomplete() {
            self.refuse(DisconnectReason::AnswerTooLarge);
        }
        self.tell_of_unread();
        while let Some(request) = self.pending_subscribes.next_request() {
            self.io.ask(request);
        }
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
        self.context
            .log_limiter
            .admits(about, kind, &self.client.id)
    }
}
