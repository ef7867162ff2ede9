//! One MQTT connection to another broker, and never a second one: `rumqttc` as a thin transport.
//!
//! Its client and event loop are made anew for each connection, and what they still hold when it
//! ends is thrown away. Which message an acknowledgement is for is known from the order in which
//! they were handed over. A task of its own polls, so that nothing that waits here holds it up; it
//! ends with the link.

mod v311;
mod v5;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::config::{BridgeConfig, BridgeProtocol};
use super::credentials::BridgeCredentials;
use super::sender::{ConnectGrant, CutCause};
use crate::wire::Millis;
use crate::wire::message::Message;

/// What comes of the transport and has not been taken; then it is not polled.
const MAX_EVENTS: usize = 1024;
/// Inbound packets: nothing is subscribed to, so none is large.
const MAX_INCOMING: u32 = 64 * 1024;

/// What has happened.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// CONNACK.
    Connected(ConnectGrant),
    /// The next message that was handed over goes under this packet id.
    Numbered(u16),
    /// PUBACK with its reason code.
    Acked(u16, u8),
    /// Anything else that came.
    Heard,
    /// It is over.
    Ended(CutCause, String),
}

impl LinkEvent {
    /// Whether the other broker has said something.
    pub(super) fn is_from_there(&self) -> bool {
        matches!(
            self,
            LinkEvent::Connected(_) | LinkEvent::Acked(..) | LinkEvent::Heard
        )
    }
}

/// Where to, and how.
#[derive(Debug, Clone)]
pub(super) struct BridgeLinkOptions {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) client_id: String,
    pub(super) keep_alive: Duration,
    /// The library's own; ours is shorter.
    pub(super) connect_timeout: Duration,
    /// No more messages are on their way at once.
    pub(super) window: u16,
    pub(super) max_packet: usize,
    pub(super) login: Option<(String, String)>,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl BridgeLinkOptions {
    pub(super) fn new(
        config: &BridgeConfig,
        (host, port): (&str, u16),
        window: usize,
        max_packet: usize,
        credentials: BridgeCredentials,
    ) -> BridgeLinkOptions {
        BridgeLinkOptions {
            host: host.to_owned(),
            port,
            client_id: config.client_id(),
            keep_alive: config.keep_alive.0,
            connect_timeout: config.connect_timeout.0 + Duration::from_secs(1),
            window: u16::try_from(window).unwrap_or(u16::MAX - 1),
            max_packet,
            login: credentials.login,
            tls: credentials.tls,
        }
    }

    /// What was granted where CONNACK says nothing else.
    fn granted(&self) -> ConnectGrant {
        ConnectGrant {
            receive_maximum: u16::MAX,
            max_packet: u32::MAX,
            retain: true,
            keep_alive_ms: u64::try_from(self.keep_alive.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// An event loop of the library's, in one version of MQTT.
trait EventSource: Send + 'static {
    /// What happens next; `None` for what nobody needs to know.
    fn poll(&mut self) -> impl Future<Output = Option<LinkEvent>> + Send;
}

/// Polls until the connection ends or nobody listens any more; never again after that, for then it
/// would connect anew.
async fn drive(mut source: impl EventSource, events: mpsc::Sender<LinkEvent>) {
    loop {
        let Some(event) = source.poll().await else {
            continue;
        };
        let is_over = matches!(event, LinkEvent::Ended(..));
        if events.send(event).await.is_err() || is_over {
            return;
        }
    }
}

enum LinkClient {
    V5(rumqttc::v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// The message could not be handed over: the connection has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotSent;

/// A connection that is made, stands, or has ended.
pub(super) struct BrokerLink {
    client: LinkClient,
    events: mpsc::Receiver<LinkEvent>,
    task: JoinHandle<()>,
    /// Handed over and without a packet id, in their order.
    unnumbered: VecDeque<u64>,
    numbered: HashMap<u16, u64>,
}

impl BrokerLink {
    /// Begins to connect.
    pub(super) fn open(protocol: BridgeProtocol, options: &BridgeLinkOptions) -> BrokerLink {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        let (client, task) = match protocol {
            BridgeProtocol::V5 => {
                let (client, task) = v5::open(options, sender);
                (LinkClient::V5(client), task)
            }
            BridgeProtocol::V311 => {
                let (client, task) = v311::open(options, sender);
                (LinkClient::V311(client), task)
            }
        };
        BrokerLink {
            client,
            events,
            task,
            unnumbered: VecDeque::new(),
            numbered: HashMap::new(),
        }
    }

    /// What happens next.
    pub(super) async fn next(&mut self) -> LinkEvent {
        let ended = || LinkEvent::Ended(CutCause::Network, "its task has ended".to_owned());
        self.events.recv().await.unwrap_or_else(ended)
    }

    /// What has happened already.
    pub(super) fn try_next(&mut self) -> Option<LinkEvent> {
        self.events.try_recv().ok()
    }

    /// Hands a message over.
    pub(super) fn publish(
        &mut self,
        seq: u64,
        message: &Message,
        may_retain: bool,
        now: Millis,
    ) -> Result<(), NotSent> {
        let retain = message.retain() && may_retain;
        match &self.client {
            LinkClient::V5(client) => v5::publish(client, message, retain, now)?,
            LinkClient::V311(client) => v311::publish(client, message, retain)?,
        }
        self.unnumbered.push_back(seq);
        Ok(())
    }

    /// The next message has its packet id.
    pub(super) fn number(&mut self, id: u16) {
        if let Some(seq) = self.unnumbered.pop_front() {
            self.numbered.insert(id, seq);
        }
    }

    /// Which message was sent under this packet id; it is free again.
    pub(super) fn answered(&mut self, id: u16) -> Option<u64> {
        self.numbered.remove(&id)
    }

    /// Says goodbye, and waits for that to be on its way, not for long.
    pub(super) async fn leave(mut self) {
        let asked = match &self.client {
            LinkClient::V5(client) => client.try_disconnect().is_ok(),
            LinkClient::V311(client) => client.try_disconnect().is_ok(),
        };
        let gone = async { while self.events.recv().await.is_some() {} };
        if asked {
            // Whether it was heard or not, it is over.
            let _ = tokio::time::timeout(Duration::from_secs(1), gone).await;
        }
    }
}

impl Drop for BrokerLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What it means that a connection failed with an error of the operating system.
fn cause_of(error: &io::Error, was_connected: bool) -> CutCause {
    match error.kind() {
        _ if !was_connected => CutCause::Unreachable,
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => CutCause::Closed,
        _ => CutCause::Network,
    }
}
