//! Why a connection ends: one name for each kind, which log line, metric and presence share.

use crate::desk::port::CloseReason;
use crate::metrics::labels;

use super::codec::reason::Reason;

labels! {
    /// Why the gateway closes a connection.
    pub enum Ending by "reason" {
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

impl Ending {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metrics::MetricLabel;

    #[test]
    fn each_kind_has_a_name_and_a_reason_of_its_own() {
        let names: BTreeSet<&str> = Ending::ALL.iter().map(|ending| ending.name()).collect();
        assert_eq!(names.len(), Ending::ALL.len());
        for ending in Ending::ALL.iter().copied() {
            let by_reason = Ending::from(ending.reason());
            assert_eq!(by_reason.reason(), ending.reason(), "{ending:?}");
        }
    }
}
