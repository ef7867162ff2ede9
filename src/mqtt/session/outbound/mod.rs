//! Deliveries to the client: packet ids, the in-flight window, and what waits for either or for the
//! socket.
//!
//! Two queues. What must not be lost waits in order for window and socket: deliveries from the
//! desk, retained snapshots, live messages of QoS 1 and 2. What may be lost, live messages of QoS
//! 0, waits for the socket alone, and the oldest go first when there is too much of it. A retained
//! snapshot is never overtaken: its successors would look older than it.

mod acks;
mod outgoing_publish;
mod send_queue;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::desk::port::Stage;
use crate::mqtt::codec::encode::{PublishHeader, publish_len};
use crate::mqtt::config::DoorConfig;
use crate::mqtt::current::Versioned;
use crate::wire::Millis;
use crate::wire::message::Qos;

use super::aliases::Aliases;
use super::io::SessionIo;
use send_queue::SendQueue;

pub(super) use outgoing_publish::{Origin, OutgoingPublish};

/// Places for flights that an idle session may hold on to.
const FLIGHTS_AT_HAND: usize = 16;

/// How far an outgoing QoS 1 or 2 message has come (MQTT 5 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flight {
    /// QoS 1, PUBACK awaited.
    AtLeastOnce { seq: u64 },
    /// QoS 2, PUBREC awaited.
    Sent { seq: u64 },
    /// QoS 2, PUBREC is here; the desk's word is awaited.
    Received { seq: u64 },
    /// QoS 2, PUBREL sent, PUBCOMP awaited.
    Released { seq: u64 },
}

/// The client's queues asked more of the session than it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overrun;

#[derive(Debug)]
pub(in crate::mqtt) struct Outbound {
    v5: bool,
    max_packet: usize,
    window: usize,
    /// As it was when the connection came: the buffers are made for it.
    config: Arc<Versioned<DoorConfig>>,
    flights: HashMap<u16, Flight>,
    /// Ids whose PUBREC is here, in its order, and whether their PUBREL may go.
    releasing: VecDeque<(u16, bool)>,
    last_id: u16,
    queue: SendQueue,
    /// Desk deliveries of QoS 0 that are done once the socket has taken so many bytes: (bytes,
    /// seq).
    unwritten: VecDeque<(u64, u64)>,
    aliases: Aliases,
    /// Messages of QoS 0 dropped since they were last asked for.
    dropped: u64,
    /// Publishers were told to hold back.
    congested: bool,
}

impl Outbound {
    pub(in crate::mqtt) fn new(
        config: Arc<Versioned<DoorConfig>>,
        v5: bool,
        max_packet: usize,
        window: u16,
        max_alias: u16,
        backlog: Arc<AtomicUsize>,
    ) -> Outbound {
        Outbound {
            v5,
            max_packet,
            window: usize::from(window),
            config,
            flights: HashMap::new(),
            releasing: VecDeque::new(),
            last_id: 0,
            queue: SendQueue::new(backlog),
            unwritten: VecDeque::new(),
            aliases: Aliases::new(max_alias),
            dropped: 0,
            congested: false,
        }
    }

    /// Takes a message: writes it if window and socket allow, else keeps it as its origin says.
    ///
    /// # Errors
    /// If the queue of live QoS 1 and 2 messages is full.
    pub(super) fn offer(
        &mut self,
        publish: OutgoingPublish,
        io: &mut SessionIo,
        now: Millis,
    ) -> Result<(), Overrun> {
        let may_be_lost = publish.qos == Qos::AtMostOnce
            && (publish.origin == Origin::Live
                || publish.origin == Origin::Desk && publish.seq == 0);
        if may_be_lost {
            if self.socket_takes(io) && self.queue.lets_lossy_pass() {
                self.send(publish, io, now);
            } else {
                self.keep_lossy(publish, io);
            }
            return Ok(());
        }
        if self.queue.next_kept().is_none() && self.has_room(&publish, io) {
            self.send(publish, io, now);
            return Ok(());
        }
        let promised = publish.origin == Origin::Desk;
        self.queue.keep(publish);
        // What comes from the desk is in its window, and not lost with this connection.
        let no_memory = !promised && io.share.is_refused(self.queue.bytes());
        if no_memory {
            io.share.memory().outcomes.closed.add_one();
        }
        let live = self.queue.live();
        // What was on its way when publishers were told to hold back comes all the same: of small
        // messages that may be very many.
        let too_many = live.messages > self.config.mqtt.max_pending_messages;
        let over =
            (too_many && !self.congested) || live.bytes > self.config.mqtt.max_pending_bytes.0;
        if over || no_memory {
            Err(Overrun)
        } else {
            Ok(())
        }
    }

    /// Drops what waits here and may not be delivered any more; the desk hears that it is done.
    pub(super) fn retain(&mut self, allowed: impl FnMut(&str) -> bool, io: &mut SessionIo) {
        self.queue
            .retain(allowed, |dropped| io.acknowledge(dropped.seq, Stage::Done));
    }

    /// Writes what window and socket have room for now.
    pub(super) fn pump(&mut self, io: &mut SessionIo, now: Millis) {
        while self
            .queue
            .next_kept()
            .is_some_and(|next| self.has_room(next, io))
            && let Some(publish) = self.queue.take_kept()
        {
            self.send(publish, io, now);
        }
        while self.queue.snapshots() == 0
            && self.socket_takes(io)
            && let Some(publish) = self.queue.take_lossy()
        {
            self.send(publish, io, now);
        }
        self.queue.give_back();
        if self.flights.is_empty() && self.flights.capacity() > FLIGHTS_AT_HAND {
            self.flights = HashMap::new();
        }
    }

    /// Retained messages that wait.
    pub(super) fn snapshots(&self) -> usize {
        self.queue.snapshots()
    }

    /// Whether publishers should be held back from now on, or not any more.
    pub(super) fn take_congestion(&mut self) -> Option<bool> {
        let share = if self.congested { 4 } else { 2 };
        let live = self.queue.live();
        let past = live.messages > self.config.mqtt.max_pending_messages / share
            || live.bytes > self.config.mqtt.max_pending_bytes.0 / share;
        let changed = past != self.congested;
        self.congested = past;
        changed.then_some(past)
    }

    /// Notes how many bytes the socket has taken in all.
    pub(super) fn written(&mut self, io: &mut SessionIo) {
        while let Some(&(position, seq)) = self.unwritten.front() {
            if position > io.output.written() {
                break;
            }
            self.unwritten.pop_front();
            io.acknowledge(seq, Stage::Done);
        }
    }

    fn has_room(&self, publish: &OutgoingPublish, io: &SessionIo) -> bool {
        self.socket_takes(io)
            && (publish.qos == Qos::AtMostOnce || self.flights.len() < self.window)
    }

    /// Whether more may be put before the socket; less of it where memory is short.
    fn socket_takes(&self, io: &SessionIo) -> bool {
        let queue = io.output.len();
        queue < self.config.mqtt.write_high_water.0 && !io.share.is_refused(queue)
    }

    /// Bytes that wait for the window or the socket, what is encoded already aside, and those of
    /// aliases.
    pub(super) fn held_bytes(&self) -> usize {
        self.queue.bytes() + self.aliases.bytes()
    }

    /// Messages of QoS 0 dropped since the last call, because the client does not keep up.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn keep_lossy(&mut self, publish: OutgoingPublish, io: &SessionIo) {
        self.queue.keep_lossy(publish);
        loop {
            let bytes = self.queue.lossy_bytes();
            let too_much = bytes > self.config.mqtt.write_buffer.0;
            if !too_much && !io.share.is_refused(bytes) || self.queue.take_lossy().is_none() {
                return;
            }
            if !too_much {
                io.share.memory().outcomes.dropped.add_one();
            }
            self.dropped += 1;
            io.metrics.undelivered.slow_reader.add(1);
        }
    }

    fn send(&mut self, publish: OutgoingPublish, io: &mut SessionIo, now: Millis) {
        let parts = publish.message.parts();
        // What was sent once is sent until it is acknowledged (MQTT-4.3.3-7).
        if publish.message.expired(now) && !publish.dup {
            io.metrics.undelivered.expired.add(1);
            io.acknowledge(publish.seq, Stage::Done);
            return;
        }
        let mut head = PublishHeader {
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            packet_id: None,
            subscription_ids: &publish.subscription_ids,
            alias: self.aliases.find(parts.topic),
            now,
        };
        if head.alias.is_some_and(|alias| !alias.known)
            && publish_len(self.v5, &parts, &head) > self.max_packet
        {
            // Telling the alias takes room that the message may need.
            head.alias = None;
        }
        if publish_len(self.v5, &parts, &head) > self.max_packet {
            // MQTT-3.1.2-25: as if it had been sent.
            io.metrics.undelivered.too_large_for_client.add(1);
            io.acknowledge(publish.seq, Stage::Done);
            return;
        }
        let seq = publish.seq;
        let flight = match publish.qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce => Some(Flight::AtLeastOnce { seq }),
            Qos::ExactlyOnce => Some(Flight::Sent { seq }),
        };
        if let Some(flight) = flight {
            let packet_id = publish.packet_id.unwrap_or_else(|| self.free_id());
            self.flights.insert(packet_id, flight);
            head.packet_id = Some(packet_id);
        }
        io.output.publish(self.v5, &parts, &head);
        self.aliases.sent(parts.topic, head.alias);
        io.metrics.publishes_sent.of(publish.qos).add(1);
        io.metrics
            .publish_bytes_sent
            .add(parts.payload.len() as u64);
        if flight.is_none() && seq != 0 {
            self.unwritten.push_back((io.output.position(), seq));
        }
    }

    /// A packet id that is not in flight. There are more ids than the window has places, so there
    /// always is one.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.flights.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::desk::{ConnectionShare, MemoryBudget};
    use crate::mqtt::Current;
    use crate::mqtt::MqttConfig;
    use crate::mqtt::metrics::Metrics;
    use crate::wire::message::{Message, Parts};

    fn publish(level: u8) -> OutgoingPublish {
        OutgoingPublish {
            origin: Origin::Live,
            message: Message::encode(&Parts {
                topic: "a",
                ..Parts::default()
            }),
            qos: Qos::from_level(level).unwrap(),
            retain: false,
            dup: false,
            seq: 0,
            packet_id: None,
            subscription_ids: Vec::new(),
        }
    }

    #[test]
    fn packet_ids_in_flight_are_not_given_twice() {
        let (desk, _requests) = mpsc::channel(1);
        let share = ConnectionShare::new(MemoryBudget::boundless());
        let mut io = SessionIo::new(1, desk, Arc::default(), share);
        let config = Current::new(DoorConfig::from(MqttConfig::default())).get();
        let mut outbound = Outbound::new(config, false, usize::MAX, 3, 0, Arc::default());
        outbound.offer(publish(2), &mut io, 0).unwrap();
        for round in 0..70_000u32 {
            outbound.offer(publish(1), &mut io, 0).unwrap();
            io.output.advance(io.output.len());
            let id = outbound.last_id;
            assert!(id > 1, "round {round}");
            outbound.puback(id, &mut io).unwrap();
        }
        assert_eq!(outbound.flights.len(), 1);
        let metrics: &Metrics = &io.metrics;
        assert_eq!(metrics.stray_acks.value(), 0);
    }
}
