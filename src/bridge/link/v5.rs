//! The connection in MQTT 5.

use rumqttc::Transport;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, DisconnectReasonCode, Packet, PubAckReason, PublishProperties,
};
use rumqttc::v5::mqttbytes::{Error as PacketError, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use rumqttc::{Outgoing, TlsConfiguration};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{BridgeLinkOptions, EventSource, LinkEvent, MAX_INCOMING, NotSent, cause_of, drive};
use crate::bridge::properties::ForwardedProperties;
use crate::bridge::sender::{ConnectGrant, CutCause};
use crate::wire::Millis;
use crate::wire::message::Message;

pub(super) fn open(
    options: &BridgeLinkOptions,
    events: mpsc::Sender<LinkEvent>,
) -> (AsyncClient, JoinHandle<()>) {
    let mut mqtt = MqttOptions::new(&options.client_id, &options.host, options.port);
    mqtt.set_keep_alive(options.keep_alive);
    // Nothing rests on a session there: the queue is ours.
    mqtt.set_clean_start(true);
    mqtt.set_connect_properties(ConnectProperties {
        max_packet_size: Some(MAX_INCOMING),
        ..ConnectProperties::new()
    });
    mqtt.set_connection_timeout(options.connect_timeout.as_secs());
    mqtt.set_outgoing_inflight_upper_limit(options.window);
    let mut network = mqtt.network_options();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(options.connect_timeout.as_secs());
    mqtt.set_network_options(network);
    if let Some((user, password)) = &options.login {
        mqtt.set_credentials(user, password);
    }
    if let Some(tls) = &options.tls {
        mqtt.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(
            tls.clone(),
        )));
    }
    let room = usize::from(options.window) + 8;
    let (client, polled) = AsyncClient::new(mqtt, room);
    let source = V5Events {
        polled,
        grant: options.granted(),
        was_connected: false,
    };
    (client, tokio::spawn(drive(source, events)))
}

struct V5Events {
    polled: EventLoop,
    grant: ConnectGrant,
    was_connected: bool,
}

impl EventSource for V5Events {
    async fn poll(&mut self) -> Option<LinkEvent> {
        Some(match self.polled.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                self.was_connected = true;
                LinkEvent::Connected(granted(self.grant, &connack))
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => {
                LinkEvent::Acked(ack.pkid, code_of(ack.reason))
            }
            Ok(Event::Incoming(_)) => LinkEvent::Heard,
            Ok(Event::Outgoing(Outgoing::Publish(id))) => LinkEvent::Numbered(id),
            Ok(Event::Outgoing(_)) => return None,
            Err(error) => LinkEvent::Ended(cause(&error, self.was_connected), error.to_string()),
        })
    }
}

fn granted(ours: ConnectGrant, connack: &ConnAck) -> ConnectGrant {
    let Some(said) = &connack.properties else {
        return ours;
    };
    ConnectGrant {
        receive_maximum: said.receive_max.unwrap_or(ours.receive_maximum),
        max_packet: said.max_packet_size.unwrap_or(ours.max_packet),
        retain: said.retain_available != Some(0),
        keep_alive_ms: match said.server_keep_alive {
            Some(seconds) if seconds > 0 => u64::from(seconds) * 1_000,
            _ => ours.keep_alive_ms,
        },
    }
}

fn code_of(reason: PubAckReason) -> u8 {
    match reason {
        PubAckReason::Success => 0,
        PubAckReason::NoMatchingSubscribers => 0x10,
        PubAckReason::UnspecifiedError => 0x80,
        PubAckReason::ImplementationSpecificError => 0x83,
        PubAckReason::NotAuthorized => 0x87,
        PubAckReason::TopicNameInvalid => 0x90,
        PubAckReason::PacketIdentifierInUse => 0x91,
        PubAckReason::QuotaExceeded => 0x97,
        PubAckReason::PayloadFormatInvalid => 0x99,
    }
}

fn cause(error: &ConnectionError, was_connected: bool) -> CutCause {
    match error {
        ConnectionError::ConnectionRefused(_) => CutCause::Refused,
        ConnectionError::Timeout(_) => CutCause::ConnectTimeout,
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
        ConnectionError::MqttState(StateError::ConnFail { .. }) => CutCause::Refused,
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            of_disconnect(*reason_code)
        }
        _ => CutCause::Protocol,
    }
}

/// Whether DISCONNECT may be about what we sent.
fn of_disconnect(code: DisconnectReasonCode) -> CutCause {
    match code {
        DisconnectReasonCode::SessionTakenOver => CutCause::TakenOver,
        DisconnectReasonCode::ServerShuttingDown
        | DisconnectReasonCode::ServerBusy
        | DisconnectReasonCode::KeepAliveTimeout
        | DisconnectReasonCode::AdministrativeAction
        | DisconnectReasonCode::UseAnotherServer
        | DisconnectReasonCode::ServerMoved
        | DisconnectReasonCode::ConnectionRateExceeded
        | DisconnectReasonCode::MessageRateTooHigh
        | DisconnectReasonCode::MaximumConnectTime => CutCause::Network,
        _ => CutCause::Closed,
    }
}

pub(super) fn publish(
    client: &AsyncClient,
    message: &Message,
    retain: bool,
    now: Millis,
) -> Result<(), NotSent> {
    let found = ForwardedProperties::read(message.properties());
    let left = message.expires_at().saturating_sub(now).div_ceil(1_000);
    let properties = PublishProperties {
        payload_format_indicator: found.payload_format,
        message_expiry_interval: (message.expires_at() > 0)
            .then(|| u32::try_from(left).unwrap_or(u32::MAX)),
        topic_alias: None,
        response_topic: found.response_topic,
        correlation_data: found.correlation,
        user_properties: found.user,
        subscription_identifiers: Vec::new(),
        content_type: found.content_type,
    };
    let (topic, payload) = (message.topic(), message.payload());
    client
        .try_publish_with_properties(topic, QoS::AtLeastOnce, retain, payload, properties)
        .map_err(|_| NotSent)
}
