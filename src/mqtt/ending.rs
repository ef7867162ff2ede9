//! Why a connection ends: one name for each kind, which log line, metric and presence share.

use crate::count::Count;
use crate::desk::port::CloseReason;

use super::reason::Reason;

/// Why the gateway closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A packet that does not read as MQTT says.
    Malformed,
    /// A packet or a value that is not allowed there, an acknowledgement of the wrong kind.
    Protocol,
    /// Well formed, and not possible here.
    NotPossible,
    /// Nothing was heard for one and a half times the keep-alive.
    KeepAlive,
    /// The same client id connected again.
    TakenOver,
    /// The gateway stops.
    ShuttingDown,
    /// The gateway cannot serve at the moment.
    Unavailable,
    /// The client has lost its right to be here.
    NotAuthorized,
    /// Its token is over.
    TokenOver,
    /// A filter that is none, from a client of 3.1.1.
    Filter,
    /// A topic that is none, or too deep.
    Topic,
    /// More in flight than Receive Maximum allows.
    ReceiveMaximum,
    /// A topic alias that was not agreed.
    Alias,
    /// A packet larger than `mqtt.max_packet`.
    PacketTooLarge,
    /// An answer larger than the client takes.
    AnswerTooLarge,
    /// It did not read what others sent it.
    TooSlow,
    /// Its publish found no room, and 3.1.1 has no word for it.
    NoRoom,
    /// There is no memory for what it sends or is sent.
    Memory,
    /// Another limit.
    Quota,
}

impl Ending {
    /// Every kind.
    pub const ALL: [Ending; 19] = [
        Ending::Malformed,
        Ending::Protocol,
        Ending::NotPossible,
        Ending::KeepAlive,
        Ending::TakenOver,
        Ending::ShuttingDown,
        Ending::Unavailable,
        Ending::NotAuthorized,
        Ending::TokenOver,
        Ending::Filter,
        Ending::Topic,
        Ending::ReceiveMaximum,
        Ending::Alias,
        Ending::PacketTooLarge,
        Ending::AnswerTooLarge,
        Ending::TooSlow,
        Ending::NoRoom,
        Ending::Memory,
        Ending::Quota,
    ];

    /// As metrics and log lines name it.
    pub fn name(self) -> &'static str {
        match self {
            Ending::Malformed => "malformed_packet",
            Ending::Protocol => "protocol_error",
            Ending::NotPossible => "not_possible",
            Ending::KeepAlive => "keep_alive",
            Ending::TakenOver => "taken_over",
            Ending::ShuttingDown => "shutting_down",
            Ending::Unavailable => "unavailable",
            Ending::NotAuthorized => "not_authorized",
            Ending::TokenOver => "token_over",
            Ending::Filter => "invalid_filter",
            Ending::Topic => "invalid_topic",
            Ending::ReceiveMaximum => "receive_maximum",
            Ending::Alias => "topic_alias",
            Ending::PacketTooLarge => "packet_too_large",
            Ending::AnswerTooLarge => "answer_too_large",
            Ending::TooSlow => "too_slow",
            Ending::NoRoom => "no_room",
            Ending::Memory => "memory",
            Ending::Quota => "quota",
        }
    }

    /// For people: in log lines, and as presence's `why`.
    pub fn words(self) -> &'static str {
        match self {
            Ending::Malformed => "malformed packet",
            Ending::Protocol => "protocol error",
            Ending::NotPossible => "refused by the gateway",
            Ending::KeepAlive => "keep-alive timeout",
            Ending::TakenOver => "taken over by a new connection",
            Ending::ShuttingDown => "the gateway is shutting down",
            Ending::Unavailable => "server unavailable",
            Ending::NotAuthorized => "not authorized",
            Ending::TokenOver => "the token is over",
            Ending::Filter => "invalid topic filter",
            Ending::Topic => "invalid topic name",
            Ending::ReceiveMaximum => "receive maximum exceeded",
            Ending::Alias => "invalid topic alias",
            Ending::PacketTooLarge => "packet too large",
            Ending::AnswerTooLarge => "an answer is larger than the client takes",
            Ending::TooSlow => "it reads too slowly",
            Ending::NoRoom => "no room for its publish",
            Ending::Memory => "no memory for what waits",
            Ending::Quota => "quota exceeded",
        }
    }

    /// What DISCONNECT says.
    pub(super) fn reason(self) -> Reason {
        match self {
            Ending::Malformed => Reason::Malformed,
            Ending::Protocol => Reason::Protocol,
            Ending::NotPossible => Reason::ImplementationSpecific,
            Ending::KeepAlive => Reason::KeepAliveTimeout,
            Ending::TakenOver => Reason::TakenOver,
            Ending::ShuttingDown => Reason::ShuttingDown,
            Ending::Unavailable => Reason::ServerUnavailable,
            Ending::NotAuthorized => Reason::NotAuthorized,
            Ending::TokenOver => Reason::MaximumConnectTime,
            Ending::Filter => Reason::FilterInvalid,
            Ending::Topic => Reason::TopicNameInvalid,
            Ending::ReceiveMaximum => Reason::ReceiveMaximum,
            Ending::Alias => Reason::TopicAliasInvalid,
            Ending::PacketTooLarge | Ending::AnswerTooLarge => Reason::PacketTooLarge,
            Ending::TooSlow | Ending::NoRoom | Ending::Memory | Ending::Quota => {
                Reason::QuotaExceeded
            }
        }
    }
}

impl From<Reason> for Ending {
    fn from(reason: Reason) -> Ending {
        match reason {
            Reason::Malformed | Reason::PayloadInvalid => Ending::Malformed,
            Reason::Protocol | Reason::PacketIdNotFound => Ending::Protocol,
            Reason::KeepAliveTimeout => Ending::KeepAlive,
            Reason::TakenOver => Ending::TakenOver,
            Reason::ShuttingDown => Ending::ShuttingDown,
            Reason::ServerUnavailable => Ending::Unavailable,
            Reason::BadCredentials | Reason::NotAuthorized => Ending::NotAuthorized,
            Reason::MaximumConnectTime => Ending::TokenOver,
            Reason::FilterInvalid => Ending::Filter,
            Reason::TopicNameInvalid => Ending::Topic,
            Reason::ReceiveMaximum => Ending::ReceiveMaximum,
            Reason::TopicAliasInvalid => Ending::Alias,
            Reason::PacketTooLarge => Ending::PacketTooLarge,
            Reason::QuotaExceeded => Ending::Quota,
            Reason::Unspecified
            | Reason::ImplementationSpecific
            | Reason::UnsupportedVersion
            | Reason::ClientIdRefused
            | Reason::BadAuthentication => Ending::NotPossible,
        }
    }
}

impl From<CloseReason> for Ending {
    fn from(reason: CloseReason) -> Ending {
        match reason {
            CloseReason::TakenOver => Ending::TakenOver,
            CloseReason::ShuttingDown => Ending::ShuttingDown,
            // Publishers have waited for it as long as they are asked to.
            CloseReason::QuotaExceeded => Ending::TooSlow,
            CloseReason::NotOwner => Ending::NotAuthorized,
            CloseReason::NoDisk => Ending::Quota,
        }
    }
}

/// A count for each ending.
#[derive(Debug, Default)]
pub struct PerEnding([Count; Ending::ALL.len()]);

impl PerEnding {
    /// The count of one.
    pub fn of(&self, ending: Ending) -> &Count {
        &self.0[ending as usize]
    }

    /// All together.
    pub fn value(&self) -> u64 {
        self.0.iter().map(Count::value).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_a_name_a_place_and_a_reason_of_its_own() {
        let names: BTreeSet<&str> = Ending::ALL.map(Ending::name).into();
        assert_eq!(names.len(), Ending::ALL.len());
        for (place, ending) in Ending::ALL.into_iter().enumerate() {
            assert_eq!(ending as usize, place);
            let by_reason = Ending::from(ending.reason());
            assert_eq!(by_reason.reason(), ending.reason(), "{ending:?}");
        }
    }
}
