//! An agent as any program could be one: an MQTT library, JSON, and the topics of the protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::super::Failure;
use super::{PATIENCE, ROOM};
use crate::wire::json;

/// How long a lost connection waits before it is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// A message that came.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    /// Below the room: `handoff/work/draft`.
    pub(super) topic: String,
    payload: Vec<u8>,
}

impl Incoming {
    /// Reads the payload.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        json::decode(&self.payload)
            .map_err(|error| Failure::runtime(format!("{} carried {error}", self.topic)))
    }

    /// Whether the payload is empty: a retained message was cleared.
    pub(super) fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }
}

/// A connection with a persistent session that reconnects by itself. Dropping it cuts the
/// connection.
pub(super) struct DemoAgent {
    id: String,
    client: AsyncClient,
    incoming: mpsc::Receiver<Incoming>,
    connection: JoinHandle<()>,
}

impl DemoAgent {
    /// Connects and subscribes to topics below the room.
    pub(super) async fn connect(
        gateway: SocketAddr,
        id: &str,
        topics: &[String],
    ) -> Result<DemoAgent, Failure> {
        let mut options = MqttOptions::new(id, gateway.ip().to_string(), gateway.port());
        options
            .set_clean_session(false)
            .set_keep_alive(Duration::from_secs(5));
        options.set_max_packet_size(1024 * 1024, 1024 * 1024);
        let (client, events) = AsyncClient::new(options, 64);
        let (forward, incoming) = mpsc::channel(1024);
        let subscribed = Arc::new(Notify::new());
        let connection = tokio::spawn(drive(events, forward, subscribed.clone(), topics.len()));
        for topic in topics {
            client
                .subscribe(below_room(topic), QoS::AtLeastOnce)
                .await
                .map_err(|error| lost(id, &error))?;
        }
        if !topics.is_empty() {
            let answered = tokio::time::timeout(PATIENCE, subscribed.notified()).await;
            answered
                .map_err(|_| Failure::runtime(format!("{id}: no SUBACK within {PATIENCE:?}")))?;
        }
        Ok(DemoAgent {
            id: id.to_owned(),
            client,
            incoming,
            connection,
        })
    }

    /// Its agent id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Publishes JSON below the room at QoS 1; the library sends it again until it is acknowledged.
    pub(super) async fn publish<T: Serialize>(
        &self,
        topic: &str,
        message: &T,
    ) -> Result<(), Failure> {
        let payload = json::encode(message).to_vec();
        let sent = self
            .client
            .publish(below_room(topic), QoS::AtLeastOnce, false, payload)
            .await;
        sent.map_err(|error| lost(&self.id, &error))
    }

    /// Leaves text for everybody on a topic outside of every room, retained.
    pub(super) async fn post(&self, topic: &str, text: String) -> Result<(), Failure> {
        let sent = self
            .client
            .publish(topic, QoS::AtLeastOnce, true, text)
            .await;
        sent.map_err(|error| lost(&self.id, &error))
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Result<Incoming, Failure> {
        self.incoming
            .recv()
            .await
            .ok_or_else(|| Failure::runtime(format!("{}: the connection is gone", self.id)))
    }
}

impl Drop for DemoAgent {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn lost(id: &str, error: &rumqttc::ClientError) -> Failure {
    Failure::runtime(format!("{id}: {error}"))
}

/// The topic as MQTT has it.
pub(super) fn below_room(topic: &str) -> String {
    format!("rooms/{ROOM}/{topic}")
}

/// Polls the connection for as long as anybody reads what comes.
async fn drive(
    mut events: EventLoop,
    forward: mpsc::Sender<Incoming>,
    subscribed: Arc<Notify>,
    mut missing: usize,
) {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = publish
                    .topic
                    .splitn(3, '/')
                    .nth(2)
                    .unwrap_or_default()
                    .to_owned();
                let incoming = Incoming {
                    topic,
                    payload: publish.payload.to_vec(),
                };
                if forward.send(incoming).await.is_err() {
                    return;
                }
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                missing = missing.saturating_sub(1);
                if missing == 0 {
                    subscribed.notify_one();
                }
            }
            Ok(_) => {}
            // The gateway may be restarting; the session and its messages wait there.
            Err(_) => tokio::time::sleep(RECONNECT_PAUSE).await,
        }
    }
}
