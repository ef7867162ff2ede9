//! A synchronous MQTT client with every packet in the test's hands.
//!
//! By default it acknowledges what it receives, as a library would; [`Client::by_hand`] leaves that
//! to the test. Packets that an expectation passes over are kept, in order, for the next one. A
//! malformed packet fails the test wherever it turns up.

use std::collections::{BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use super::DEADLINE;
use super::codec::{decode, encode};
use super::packet::{Ack, Connect, Packet, Publish, Version};
use super::properties::Properties;

/// Why no packet came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The gateway closed the connection, or it broke.
    Closed,
    /// Nothing within [`DEADLINE`].
    Late,
}

/// One network connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) version: Version,
    /// From CONNACK.
    pub(crate) session_present: bool,
    /// From CONNACK: what the gateway allows (MQTT 5).
    pub(crate) granted: Properties,
    stream: TcpStream,
    incoming: Vec<u8>,
    kept: VecDeque<Packet>,
    last_packet_id: u16,
    by_hand: bool,
    /// Inbound QoS 2 between PUBLISH and PUBREL.
    unreleased: BTreeSet<u16>,
}

impl Client {
    /// Opens the connection and sends nothing.
    pub(crate) fn open(address: SocketAddr, version: Version) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Client {
            version,
            session_present: false,
            granted: Properties::new(),
            stream,
            incoming: Vec::new(),
            kept: VecDeque::new(),
            last_packet_id: 0,
            by_hand: false,
            unreleased: BTreeSet::new(),
        })
    }

    /// Connects, and expects to be let in.
    pub(crate) fn connect(address: SocketAddr, connect: Connect) -> Client {
        let id = connect.client_id.clone();
        let mut client = Client::open(address, connect.version).expect("the gateway accepts");
        client.send(&Packet::Connect(connect));
        match client.receive() {
            Ok(Packet::ConnAck {
                session_present,
                code: 0,
                properties,
            }) => {
                client.session_present = session_present;
                client.granted = properties;
            }
            other => panic!("{id}: CONNACK with code 0 expected, but came {other:?}"),
        }
        client
    }

    /// From now on the test acknowledges what it receives.
    pub(crate) fn by_hand(mut self) -> Client {
        self.by_hand = true;
        self
    }

    /// The socket, to break it from another thread.
    pub(crate) fn socket(&self) -> std::io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// A packet id that was not used lately.
    pub(crate) fn packet_id(&mut self) -> u16 {
        self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
        self.last_packet_id
    }

    pub(crate) fn try_send(&mut self, packet: &Packet) -> std::io::Result<()> {
        self.stream.write_all(&encode(packet, self.version))
    }

    pub(crate) fn send(&mut self, packet: &Packet) {
        self.try_send(packet).expect("the connection stands");
    }

    /// Any bytes, well formed or not.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the connection stands");
    }

    /// The next packet off the wire, as it came.
    pub(crate) fn receive(&mut self) -> Result<Packet, Lost> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match decode(&mut self.incoming, self.version) {
                Ok(Some(packet)) => return Ok(packet),
                Ok(None) => {}
                Err(why) => panic!("the gateway sent a malformed packet: {}", why.0),
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Lost::Closed),
                Ok(count) => self.incoming.extend(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Err(Lost::Late);
                }
                Err(_) => return Err(Lost::Closed),
            }
            if Instant::now() > deadline {
                return Err(Lost::Late);
            }
        }
    }

    /// The next packet that a test looks at: deliveries are acknowledged on the way, and PUBREL
    /// answered and passed over.
    fn pull(&mut self) -> Result<Packet, Lost> {
        loop {
            let packet = self.receive()?;
            if self.by_hand {
                return Ok(packet);
            }
            match &packet {
                Packet::Publish(Publish {
                    qos: 1,
                    packet_id: Some(packet_id),
                    ..
                }) => self.send(&Packet::PubAck(Ack::ok(*packet_id))),
                Packet::Publish(Publish {
                    qos: 2,
                    packet_id: Some(packet_id),
                    ..
                }) => {
                    self.send(&Packet::PubRec(Ack::ok(*packet_id)));
                    if !self.unreleased.insert(*packet_id) {
                        continue;
                    }
                }
                Packet::PubRel(ack) => {
                    self.unreleased.remove(&ack.packet_id);
                    self.send(&Packet::PubComp(Ack::ok(ack.packet_id)));
                    continue;
                }
                _ => {}
            }
            return Ok(packet);
        }
    }

    /// The first packet that `wanted` takes, from what was passed over or from the wire.
    pub(crate) fn expect<T>(&mut self, what: &str, wanted: impl Fn(&Packet) -> Option<T>) -> T {
        if let Some(found) = self.take_kept(&wanted) {
            return found;
        }
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            match self.pull() {
                Ok(packet) => match wanted(&packet) {
                    Some(found) => return found,
                    None => self.kept.push_back(packet),
                },
                Err(why) => panic!(
                    "{what} expected, but: {why:?}; before it came {:#?}",
                    self.kept
                ),
            }
        }
        panic!(
            "{what} expected, but only other packets came: {:#?}",
            self.kept
        );
    }

    /// The first packet that `wanted` takes, from what was passed over alone.
    pub(crate) fn take_kept<T>(&mut self, wanted: impl Fn(&Packet) -> Option<T>) -> Option<T> {
        let (at, found) = self
            .kept
            .iter()
            .enumerate()
            .find_map(|(at, packet)| Some((at, wanted(packet)?)))?;
        self.kept.remove(at);
        Some(found)
    }

    /// Publishes and sees the flow through.
    ///
    /// Returns the reason code of PUBACK or PUBREC; 0 for QoS 0.
    pub(crate) fn publish(&mut self, mut publish: Publish) -> u8 {
        if publish.qos == 0 {
            self.send(&Packet::Publish(publish));
            return 0;
        }
        let packet_id = self.packet_id();
        publish.packet_id = Some(packet_id);
        let (qos, topic) = (publish.qos, publish.topic.clone());
        self.send(&Packet::Publish(publish));
        let code = self.expect(
            &format!("the ack of a publish to {topic}"),
            |packet| match packet {
                Packet::PubAck(ack) if qos == 1 && ack.packet_id == packet_id => Some(ack.code),
                Packet::PubRec(ack) if qos == 2 && ack.packet_id == packet_id => Some(ack.code),
                _ => None,
            },
        );
        if qos == 2 && code < 0x80 {
            self.send(&Packet::PubRel(Ack::ok(packet_id)));
            self.expect("PUBCOMP", |packet| match packet {
                Packet::PubComp(ack) if ack.packet_id == packet_id => Some(()),
                _ => None,
            });
        }
        code
    }

    /// Subscribes and returns the codes, one per filter.
    pub(crate) fn subscribe(&mut self, filters: &[(&str, u8)]) -> Vec<u8> {
        let subscribed_id = self.packet_id();
        self.send(&Packet::Subscribe {
            packet_id: subscribed_id,
            filters: filters
                .iter()
                .map(|(filter, options)| ((*filter).to_owned(), *options))
                .collect(),
            properties: Properties::new(),
        });
        self.expect("SUBACK", |packet| match packet {
            Packet::SubAck { packet_id, codes } if *packet_id == subscribed_id => {
                Some(codes.clone())
            }
            _ => None,
        })
    }

    pub(crate) fn unsubscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        let unsubscribed_id = self.packet_id();
        self.send(&Packet::Unsubscribe {
            packet_id: unsubscribed_id,
            filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
        });
        self.expect("UNSUBACK", |packet| match packet {
            Packet::UnsubAck { packet_id, codes } if *packet_id == unsubscribed_id => {
                Some(codes.clone())
            }
            _ => None,
        })
    }

    /// The next message, on whatever topic.
    pub(crate) fn message(&mut self) -> Publish {
        self.expect("a message", |packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        })
    }

    /// The next message on this topic; those on others are kept.
    pub(crate) fn message_on(&mut self, topic: &str) -> Publish {
        self.expect(&format!("a message on {topic}"), |packet| match packet {
            Packet::Publish(publish) if publish.topic == topic => Some(publish.clone()),
            _ => None,
        })
    }

    /// Reads until the marker, which the test has sent on its way, and fails if any other message
    /// came before it.
    pub(crate) fn expect_silence_until(&mut self, marker: impl Fn(&Publish) -> bool) {
        let first = self.message();
        assert!(
            marker(&first),
            "silence expected, but a message came: {first:?}"
        );
    }

    /// Sees that the connection still answers, with everything before it handled.
    pub(crate) fn ping(&mut self) {
        self.send(&Packet::PingReq);
        self.expect("PINGRESP", |packet| {
            matches!(packet, Packet::PingResp).then_some(())
        });
    }

    /// Expects the gateway to say DISCONNECT (MQTT 5), and returns why.
    pub(crate) fn expect_disconnect(&mut self) -> u8 {
        self.expect("DISCONNECT", |packet| match packet {
            Packet::Disconnect { code, .. } => Some(*code),
            _ => None,
        })
    }

    /// Expects the connection to be closed, whatever comes before that.
    pub(crate) fn expect_closed(&mut self) {
        loop {
            match self.pull() {
                Ok(packet) => self.kept.push_back(packet),
                Err(Lost::Closed) => return,
                Err(Lost::Late) => panic!("the gateway should have closed the connection"),
            }
        }
    }

    /// Says goodbye, and waits until the gateway has heard it.
    pub(crate) fn disconnect(mut self) {
        self.send(&Packet::Disconnect {
            code: 0,
            properties: Properties::new(),
        });
        self.by_hand = true;
        self.expect_closed();
    }

    /// Breaks the connection without a word, even if somebody else holds its socket.
    pub(crate) fn vanish(self) {
        // It may be broken already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Ack {
    pub(crate) fn ok(packet_id: u16) -> Ack {
        Ack { packet_id, code: 0 }
    }
}
