//! How a session ends: what the desk, the client and the log are told of it.

use tokio::time::Instant;

use crate::desk::port::Request;
use crate::live::Plane;
use crate::log_limiter::{limited, shortened};
use crate::mqtt::disconnect_reason::DisconnectReason;
use crate::mqtt::peer::Peer;

use super::ClientSession;

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mqtt) enum SessionEnd {
    /// The client said DISCONNECT.
    Left {
        publish_will: bool,
        expiry: Option<u32>,
    },
    /// The socket closed or failed.
    Gone,
    /// We close, and tell whoever can be told.
    Refused(DisconnectReason),
}

impl<P: Plane> ClientSession<P> {
    /// Ends the session for a reason of ours; the first one stands.
    pub(in crate::mqtt) fn refuse(&mut self, ending: impl Into<DisconnectReason>) {
        self.end.get_or_insert(SessionEnd::Refused(ending.into()));
    }

    /// The socket closed or failed.
    pub(in crate::mqtt) fn lose(&mut self) {
        self.end.get_or_insert(SessionEnd::Gone);
    }

    /// Whether there is nothing more to do for the client.
    pub(in crate::mqtt) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// The requests that the desk is still to have; the last one says that the connection is over.
    pub(in crate::mqtt) fn last_requests(&mut self) -> impl Iterator<Item = Request> + use<P> {
        let (publish_will, why, expiry) = match self.end {
            Some(SessionEnd::Left {
                publish_will,
                expiry,
            }) => (publish_will, "disconnected", expiry),
            Some(SessionEnd::Refused(ending)) => (true, ending.words(), None),
            Some(SessionEnd::Gone) | None => (true, "connection lost", None),
        };
        let close = Request::Close {
            connection: self.io.connection,
            publish_will,
            why,
            expiry,
        };
        std::mem::take(&mut self.io.waiting)
            .into_iter()
            .chain([close])
    }

    /// Says DISCONNECT to a client that hears it, counts the end and logs it.
    pub(in crate::mqtt) fn tell_of_the_end(&mut self, peer: &Peer) {
        let (peer, client) = (peer.shown(), shortened(&self.client.id));
        let Some(SessionEnd::Refused(ending)) = self.end else {
            if self.config.log_connections {
                let left = matches!(self.end, Some(SessionEnd::Left { .. }));
                let (kind, why) = match left {
                    true => ("disconnected", "it said DISCONNECT"),
                    false => ("connection_lost", "connection lost"),
                };
                let admitted = self.admits(kind);
                limited!(info, admitted, client, %peer, kind, "disconnected: {why}");
            }
            return;
        };
        self.io.metrics.disconnects.of(ending).add(1);
        if self.client.v5 {
            self.io.output.disconnect(ending.reason());
        }
        let kind = ending.name();
        let admitted = self.admits(kind);
        let words = ending.words();
        let detail = &self.detail;
        limited!(info, admitted, client, %peer, kind, "closed: {words}{detail}");
        let recent_takeovers = &self.context.recent_takeovers;
        if ending == DisconnectReason::TakenOver
            && recent_takeovers.taken_over(&self.client.id, Instant::now())
        {
            let kind = "two_devices";
            let admitted = self.admits(kind);
            limited!(warn, admitted, client, %peer, kind, "two devices with one id: taken over three times within a minute");
        }
    }
}
