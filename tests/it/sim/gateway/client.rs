//! A client's side of MQTT: what it sends waits until it is acknowledged and is sent again after a
//! reconnect, with DUP and the same packet id where the session goes on; what it receives at QoS 2
//! it takes once.

use std::collections::{BTreeMap, VecDeque};

use hallward::wire::message::Qos;

use super::network::{Down, LinkId, Publish, Up};

/// Publishes under way at once.
const WINDOW: usize = 5;

/// Where a publish stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Queued,
    Sent,
    /// QoS 2: the gateway has it.
    Received,
}

/// Something to be published.
#[derive(Debug)]
struct Outgoing {
    publish: Publish,
    stage: Stage,
}

/// What happens to a client that its user should know of.
#[derive(Debug)]
pub(super) enum News {
    /// A message came.
    Message(Publish),
    /// A publish leaves, perhaps again.
    Leaves(Publish),
    /// A publish was taken, or refused.
    Answered(Publish, bool),
    /// The gateway knows that a message arrived: QoS 2.
    Settled(Publish),
    /// The session is open.
    Open,
    /// It asks for what it subscribes to.
    Asks,
    /// It has it.
    Granted,
}

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    /// Whether it asks for a new session each time.
    pub(super) clean: bool,
    /// What it subscribes at.
    pub(super) qos: Qos,
    pub(super) link: Option<LinkId>,
    /// Whether it has gone for good.
    pub(super) is_gone: bool,
    /// How often it lost its connection.
    pub(super) losses: u64,
    /// Whether it wants retained messages once, or with every subscription.
    pub(super) only_new: bool,
    filters: Vec<String>,
    is_open: bool,
    /// Whether the gateway has said that it has the filters.
    subscribed: bool,
    outgoing: VecDeque<Outgoing>,
    /// QoS 2 messages that were taken and not released.
    taken: BTreeMap<u16, Publish>,
    last_id: u16,
}

impl Client {
    pub(super) fn new(name: &str, clean: bool, qos: Qos, filters: Vec<String>) -> Client {
        Client {
            name: name.to_owned(),
            clean,
            qos,
            link: None,
            is_gone: false,
            losses: 0,
            only_new: false,
            filters,
            is_open: false,
            subscribed: false,
            outgoing: VecDeque::new(),
            taken: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// Whether nothing that it sends is unanswered.
    pub(super) fn is_idle(&self) -> bool {
        self.outgoing.is_empty()
    }

    pub(super) fn disconnected(&mut self) {
        self.link = None;
        self.is_open = false;
        self.losses += 1;
    }

    /// Queues a publish; what can leave is returned.
    pub(super) fn publish(&mut self, publish: Publish) {
        let stage = Stage::Queued;
        self.outgoing.push_back(Outgoing { publish, stage });
    }

    /// A filter was refused, in a room that was closed perhaps: asks again.
    pub(super) fn subscribe_again(&mut self) -> Option<Up> {
        let again = self.is_open && !self.subscribed;
        again.then(|| self.subscribe())
    }

    fn subscribe(&self) -> Up {
        Up::Subscribe {
            filters: self.filters.clone(),
            qos: self.qos,
            only_new: self.only_new,
        }
    }

    /// What can leave now.
    pub(super) fn leaving(&mut self, news: &mut Vec<News>) -> Vec<Up> {
        let mut packets = Vec::new();
        if !self.is_open {
            return packets;
        }
        let under_way = self.outgoing.iter();
        let mut room =
            WINDOW.saturating_sub(under_way.filter(|one| one.stage != Stage::Queued).count());
        let mut at = 0;
        while at < self.outgoing.len() && room > 0 {
            at += 1;
            let one = &self.outgoing[at - 1];
            if one.stage != Stage::Queued {
                continue;
            }
            if one.publish.qos == Qos::AtMostOnce {
                let gone = self.outgoing.remove(at - 1);
                let publish = gone.expect("it was looked at").publish;
                news.push(News::Leaves(publish.clone()));
                packets.push(Up::Publish(publish));
                at -= 1;
                continue;
            }
            let id = self.free_id();
            let one = &mut self.outgoing[at - 1];
            one.publish.packet_id = Some(id);
            one.stage = Stage::Sent;
            room -= 1;
            news.push(News::Leaves(one.publish.clone()));
            packets.push(Up::Publish(one.publish.clone()));
        }
        packets
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id % 60 + 1;
            let id = Some(self.last_id);
            if !self.outgoing.iter().any(|one| one.publish.packet_id == id) {
                return self.last_id;
            }
        }
    }

    /// A packet arrives; what it answers is returned.
    pub(super) fn receive(&mut self, packet: Down, news: &mut Vec<News>) -> Vec<Up> {
        match packet {
            Down::ConnAck { session_present } => return self.opened(session_present, news),
            Down::SubAck(granted) => {
                self.subscribed = granted;
                news.extend(granted.then_some(News::Granted));
            }
            Down::End => {}
            Down::Publish(publish) => return self.delivered(publish, news),
            Down::PubRel(id) => {
                news.extend(self.taken.remove(&id).map(News::Settled));
                return vec![Up::PubComp(id)];
            }
            Down::PubRec(id, true) => {
                let known = self.outgoing.iter_mut();
                let mut known = known.filter(|one| one.publish.packet_id == Some(id));
                if let Some(one) = known.next() {
                    one.stage = Stage::Received;
                }
                return vec![Up::PubRel(id)];
            }
            Down::PubAck(id, taken) | Down::PubRec(id, taken) => self.answered(id, taken, news),
            Down::PubComp(id) => self.answered(id, true, news),
        }
        Vec::new()
    }

    fn answered(&mut self, id: u16, taken: bool, news: &mut Vec<News>) {
        let at = self
            .outgoing
            .iter()
            .position(|one| one.publish.packet_id == Some(id));
        if let Some(one) = at.and_then(|at| self.outgoing.remove(at)) {
            news.push(News::Answered(one.publish, taken));
        }
    }

    fn opened(&mut self, session_present: bool, news: &mut Vec<News>) -> Vec<Up> {
        self.is_open = true;
        news.push(News::Open);
        let mut packets = Vec::new();
        if !session_present {
            self.taken.clear();
        }
        if !(session_present && self.subscribed) {
            self.subscribed = false;
            news.push(News::Asks);
            packets.push(self.subscribe());
        }
        let mut done = Vec::new();
        for one in &mut self.outgoing {
            let id = one.publish.packet_id;
            match (one.stage, id) {
                (Stage::Queued, _) | (_, None) => {}
                (Stage::Received, Some(id)) if session_present => packets.push(Up::PubRel(id)),
                // The gateway had it when the session ended.
                (Stage::Received, Some(id)) => done.push(id),
                (Stage::Sent, Some(_)) if session_present => {
                    one.publish.dup = true;
                    news.push(News::Leaves(one.publish.clone()));
                    packets.push(Up::Publish(one.publish.clone()));
                }
                // To a new session it is a new message.
                (Stage::Sent, Some(_)) => {
                    one.stage = Stage::Queued;
                    one.publish.packet_id = None;
                    one.publish.dup = false;
                }
            }
        }
        for id in done {
            self.answered(id, true, news);
        }
        packets
    }

    fn delivered(&mut self, publish: Publish, news: &mut Vec<News>) -> Vec<Up> {
        match (publish.qos, publish.packet_id) {
            (Qos::ExactlyOnce, Some(id)) => {
                if self.taken.insert(id, publish.clone()).is_none() {
                    news.push(News::Message(publish));
                }
                vec![Up::PubRec(id)]
            }
            (_, Some(id)) => {
                news.push(News::Message(publish));
                vec![Up::PubAck(id)]
            }
            (_, None) => {
                news.push(News::Message(publish));
                Vec::new()
            }
        }
    }
}
