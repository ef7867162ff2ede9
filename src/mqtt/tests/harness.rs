//! A client and a desk that do what the test says, and tell it what they saw.

use std::sync::Arc;
use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(super) use super::fake_plane::{FakePlane, Seen};
use crate::desk::MemoryBudget;
use crate::desk::port::{
    Connection, Delivery, Interest, OpenRequest, Request, Response, RetainHandling, Subscription,
};
use crate::mqtt::{Metrics, MqttConfig, Peer, ServerContext, ServerParts};
use crate::wire::message::{Message, Parts, Qos};

/// Only a broken test waits this long.
const LOST: Duration = Duration::from_secs(60);

pub(super) async fn within<F: Future>(future: F) -> F::Output {
    timeout(LOST, future)
        .await
        .expect("what the test waits for never came")
}

/// Everything around the clients.
pub(super) struct World {
    pub(super) door: Arc<ServerContext<FakePlane>>,
    pub(super) desk: mpsc::Receiver<Request>,
    pub(super) plane: FakePlane,
    pub(super) saw: mpsc::UnboundedReceiver<Seen>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) memory: Arc<MemoryBudget>,
    /// Bytes that a client may leave unread before its connection has to wait.
    pub(super) pipe: usize,
}

/// Durable subscribers want what begins with `kept/`.
struct Kept;

impl Interest for Kept {
    fn wants(&self, topic: &str, _: Qos) -> bool {
        topic.starts_with("kept/")
    }
}

impl World {
    pub(super) fn new() -> World {
        World::with(MqttConfig::default())
    }

    pub(super) fn with(config: MqttConfig) -> World {
        let (to_desk, desk) = mpsc::channel(8);
        let (plane, saw) = FakePlane::new();
        let metrics = Arc::new(Metrics::default());
        let memory = MemoryBudget::new(64 << 20);
        let door = ServerContext::new(
            config.into(),
            to_desk,
            Arc::new(Kept),
            plane.clone(),
            ServerParts {
                metrics: Arc::clone(&metrics),
                memory: Arc::clone(&memory),
                authenticator: None,
                log_limiter: Arc::default(),
                clock: Arc::default(),
            },
        );
        World {
            door,
            desk,
            plane,
            saw,
            stop: watch::Sender::new(false),
            metrics,
            memory,
            pipe: 1 << 20,
        }
    }

    /// Dials in and says nothing yet.
    pub(super) fn dial(&self) -> Client {
        let (near, far) = duplex(self.pipe);
        let serving =
            Arc::clone(&self.door).serve_stream(far, Peer::default(), self.stop.subscribe());
        Client {
            stream: near,
            v5: true,
            serving: tokio::spawn(serving),
        }
    }

    /// Connects an MQTT 5 client with a clean session.
    pub(super) async fn client5(&mut self, id: &str) -> (Client, Connection) {
        self.client(true, &connect5(id, 0, &[])).await
    }

    /// Connects an MQTT 3.1.1 client with a clean session.
    pub(super) async fn client4(&mut self, id: &str) -> (Client, Connection) {
        self.client(false, &connect4(id, true)).await
    }

    pub(super) async fn client(&mut self, v5: bool, connect: &[u8]) -> (Client, Connection) {
        let mut client = self.dial();
        client.v5 = v5;
        client.send(connect).await;
        let open = self.opened().await;
        let got = client.recv().await;
        assert!(matches!(got, Got::Connack { code: 0, .. }), "{got:?}");
        (client, open.connection)
    }

    /// Takes an Open and answers that there was no session.
    pub(super) async fn opened(&mut self) -> Box<OpenRequest> {
        let open = self.asked_to_open().await;
        let answer = Response::Opened {
            session_present: false,
            durable: open.is_durable(),
            subscriptions: Vec::new(),
            unreleased: Vec::new(),
        };
        open.connection.responses.send(answer).unwrap();
        open
    }

    /// Takes an Open; clients of the same test that left before are forgotten.
    pub(super) async fn asked_to_open(&mut self) -> Box<OpenRequest> {
        loop {
            match self.asked().await {
                Request::Open(open) => return open,
                Request::Close { .. } => {}
                other => panic!("expected Open, came {other:?}"),
            }
        }
    }

    /// The next request at the desk.
    pub(super) async fn asked(&mut self) -> Request {
        within(self.desk.recv()).await.expect("the door is open")
    }

    /// What the live plane saw next.
    pub(super) async fn seen(&mut self) -> Seen {
        within(self.saw.recv()).await.expect("the plane is there")
    }

    /// Takes a Publish at the desk.
    pub(super) async fn asked_to_publish(
        &mut self,
    ) -> (Option<u16>, crate::desk::port::Publication) {
        match self.asked().await {
            Request::Publish {
                packet_id,
                publication,
                ..
            } => (packet_id, publication),
            other => panic!("expected Publish, came {other:?}"),
        }
    }

    /// Subscribes a client to what needs no link, or whose link was seen, granting what is asked.
    pub(super) async fn subscribe(
        &mut self,
        client: &mut Client,
        desk: &Connection,
        filter: &str,
        qos: u8,
    ) {
        client
            .send(&subscribe(client.v5, 1, &[(filter, qos)]))
            .await;
        assert_eq!(self.seen().await, Seen::Subscribed(filter.to_owned()));
        let Request::Subscribe { packet_id, .. } = self.asked().await else {
            panic!("expected Subscribe")
        };
        let answer = Response::Subscribed {
            packet_id,
            results: vec![Ok(Qos::from_level(qos).unwrap())],
            retained: Vec::new(),
            retained_room: 1024,
            retained_seq: 0,
        };
        desk.responses.send(answer).unwrap();
        assert_eq!(client.recv().await, Got::Suback(1, vec![qos]));
    }
}

/// What a client receives, read by other code than what wrote it.
#[derive(Debug, PartialEq)]
pub(super) enum Got {
    Connack {
        present: bool,
        code: u8,
        properties: Vec<Property>,
    },
    Publish(Delivered),
    /// First byte, packet id, reason code.
    Ack(u8, u16, u8),
    Suback(u16, Vec<u8>),
    Unsuback(u16, Vec<u8>),
    Pingresp,
    Disconnect(u8),
    Closed,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Delivered {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) dup: bool,
    pub(super) id: Option<u16>,
    pub(super) properties: Vec<Property>,
}

impl Got {
    /// A delivery, or the end of the test.
    pub(super) fn delivered(self) -> Delivered {
        match self {
            Got::Publish(delivered) => delivered,
            other => panic!("expected PUBLISH, came {other:?}"),
        }
    }
}

pub(super) struct Client {
    pub(super) stream: DuplexStream,
    pub(super) v5: bool,
    serving: JoinHandle<()>,
}

impl Client {
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next packet.
    pub(super) async fn recv(&mut self) -> Got {
        within(self.read()).await
    }

    /// Waits until the connection's task is over.
    pub(super) async fn gone(self) {
        drop(self.stream);
        within(self.serving).await.unwrap();
    }

    async fn read(&mut self) -> Got {
        let Ok(first) = self.stream.read_u8().await else {
            return Got::Closed;
        };
        let mut len = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.stream.read_u8().await.unwrap();
            len |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).await.unwrap();
        if self.v5 {
            parse5(first, &body)
        } else {
            parse4(first, &body)
        }
    }

    /// Nothing more is on its way: everything before the answer to PINGREQ has come.
    pub(super) async fn silent(&mut self) {
        self.send(&[0xC0, 0]).await;
        assert_eq!(self.recv().await, Got::Pingresp);
    }
}

fn parse5(first: u8, body: &[u8]) -> Got {
    match first >> 4 {
        2 => {
            let packet = v5_0::Connack::parse(body).unwrap().0;
            Got::Connack {
                present: packet.session_present(),
                code: packet.reason_code() as u8,
                properties: packet.props().clone(),
            }
        }
        3 => {
            let packet = v5_0::Publish::parse(first & 15, body.into()).unwrap().0;
            Got::Publish(Delivered {
                topic: packet.topic_name().to_owned(),
                payload: packet.payload().as_slice().to_vec(),
                qos: packet.qos() as u8,
                retain: packet.retain(),
                dup: packet.dup(),
                id: packet.packet_id(),
                properties: packet.props().clone(),
            })
        }
        4..=7 => ack(first, body),
        9 => {
            let packet = v5_0::Suback::parse(body).unwrap().0;
            let codes = packet.reason_codes();
            Got::Suback(
                packet.packet_id(),
                codes.iter().map(|&code| code as u8).collect(),
            )
        }
        11 => {
            let packet = v5_0::Unsuback::parse(body).unwrap().0;
            let codes = packet.reason_codes();
            Got::Unsuback(
                packet.packet_id(),
                codes.iter().map(|&code| code as u8).collect(),
            )
        }
        13 => Got::Pingresp,
        14 => {
            let packet = v5_0::Disconnect::parse(body).unwrap().0;
            Got::Disconnect(packet.reason_code().unwrap() as u8)
        }
        _ => panic!("a server sent {first:#x}"),
    }
}

fn parse4(first: u8, body: &[u8]) -> Got {
    match first >> 4 {
        2 => Got::Connack {
            present: body[0] == 1,
            code: body[1],
            properties: Vec::new(),
        },
        3 => {
            let packet = v3_1_1::Publish::parse(first & 15, body.into()).unwrap().0;
            Got::Publish(Delivered {
                topic: packet.topic_name().to_owned(),
                payload: packet.payload().as_slice().to_vec(),
                qos: packet.qos() as u8,
                retain: packet.retain(),
                dup: packet.dup(),
                id: packet.packet_id(),
                properties: Vec::new(),
            })
        }
        4..=7 => ack(first, body),
        9 => {
            let packet = v3_1_1::Suback::parse(body).unwrap().0;
            let codes = packet.return_codes();
            Got::Suback(
                packet.packet_id(),
                codes.iter().map(|&code| code as u8).collect(),
            )
        }
        11 => {
            assert_eq!(body.len(), 2);
            Got::Unsuback(u16::from_be_bytes([body[0], body[1]]), Vec::new())
        }
        13 => Got::Pingresp,
        _ => panic!("a 3.1.1 server sent {first:#x}"),
    }
}

fn ack(first: u8, body: &[u8]) -> Got {
    let id = u16::from_be_bytes([body[0], body[1]]);
    Got::Ack(first, id, body.get(2).copied().unwrap_or(0))
}

pub(super) fn connect4(id: &str, clean: bool) -> Vec<u8> {
    let builder = v3_1_1::Connect::builder().client_id(id).unwrap();
    builder
        .clean_session(clean)
        .build()
        .unwrap()
        .to_continuous_buffer()
}

/// Clean start, with a session expiry in seconds.
pub(super) fn connect5(id: &str, expiry: u32, more: &[Property]) -> Vec<u8> {
    use mqtt_protocol_core::mqtt::packet::SessionExpiryInterval;
    let mut properties = more.to_vec();
    if expiry > 0 {
        properties.push(SessionExpiryInterval::new(expiry).unwrap().into());
    }
    let builder = v5_0::Connect::builder()
        .client_id(id)
        .unwrap()
        .clean_start(true);
    builder
        .props(properties)
        .build()
        .unwrap()
        .to_continuous_buffer()
}

/// A packet of fewer than 128 bytes from its first byte and body.
pub(super) fn packet(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let len = u8::try_from(body.len()).unwrap();
    assert!(len < 128);
    [&[first, len][..], &body].concat()
}

pub(super) fn text(text: &str) -> Vec<u8> {
    let len = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&len[..], text.as_bytes()].concat()
}

/// PUBLISH without properties.
pub(super) fn publish(v5: bool, topic: &str, qos: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    publish_with(v5, 0x30 | qos << 1, topic, id, &[], payload)
}

pub(super) fn publish_with(
    v5: bool,
    first: u8,
    topic: &str,
    id: u16,
    properties: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let id = if first & 0b110 == 0 {
        vec![]
    } else {
        id.to_be_bytes().to_vec()
    };
    let len = if v5 {
        vec![u8::try_from(properties.len()).unwrap()]
    } else {
        vec![]
    };
    packet(first, &[&text(topic), &id, &len, properties, payload])
}

pub(super) fn subscribe(v5: bool, id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let properties: &[u8] = if v5 { &[0] } else { &[] };
    let entries = filters
        .iter()
        .flat_map(|(filter, options)| [text(filter), vec![*options]]);
    let entries: Vec<u8> = entries.flatten().collect();
    packet(0x82, &[&id.to_be_bytes(), properties, &entries])
}

pub(super) fn unsubscribe(v5: bool, id: u16, filters: &[&str]) -> Vec<u8> {
    let properties: &[u8] = if v5 { &[0] } else { &[] };
    let entries: Vec<u8> = filters.iter().flat_map(|filter| text(filter)).collect();
    packet(0xA2, &[&id.to_be_bytes(), properties, &entries])
}

pub(super) fn message(topic: &str, qos: u8, payload: &[u8]) -> Message {
    Message::encode(&Parts {
        topic,
        publisher: "other",
        qos: Qos::from_level(qos).unwrap(),
        payload,
        ..Parts::default()
    })
}

/// A delivery of the desk.
pub(super) fn delivery(seq: u64, packet_id: Option<u16>, qos: u8, message: Message) -> Response {
    Response::Deliver(Delivery {
        seq,
        packet_id,
        dup: false,
        qos: Qos::from_level(qos).unwrap(),
        retain: false,
        subscription_ids: Vec::new(),
        message,
    })
}

pub(super) fn subscription(filter: &str, qos: u8) -> Subscription {
    Subscription {
        filter: filter.into(),
        qos: Qos::from_level(qos).unwrap(),
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Always,
        id: None,
    }
}
