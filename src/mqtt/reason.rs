//! MQTT 5 reason codes (section 2.4), as far as the gateway says them, and how the desk's codes map to them.

use mqtt_protocol_core::mqtt::result_code::MqttError;

use crate::desk::port::CloseReason;
use crate::wire::filter::TopicRule;
use crate::wire::reply::Code;

/// Why a packet or a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reason {
    Unspecified = 0x80,
    Malformed = 0x81,
    Protocol = 0x82,
    ImplementationSpecific = 0x83,
    UnsupportedVersion = 0x84,
    ClientIdRefused = 0x85,
    NotAuthorized = 0x87,
    ServerUnavailable = 0x88,
    ShuttingDown = 0x8B,
    BadAuthentication = 0x8C,
    KeepAliveTimeout = 0x8D,
    TakenOver = 0x8E,
    FilterInvalid = 0x8F,
    TopicNameInvalid = 0x90,
    PacketIdNotFound = 0x92,
    ReceiveMaximum = 0x93,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    QuotaExceeded = 0x97,
    PayloadInvalid = 0x99,
}

impl Reason {
    /// As it stands in a packet.
    pub(super) fn code(self) -> u8 {
        self as u8
    }

    /// For people, in the events of a room.
    pub(super) fn words(self) -> &'static str {
        match self {
            Reason::Unspecified => "unspecified error",
            Reason::Malformed => "malformed packet",
            Reason::Protocol => "protocol error",
            Reason::ImplementationSpecific => "refused by the gateway",
            Reason::UnsupportedVersion => "unsupported protocol version",
            Reason::ClientIdRefused => "client id refused",
            Reason::NotAuthorized => "not authorized",
            Reason::ServerUnavailable => "server unavailable",
            Reason::ShuttingDown => "the gateway is shutting down",
            Reason::BadAuthentication => "bad authentication method",
            Reason::KeepAliveTimeout => "keep-alive timeout",
            Reason::TakenOver => "taken over by a new connection",
            Reason::FilterInvalid => "invalid topic filter",
            Reason::TopicNameInvalid => "invalid topic name",
            Reason::PacketIdNotFound => "packet id not found",
            Reason::ReceiveMaximum => "receive maximum exceeded",
            Reason::TopicAliasInvalid => "invalid topic alias",
            Reason::PacketTooLarge => "packet too large",
            Reason::QuotaExceeded => "quota exceeded",
            Reason::PayloadInvalid => "invalid payload",
        }
    }
}

impl From<MqttError> for Reason {
    fn from(error: MqttError) -> Reason {
        match error {
            MqttError::MalformedPacket => Reason::Malformed,
            MqttError::PacketTooLarge => Reason::PacketTooLarge,
            MqttError::UnsupportedProtocolVersion => Reason::UnsupportedVersion,
            _ => Reason::Protocol,
        }
    }
}

impl From<TopicRule> for Reason {
    fn from(rule: TopicRule) -> Reason {
        match rule {
            // MQTT-1.5.4-2: a string with U+0000 is a malformed packet, whatever it is for.
            TopicRule::Null => Reason::Malformed,
            TopicRule::Empty => Reason::Protocol,
            _ => Reason::TopicNameInvalid,
        }
    }
}

impl From<CloseReason> for Reason {
    fn from(reason: CloseReason) -> Reason {
        match reason {
            CloseReason::TakenOver => Reason::TakenOver,
            CloseReason::ShuttingDown => Reason::ShuttingDown,
            CloseReason::QuotaExceeded => Reason::QuotaExceeded,
        }
    }
}

/// What PUBACK and PUBREC say of a refusal; `by_topic` if the topic alone was the cause.
pub(super) fn of_publish(code: Code, by_topic: bool) -> Reason {
    match code {
        Code::Forbidden => Reason::NotAuthorized,
        Code::Malformed if by_topic => Reason::TopicNameInvalid,
        Code::Malformed | Code::Invalid => Reason::PayloadInvalid,
        Code::TooMany | Code::TooLarge => Reason::QuotaExceeded,
        _ => Reason::ImplementationSpecific,
    }
}

/// What SUBACK says of a refusal.
pub(super) fn of_subscription(code: Code) -> Reason {
    match code {
        Code::Forbidden => Reason::NotAuthorized,
        Code::Malformed | Code::Invalid => Reason::FilterInvalid,
        Code::TooMany | Code::TooLarge => Reason::QuotaExceeded,
        Code::NotImplemented => Reason::ImplementationSpecific,
        _ => Reason::Unspecified,
    }
}
