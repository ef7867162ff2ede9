//! The connection in MQTT 3.1.1.

use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS, StateError,
    TlsConfiguration, Transport,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{BridgeLinkOptions, EventSource, LinkEvent, MAX_INCOMING, NotSent, cause_of, drive};
use crate::bridge::sender::{ConnectGrant, CutCause};
use crate::wire::message::Message;

pub(super) fn open(
    options: &BridgeLinkOptions,
    events: mpsc::Sender<LinkEvent>,
) -> (AsyncClient, JoinHandle<()>) {
    let mut mqtt = MqttOptions::new(&options.client_id, &options.host, options.port);
    mqtt.set_keep_alive(options.keep_alive);
    mqtt.set_clean_session(true);
    mqtt.set_max_packet_size(MAX_INCOMING as usize, options.max_packet);
    mqtt.set_inflight(options.window);
    if let Some((user, password)) = &options.login {
        mqtt.set_credentials(user, password);
    }
    if let Some(tls) = &options.tls {
        mqtt.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(
            tls.clone(),
        )));
    }
    let room = usize::from(options.window) + 8;
    let (client, mut polled) = AsyncClient::new(mqtt, room);
    let mut network = polled.network_options();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(options.connect_timeout.as_secs());
    polled.set_network_options(network);
    let source = V311Events {
        polled,
        grant: options.granted(),
        was_connected: false,
    };
    (client, tokio::spawn(drive(source, events)))
}

struct V311Events {
    polled: EventLoop,
    grant: ConnectGrant,
    was_connected: bool,
}

impl EventSource for V311Events {
    async fn poll(&mut self) -> Option<LinkEvent> {
        Some(match self.polled.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                self.was_connected = true;
                LinkEvent::Connected(self.grant)
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => LinkEvent::Acked(ack.pkid, 0),
            Ok(Event::Incoming(_)) => LinkEvent::Heard,
            Ok(Event::Outgoing(Outgoing::Publish(id))) => LinkEvent::Numbered(id),
            Ok(Event::Outgoing(_)) => return None,
            Err(error) => LinkEvent::Ended(cause(&error, self.was_connected), error.to_string()),
        })
    }
}

fn cause(error: &ConnectionError, was_connected: bool) -> CutCause {
    match error {
        ConnectionError::ConnectionRefused(_) => CutCause::Refused,
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout if !was_connected => {
            CutCause::ConnectTimeout
        }
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => CutCause::Silent,
        ConnectionError::Tls(_) => CutCause::Unreachable,
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => {
            cause_of(error, was_connected)
        }
        // An error of the socket may also come as one of what was read from it.
        ConnectionError::MqttState(StateError::Deserialization(PacketError::Io(error))) => {
            cause_of(error, was_connected)
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => CutCause::Closed,
        ConnectionError::MqttState(StateError::AwaitPingResp) => CutCause::Silent,
        _ => CutCause::Protocol,
    }
}

pub(super) fn publish(
    client: &AsyncClient,
    message: &Message,
    retain: bool,
) -> Result<(), NotSent> {
    let (topic, payload) = (message.topic(), message.payload());
    client
        .try_publish(topic, QoS::AtLeastOnce, retain, payload)
        .map_err(|_| NotSent)
}
