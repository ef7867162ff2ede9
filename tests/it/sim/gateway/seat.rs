//! The gateway's end of a connection: packets become the desk's requests, the desk's responses
//! become packets.

use std::collections::BTreeMap;
use std::sync::Arc;

use hallward::desk::port::{
    self, Connection, OpenRequest, Publication, Request, Response, ResponseReceiver,
    RetainHandling, Route, Stage, Subscription,
};
use hallward::wire::Millis;
use hallward::wire::message::{Message, Parts, Qos};
use hallward::wire::mirror::CommandMirrors;
use hallward::wire::name::Agent;
use hallward::wire::topic::{Admission, admit};

use super::super::durable::ROOT;
use super::network::{Down, LastWill, LinkId, Publish, Up};

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
    pub(super) fn open(
        connection: LinkId,
        client: &str,
        clean: bool,
        will: Option<&LastWill>,
    ) -> (Seat, Request) {
        let (sender, responses) = port::responses();
        let seat = Seat {
            client: client.to_owned(),
            connection,
            responses,
            flights: BTreeMap::new(),
            asked: BTreeMap::new(),
            last_id: 0,
        };
        let open = OpenRequest {
            connection: Connection {
                id: connection,
                responses: sender,
                backlog: Arc::default(),
                published: Arc::default(),
            },
            client_id: client.into(),
            owner: None,
            authorizer: None,
            clean_start: clean,
            expiry: if clean { 0 } else { u32::MAX },
            window: WINDOW,
            will: will.map(|will| seat.publication(0, &will.publish)),
            will_delay: will.map_or(0, |will| will.delay),
            will_expiry: None,
        };
        (seat, Request::Open(Box::new(open)))
    }

    /// What a packet asks of the desk; `None` if it says nothing new.
    pub(super) fn request(&mut self, now: Millis, packet: Up) -> Option<Request> {
        let connection = self.connection;
        Some(match packet {
            Up::Connect(_) => return None,
            Up::Subscribe {
                filters,
                qos,
                only_new,
            } => {
                let retain_handling = match only_new {
                    true => RetainHandling::IfNew,
                    false => RetainHandling::Always,
                };
                let one = |filter: &String| subscription(filter, qos, retain_handling);
                Request::Subscribe {
                    connection,
                    packet_id: 1,
                    subscriptions: filters.iter().map(one).collect(),
                }
            }
            Up::Disconnect(expiry) => self.close(false, expiry),
            Up::Publish(publish) => {
                if let Some(id) = publish.packet_id {
                    self.asked.insert(id, publish.qos);
                }
                Request::Publish {
                    connection,
                    packet_id: publish.packet_id,
                    publication: self.publication(now, &publish),
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

    /// The connection is over: the client said so, or it broke.
    pub(super) fn close(&self, publish_will: bool, expiry: Option<u32>) -> Request {
        Request::Close {
            connection: self.connection,
            publish_will,
            why: "",
            expiry,
        }
    }

    fn publication(&self, now: Millis, publish: &Publish) -> Publication {
        let ttl_ms = publish.expiry.map(|seconds| u64::from(seconds) * 1000);
        let message = Message::encode(&Parts {
            topic: &publish.topic,
            publisher: &self.client,
            qos: publish.qos,
            payload: &publish.payload,
            retain: publish.retain,
            expires_at: ttl_ms.map_or(0, |ttl_ms| now + ttl_ms),
            ..Parts::default()
        });
        let route = match admit(ROOT, &self.client, &publish.topic) {
            Admission::Desk(topic) => Route::Engine {
                from: Agent::new(&self.client).expect("a name"),
                topic,
                mirrors: CommandMirrors {
                    ttl_ms,
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
        while let Ok(mut response) = self.responses.try_recv() {
            let retained = match &mut response {
                Response::Subscribed { retained, .. } => std::mem::take(retained),
                _ => Vec::new(),
            };
            packets.extend(self.packet(response));
            // What a session that does not last asked for, or what was published at QoS 0: here all
            // of it leaves at QoS 0.
            let retained = retained.iter().map(|(_, message)| Publish {
                retain: true,
                topic: message.topic().to_owned(),
                payload: message.payload(),
                ..Publish::default()
            });
            packets.extend(retained.map(Down::Publish));
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
            Response::Published {
                packet_id, verdict, ..
            } => self.answer(packet_id, verdict.is_ok()),
            Response::NoRoom { packet_id, .. } => self.answer(packet_id, false),
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
                    retain: delivery.retain,
                    ..Publish::default()
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

fn subscription(filter: &str, qos: Qos, retain_handling: RetainHandling) -> Subscription {
    Subscription {
        filter: filter.into(),
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling,
        id: None,
    }
}
