//! A client that does exactly what MQTT asks of it across lost connections (sections 4.3 and 4.4).
//!
//! It reconnects, repeats PUBLISH with DUP and PUBREL by packet id in a session that goes on,
//! begins anew in one that does not, remembers inbound QoS 2 by packet id, and tells its actor only
//! what an application would be told.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::history::{Delivery, What};
use super::world::{Life, World};
use crate::harness::{Ack, Client, Connect, Lost, Packet, Properties, Publish, Version};

/// A PUBCOMP's reason code (MQTT 5 section 3.7.2.1).
const PACKET_ID_NOT_FOUND: u8 = 0x92;

/// What an application is told.
#[derive(Debug)]
pub(super) enum Heard {
    /// A message, once for each time that its QoS makes it a new one.
    Message(Publish),
    /// A publish is done.
    Acked,
    /// Go home.
    Over,
}

/// A publish that is not done yet.
#[derive(Debug)]
struct Flight {
    publish: Publish,
    subject: String,
    n: u64,
    /// PUBREC came: only PUBREL is repeated.
    received: bool,
}

/// One client.
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) world: Arc<World>,
    connect: Connect,
    filters: Vec<(String, u8)>,
    client: Option<(Life, Client)>,
    /// The gateway has acknowledged a CONNECT, and a SUBSCRIBE: a persistent session must know.
    known: bool,
    subscribed: bool,
    flights: VecDeque<Flight>,
    unreleased: BTreeSet<u16>,
    told: VecDeque<Heard>,
    last_packet_id: u16,
    pub(super) rng: ChaCha8Rng,
    /// Of 1000 messages, how many make it cut its connection instead of acknowledging.
    cuts: u32,
}

impl Peer {
    pub(super) fn new(world: &Arc<World>, connect: Connect) -> Peer {
        let name = connect.client_id.clone();
        let salt = name
            .bytes()
            .fold(7, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
        Peer {
            rng: ChaCha8Rng::seed_from_u64(world.seed ^ salt.rotate_left(32)),
            name,
            world: world.clone(),
            connect,
            filters: Vec::new(),
            client: None,
            known: false,
            subscribed: true,
            flights: VecDeque::new(),
            unreleased: BTreeSet::new(),
            told: VecDeque::new(),
            last_packet_id: 0,
            cuts: 0,
        }
    }

    pub(super) fn listening(mut self, filters: &[(&str, u8)]) -> Peer {
        self.filters = filters
            .iter()
            .map(|(filter, qos)| ((*filter).to_owned(), *qos))
            .collect();
        self.subscribed = false;
        self
    }

    pub(super) fn cutting(mut self, per_thousand: u32) -> Peer {
        self.cuts = per_thousand;
        self
    }

    /// A number below the bound.
    pub(super) fn pick(&mut self, bound: u32) -> u32 {
        self.rng.next_u32() % bound
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    pub(super) fn delivery(&self, publish: &Publish) -> Delivery {
        Delivery {
            qos: publish.qos,
            dup: publish.dup,
            clean: self.connect.clean,
        }
    }

    pub(super) fn record(&self, subject: &str, n: u64, what: What) {
        self.world.record(&self.name, subject, n, what);
    }

    fn wrong(&self, words: impl Into<String>) {
        self.record("session", 0, What::Wrong(words.into()));
    }

    /// Connects, subscribes, and waits for everybody else to have done so.
    pub(super) fn settle(&mut self) {
        while !(self.world.over() || self.known && self.subscribed) {
            if let Some(heard) = self.turn() {
                self.told.push_back(heard);
            }
        }
        self.world.settled();
        self.world.started();
    }

    /// Publishes; [`Heard::Acked`] says when it is done.
    pub(super) fn publish(&mut self, mut publish: Publish, subject: &str, n: u64) {
        let taken: BTreeSet<Option<u16>> = self
            .flights
            .iter()
            .map(|flight| flight.publish.packet_id)
            .collect();
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !taken.contains(&Some(self.last_packet_id)) {
                break;
            }
        }
        publish.packet_id = Some(self.last_packet_id);
        self.flights.push_back(Flight {
            publish,
            subject: subject.to_owned(),
            n,
            received: false,
        });
        if self.client.is_some() {
            self.transmit(self.flights.len() - 1);
        }
    }

    /// A QoS 1 command of an agent in the room.
    pub(super) fn command(&mut self, rest: &str, body: &serde_json::Value, subject: &str) {
        let topic = format!("rooms/crash/{rest}");
        self.publish(Publish::new(&topic, body.to_string(), 1), subject, 0);
    }

    /// What comes next.
    pub(super) fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.told.pop_front() {
                return heard;
            }
            if self.world.over() {
                return Heard::Over;
            }
            if let Some(heard) = self.turn() {
                return heard;
            }
        }
    }

    /// Goes away, with or without a word, and comes back after so many packets of others.
    pub(super) fn go_away(&mut self, packets: u64) {
        if let Some((_, mut client)) = self.client.take() {
            if self.pick(2) == 0 {
                // If it does not arrive, it was a way to vanish.
                let _ = client.try_send(&Packet::Disconnect {
                    code: 0,
                    properties: Properties::new(),
                });
            }
            client.vanish();
        }
        self.world.stay_away(packets);
    }

    /// Connects if need be, or reads one packet.
    fn turn(&mut self) -> Option<Heard> {
        let Some((life, client)) = &mut self.client else {
            self.connect();
            return None;
        };
        let life = *life;
        match client.receive() {
            Ok(packet) => {
                self.world.step();
                self.hear(packet)
            }
            Err(Lost::Closed) => {
                if self.world.lives(life) && !self.world.over() {
                    self.wrong("the gateway closed the connection although it lives");
                    self.world.end();
                }
                self.client = None;
                None
            }
            Err(Lost::Late) if self.flights.is_empty() && !self.world.stopping() => None,
            Err(Lost::Late) => {
                let waiting: Vec<String> = self
                    .flights
                    .iter()
                    .map(|flight| format!("{}#{}", flight.subject, flight.n))
                    .collect();
                self.wrong(format!(
                    "nothing comes any more; not acknowledged: {waiting:?}"
                ));
                self.world.end();
                None
            }
        }
    }

    fn connect(&mut self) {
        let Some(life) = self.world.life_after(0) else {
            if !self.world.over() {
                self.wrong("the gateway does not come back");
                self.world.end();
            }
            return;
        };
        let Some((mut client, session_present)) = self.open() else {
            if self.world.lives(life) {
                self.wrong("the gateway does not let me in although it lives");
                self.world.end();
            }
            return;
        };
        if session_present == self.connect.clean
            || (self.known && !self.connect.clean && !session_present)
        {
            // The first CONNECT may have been taken without its CONNACK having come.
            if self.known || self.connect.clean {
                self.wrong(format!(
                    "session present: {session_present}, clean: {}",
                    self.connect.clean
                ));
            }
        }
        self.known = true;
        if !session_present {
            self.unreleased.clear();
            self.subscribed = self.filters.is_empty();
        }
        if !self.subscribed {
            // A failure shows when the answer is read.
            let _ = client.try_send(&Packet::Subscribe {
                packet_id: u16::MAX,
                filters: self.filters.clone(),
                properties: Properties::new(),
            });
        }
        self.client = Some((life, client));
        self.repeat(session_present);
    }

    fn open(&mut self) -> Option<(Client, bool)> {
        let mut client = Client::open(self.world.gateway, self.connect.version).ok()?;
        if !self.world.watch(client.socket().ok()?) {
            return None;
        }
        client
            .try_send(&Packet::Connect(self.connect.clone()))
            .ok()?;
        self.world.step();
        match client.receive() {
            Ok(Packet::ConnAck {
                session_present,
                code: 0,
                ..
            }) => Some((client, session_present)),
            Ok(other) => {
                self.wrong(format!("CONNACK with code 0 expected, but came {other:?}"));
                None
            }
            Err(_) => None,
        }
    }

    /// MQTT-4.4.0-1: unacknowledged PUBLISH and PUBREL go again, with their packet ids, in their
    /// order.
    fn repeat(&mut self, session_present: bool) {
        for at in 0..self.flights.len() {
            let flight = &mut self.flights[at];
            flight.publish.dup = session_present && flight.publish.qos > 0;
            if !session_present {
                flight.received = false;
            }
            if flight.received {
                let ack = Ack::ok(flight.publish.packet_id.unwrap_or_default());
                self.send(&Packet::PubRel(ack));
            } else {
                self.transmit(at);
            }
        }
    }

    fn transmit(&mut self, at: usize) {
        let flight = &self.flights[at];
        let what = What::Sent {
            qos: flight.publish.qos,
        };
        let packet = Packet::Publish(flight.publish.clone());
        self.record(&flight.subject, flight.n, what);
        self.send(&packet);
    }

    fn send(&mut self, packet: &Packet) {
        self.world.step();
        if let Some((_, client)) = &mut self.client {
            // A failure shows when the next packet is read.
            let _ = client.try_send(packet);
        }
    }

    fn hear(&mut self, packet: Packet) -> Option<Heard> {
        match packet {
            Packet::Publish(publish) => self.delivered(publish),
            Packet::PubRel(ack) => {
                self.unreleased.remove(&ack.packet_id);
                self.send(&Packet::PubComp(Ack::ok(ack.packet_id)));
                None
            }
            Packet::PubAck(ack) | Packet::PubComp(ack) => self.done(ack),
            Packet::PubRec(ack) if ack.code >= 0x80 => self.done(ack),
            Packet::PubRec(ack) => {
                if let Some(flight) = self.flight(ack.packet_id) {
                    flight.received = true;
                }
                self.send(&Packet::PubRel(Ack::ok(ack.packet_id)));
                None
            }
            Packet::SubAck { codes, .. } => {
                let wanted: Vec<u8> = self.filters.iter().map(|(_, qos)| *qos).collect();
                if codes != wanted {
                    self.wrong(format!("SUBACK {codes:?} for {:?}", self.filters));
                }
                self.subscribed = true;
                None
            }
            other => {
                self.wrong(format!("came unasked: {other:?}"));
                None
            }
        }
    }

    fn flight(&mut self, packet_id: u16) -> Option<&mut Flight> {
        self.flights
            .iter_mut()
            .find(|flight| flight.publish.packet_id == Some(packet_id))
    }

    fn done(&mut self, ack: Ack) -> Option<Heard> {
        let at = self
            .flights
            .iter()
            .position(|flight| flight.publish.packet_id == Some(ack.packet_id))?;
        let flight = self.flights.remove(at)?;
        // On MQTT 5 a refused command says so here, too; its reply has the words.
        let topic = &flight.publish.topic;
        let command = topic.starts_with("rooms/") && !topic.contains("/inbox/");
        // Section 3.7.2.1: of a PUBREL that is repeated after a recovery, the gateway may know
        // nothing any more.
        let forgotten = flight.received && ack.code == PACKET_ID_NOT_FOUND;
        let what = match ack.code {
            0x80.. if !command && !forgotten => What::Refused { code: ack.code },
            _ => What::Acked,
        };
        self.record(&flight.subject, flight.n, what);
        Some(Heard::Acked)
    }

    fn delivered(&mut self, publish: Publish) -> Option<Heard> {
        let cut = self.cuts > 0 && !self.world.stopping() && self.pick(1000) < self.cuts;
        let packet_id = publish.packet_id.unwrap_or_default();
        let new = match publish.qos {
            2 => self.unreleased.insert(packet_id),
            _ => true,
        };
        if cut {
            if let Some((_, client)) = self.client.take() {
                client.vanish();
            }
        } else {
            match publish.qos {
                1 => self.send(&Packet::PubAck(Ack::ok(packet_id))),
                2 => self.send(&Packet::PubRec(Ack::ok(packet_id))),
                _ => {}
            }
        }
        new.then_some(Heard::Message(publish))
    }
}

/// The usual kinds of session.
pub(super) fn persistent(version: Version, name: &str) -> Connect {
    Connect::new(version, name).persistent()
}
