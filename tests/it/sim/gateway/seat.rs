//! The gateway's end of a connection: packets become the desk's requests, the desk's responses become packets.

use std::collections::BTreeMap;
use std::sync::Arc;

use hallward::desk::port::{
    self, Connection, Open, Publication, Request, Response, ResponseReceiver, RetainHandling,
    Route, Stage, Subscription,
};
use hallward::wire::message::{Message, Parts, Qos};
use hallward::wire::mirror::CommandMirrors;
use hallward::wire::name::Agent;
use hallward::wire::topic::{Admission, admit};

use super::super::durable::ROOT;
use super::network::{Down, LinkId, Publish, Up};

/// Deliveries under way at once.
const WINDOW: u16 = 4;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flight {
    Sent(u64, Qos),
    Received(u64),
    Released(u64),
}

/// One connection's session at the gateway.
pub(super) struct Seat {
    pub(super) client: String,
    connection: LinkId,
    responses: ResponseReceiver,
    flights: BTreeMap<u16, Flight>,
    /// QoS of what the desk has and has not answered for.
    asked: BTreeMap<u16, Qos>,
    last_id: u16,
}

impl Seat {
    /// CONNECT: a session that lasts for ever, or one that ends with its connection.
    pub(super) fn open(connection: LinkId, client: &str, clean: bool) -> (Seat, Request) {
        let (sender, responses) = port::responses();
        let open = Open {
            connection: Connection {
                id: connection,
                responses: sender,
                backlog: Arc::default(),
                published: Arc::default(),
            },
            client_id: client.into(),
            owner: None,
            gate: None,
            clean_start: clean,
            expiry: if clean { 0 } else { u32::MAX },
            window: WINDOW,
            will: None,
            will_delay: 0,
            will_expiry: None,
        };
        let seat = Seat {
            client: client.to_owned(),
            connection,
            responses,
            flights: BTreeMap::new(),
            asked: BTreeMap::new(),
            last_id: 0,
        };
        (seat, Request::Open(Box::new(open)))
    }

    /// What a packet asks of the desk; `None` if it says nothing new.
    pub(super) fn request(&mut self, packet: Up, qos: Qos) -> Option<Request> {
        let connection = self.connection;
        Some(match packet {
            Up::Connect => return None,
            Up::Subscribe(filters) => Request::Subscribe {
                connection,
                packet_id: 1,
                subscriptions: filters.iter().map(|one| subscription(one, qos)).collect(),
            },
            Up::Publish(publish) => {
                if let Some(id) = publish.packet_id {
                    self.asked.insert(id, publish.qos);
                }
                Request::Publish {
                    connection,
                    packet_id: publish.packet_id,
                    publication: self.publication(&publish),
                }
            }
            Up::PubRel(packet_id) => Request::Release {
                connection,
                packet_id,
            },
            Up::PubAck(id) => match self.flights.remove(&id)? {
                Flight::Sent(seq, Qos::AtLeastOnce) => self.acknowledge(seq, Stage::Done),
                other => {
                    self.flights.insert(id, other);
                    return None;
                }
            },
            Up::PubRec(id) => match self.flights.get(&id)? {
                Flight::Sent(seq, Qos::ExactlyOnce) => {
                    let seq = *seq;
                    self.flights.insert(id, Flight::Received(seq));
                    self.acknowledge(seq, Stage::Received)
                }
                _ => return None,
            },
            Up::PubComp(id) => match self.flights.remove(&id)? {
                Flight::Released(seq) | Flight::Received(seq) => {
                    self.acknowledge(seq, Stage::Completed)
                }
                Flight::Sent(..) => return None,
            },
        })
    }

    fn acknowledge(&self, seq: u64, stage: Stage) -> Request {
        Request::Acknowledge {
            connection: self.connection,
            seq,
            stage,
        }
    }

    fn publication(&self, publish: &Publish) -> Publication {
        let message = Message::encode(&Parts {
            topic: &publish.topic,
            publisher: &self.client,
            qos: publish.qos,
            payload: &publish.payload,
            ..Parts::default()
        });
        let route = match admit(ROOT, &self.client, &publish.topic) {
            Admission::Desk(topic) => Route::Engine {
                from: Agent::new(&self.client).expect("a name"),
                topic,
                mirrors: CommandMirrors {
                    ttl_ms: publish.expiry.map(|seconds| u64::from(seconds) * 1000),
                    ..CommandMirrors::default()
                },
            },
            _ => Route::Subscribers,
        };
        Publication { message, route }
    }

    /// What the desk has for the client by now.
    pub(super) fn packets(&mut self) -> Vec<Down> {
        let mut packets = Vec::new();
        while let Ok(response) = self.responses.try_recv() {
            packets.extend(self.packet(response));
        }
        packets
    }

    fn packet(&mut self, response: Response) -> Option<Down> {
        Some(match response {
            Response::Opened {
                session_present, ..
            } => Down::ConnAck { session_present },
            Response::Subscribed { results, .. } => Down::SubAck(results.iter().all(Result::is_ok)),
            Response::Unsubscribed { .. } => return None,
            Response::Published { packet_id, verdict } => self.answer(packet_id, verdict.is_ok()),
            Response::NoRoom { packet_id } => self.answer(packet_id, false),
            Response::Released { packet_id } => Down::PubComp(packet_id),
            Response::Deliver(delivery) => {
                let packet_id = match delivery.qos {
                    Qos::AtMostOnce => None,
                    qos => {
                        let id = delivery.packet_id.unwrap_or_else(|| self.free_id());
                        self.flights.insert(id, Flight::Sent(delivery.seq, qos));
                        Some(id)
                    }
                };
                Down::Publish(Publish {
                    packet_id,
                    qos: delivery.qos,
                    dup: delivery.dup,
                    topic: delivery.message.topic().to_owned(),
                    payload: delivery.message.payload(),
                    expiry: None,
                })
            }
            Response::Release { seq, packet_id } => {
                let known = self.flights.iter();
                let mut known = known.filter(|(_, flight)| **flight == Flight::Received(seq));
                let id = packet_id.or_else(|| known.next().map(|(id, _)| *id))?;
                self.flights.insert(id, Flight::Released(seq));
                Down::PubRel(id)
            }
            Response::Close(_) => Down::End,
        })
    }

    fn answer(&mut self, packet_id: u16, taken: bool) -> Down {
        match self.asked.remove(&packet_id) {
            Some(Qos::ExactlyOnce) => Down::PubRec(packet_id, taken),
            _ => Down::PubAck(packet_id, taken),
        }
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id % 1_000 + 1;
            if !self.flights.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

fn subscription(filter: &str, qos: Qos) -> Subscription {
    Subscription {
        filter: filter.into(),
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Always,
        id: None,
    }
}
