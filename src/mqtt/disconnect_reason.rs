//! Why a connection ends: one name for each kind, which log line, metric and presence share.

use crate::desk::port::CloseReason;
use crate::metrics::labels;

use super::codec::reason::Reason;

labels! {
    /// Why the gateway closes a connection.
    pub enum DisconnectReason by "reason" {
        /// A packet that does not read as MQTT says.
        Malformed = "malformed_packet",
        /// A packet or a value that is not allowed there, an acknowledgement of the wrong kind.
        Protocol = "protocol_error",
        /// Well formed, and not possible here.
        NotPossible = "not_possible",
        /// Nothing was heard for one and a half times the keep-alive.
        KeepAlive = "keep_alive",
        /// The same client id connected again.
        TakenOver = "taken_over",
        /// The gateway stops.
        ShuttingDown = "shutting_down",
        /// The gateway cannot serve at the moment.
        Unavailable = "unavailable",
        /// The client has lost its right to be here.
        NotAuthorized = "not_authorized",
        /// Its token is over.
        TokenOver = "token_over",
        /// A filter that is none, from a client of 3.1.1.
        Filter = "invalid_filter",
        /// A topic that is none, or too deep.
        Topic = "invalid_topic",
        /// More in flight than Receive Maximum allows.
        ReceiveMaximum = "receive_maximum",
        /// A topic alias that was not agreed.
        Alias = "topic_alias",
        /// A packet larger than `mqtt.max_packet`.
        PacketTooLarge = "packet_too_large",
        /// An answer larger than the client takes.
        AnswerTooLarge = "answer_too_large",
        /// It did not read what others sent it.
        TooSlow = "too_slow",
        /// Its publish found no room, and 3.1.1 has no word for it.
        NoRoom = "no_room",
        /// There is no memory for what it sends or is sent.
        Memory = "memory",
        /// Another limit.
        Quota = "quota",
    }
}

impl DisconnectReason {
    /// For people: in log lines, and as presence's `why`.
    pub fn words(self) -> &'static str {
        match self {
            DisconnectReason::Malformed => "malformed packet",
            DisconnectReason::Protocol => "protocol error",
            DisconnectReason::NotPossible => "refused by the gateway",
            DisconnectReason::KeepAlive => "keep-alive timeout",
            DisconnectReason::TakenOver => "taken over by a new connection",
            DisconnectReason::ShuttingDown => "the gateway is shutting down",
            DisconnectReason::Unavailable => "server unavailable",
            DisconnectReason::NotAuthorized => "not authorized",
            DisconnectReason::TokenOver => "the token is over",
            DisconnectReason::Filter => "invalid topic filter",
            DisconnectReason::Topic => "invalid topic name",
            DisconnectReason::ReceiveMaximum => "receive maximum exceeded",
            DisconnectReason::Alias => "invalid topic alias",
            DisconnectReason::PacketTooLarge => "packet too large",
            DisconnectReason::AnswerTooLarge => "an answer is larger than the client takes",
            DisconnectReason::TooSlow => "it reads too slowly",
            DisconnectReason::NoRoom => "no room for its publish",
            DisconnectReason::Memory => "no memory for what waits",
            DisconnectReason::Quota => "quota exceeded",
        }
    }

    /// What DISCONNECT says.
    pub(super) fn reason(self) -> Reason {
        match self {
            DisconnectReason::Malformed => Reason::Malformed,
            DisconnectReason::Protocol => Reason::Protocol,
            DisconnectReason::NotPossible => Reason::ImplementationSpecific,
            DisconnectReason::KeepAlive => Reason::KeepAliveTimeout,
            DisconnectReason::TakenOver => Reason::TakenOver,
            DisconnectReason::ShuttingDown => Reason::ShuttingDown,
            DisconnectReason::Unavailable => Reason::ServerUnavailable,
            DisconnectReason::NotAuthorized => Reason::NotAuthorized,
            DisconnectReason::TokenOver => Reason::MaximumConnectTime,
            DisconnectReason::Filter => Reason::FilterInvalid,
            DisconnectReason::Topic => Reason::TopicNameInvalid,
            DisconnectReason::ReceiveMaximum => Reason::ReceiveMaximum,
            DisconnectReason::Alias => Reason::TopicAliasInvalid,
            DisconnectReason::PacketTooLarge | DisconnectReason::AnswerTooLarge => {
                Reason::PacketTooLarge
            }
            DisconnectReason::TooSlow
            | DisconnectReason::NoRoom
            | DisconnectReason::Memory
            | DisconnectReason::Quota => Reason::QuotaExceeded,
        }
    }
}

impl From<Reason> for DisconnectReason {
    fn from(reason: Reason) -> DisconnectReason {
        match reason {
            Reason::Malformed | Reason::PayloadInvalid => DisconnectReason::Malformed,
            Reason::Protocol | Reason::PacketIdNotFound => DisconnectReason::Protocol,
            Reason::KeepAliveTimeout => DisconnectReason::KeepAlive,
            Reason::TakenOver => DisconnectReason::TakenOver,
            Reason::ShuttingDown => DisconnectReason::ShuttingDown,
            Reason::ServerUnavailable => DisconnectReason::Unavailable,
            Reason::BadCredentials | Reason::NotAuthorized => DisconnectReason::NotAuthorized,
            Reason::MaximumConnectTime => DisconnectReason::TokenOver,
            Reason::FilterInvalid => DisconnectReason::Filter,
            Reason::TopicNameInvalid => DisconnectReason::Topic,
            Reason::ReceiveMaximum => DisconnectReason::ReceiveMaximum,
            Reason::TopicAliasInvalid => DisconnectReason::Alias,
            Reason::PacketTooLarge => DisconnectReason::PacketTooLarge,
            Reason::QuotaExceeded => DisconnectReason::Quota,
            Reason::Unspecified
            | Reason::ImplementationSpecific
            | Reason::UnsupportedVersion
            | Reason::ClientIdRefused
            | Reason::BadAuthentication => DisconnectReason::NotPossible,
        }
    }
}

impl From<CloseReason> for DisconnectReason {
    fn from(reason: CloseReason) -> DisconnectReason {
        match reason {
            CloseReason::TakenOver => DisconnectReason::TakenOver,
            CloseReason::ShuttingDown => DisconnectReason::ShuttingDown,
            // Publishers have waited for it as long as they are asked to.
            CloseReason::QuotaExceeded => DisconnectReason::TooSlow,
            CloseReason::NotOwner => DisconnectReason::NotAuthorized,
            CloseReason::NoDisk => DisconnectReason::Quota,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metrics::MetricLabel;

    #[test]
    fn each_kind_has_a_name_and_a_reason_of_its_own() {
        let names: BTreeSet<&str> = DisconnectReason::ALL
            .iter()
            .map(|ending| ending.name())
            .collect();
        assert_eq!(names.len(), DisconnectReason::ALL.len());
        for ending in DisconnectReason::ALL.iter().copied() {
            let by_reason = DisconnectReason::from(ending.reason());
            assert_eq!(by_reason.reason(), ending.reason(), "{ending:?}");
        }
    }
}
