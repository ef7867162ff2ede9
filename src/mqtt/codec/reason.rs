//! MQTT 5 reason codes (section 2.4), as far as the gateway says them, and how the desk's codes map
//! to them.

use crate::desk::port::CloseReason;
use crate::wire::filter::TopicRule;
use crate::wire::reply::Code;

/// Why a packet or a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::mqtt) enum Reason {
    Unspecified = 0x80,
    Malformed = 0x81,
    Protocol = 0x82,
    ImplementationSpecific = 0x83,
    UnsupportedVersion = 0x84,
    ClientIdRefused = 0x85,
    BadCredentials = 0x86,
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
    MaximumConnectTime = 0xA0,
}

impl Reason {
    /// As it stands in a packet.
    pub(in crate::mqtt) fn code(self) -> u8 {
        self as u8
    }

    /// The Reason String that goes with it.
    pub(in crate::mqtt) fn explanation(self) -> &'static str {
        explain(self.code())
    }
}

/// What a reason code means here, in words for whoever reads a client's log; at most 120 bytes.
pub(in crate::mqtt) fn explain(code: u8) -> &'static str {
    match code {
        0x81 => "malformed packet: it does not read as MQTT says",
        0x82 => "protocol error: a packet or a value that is not allowed here",
        0x83 => "well formed, but not possible with this gateway",
        0x84 => "the gateway speaks MQTT 3.1.1 and 5.0",
        0x85 => "this client id cannot be used",
        0x86 => "user name or password are wrong",
        0x87 => "not allowed for this client",
        0x88 => "the gateway cannot serve at the moment",
        0x8B => "the gateway is shutting down",
        0x8C => "the gateway knows no such authentication method",
        0x8D => "nothing was heard for one and a half times the keep-alive",
        0x8E => "the same client id has connected again",
        0x8F => "no valid topic filter",
        0x90 => "no valid topic name, or none that this client may write",
        0x92 => "no message of this packet id is in flight",
        0x93 => "more messages in flight than Receive Maximum allows",
        0x94 => "a topic alias is 0, or above Topic Alias Maximum",
        0x95 => "larger than Maximum Packet Size allows",
        0x97 => "a limit of the gateway is reached, or its disk is full",
        0x99 => "the payload is not what it has to be",
        _ => "refused, and no further reason is given",
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
            CloseReason::NotOwner => Reason::NotAuthorized,
            CloseReason::NoDisk => Reason::QuotaExceeded,
        }
    }
}

/// What PUBACK and PUBREC say of a refusal; `by_topic` if the topic alone was the cause.
pub(in crate::mqtt) fn of_publish(code: Code, by_topic: bool) -> Reason {
    match code {
        Code::Forbidden => Reason::NotAuthorized,
        Code::Malformed if by_topic => Reason::TopicNameInvalid,
        Code::Malformed | Code::Invalid => Reason::PayloadInvalid,
        Code::TooMany | Code::TooLarge => Reason::QuotaExceeded,
        _ => Reason::ImplementationSpecific,
    }
}

/// What SUBACK says of a refusal.
pub(in crate::mqtt) fn of_subscription(code: Code) -> Reason {
    match code {
        Code::Forbidden => Reason::NotAuthorized,
        Code::Malformed | Code::Invalid => Reason::FilterInvalid,
        Code::TooMany | Code::TooLarge => Reason::QuotaExceeded,
        _ => Reason::Unspecified,
    }
}
