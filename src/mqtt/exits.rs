//! The two ways out of a session that need no waiting: bytes for the client, requests for the desk.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::desk::port::{ConnectionId, Request, Stage};

use super::encode::Output;
use super::metrics::Metrics;

/// What a session has to say; the connection carries it off.
#[derive(Debug)]
pub(super) struct Exits {
    /// To the client.
    pub(super) output: Output,
    /// To the desk, in order.
    pub(super) requests: VecDeque<Request>,
    /// Who says it.
    pub(super) connection: ConnectionId,
    pub(super) metrics: Arc<Metrics>,
}

impl Exits {
    pub(super) fn new(connection: ConnectionId, metrics: Arc<Metrics>) -> Exits {
        Exits {
            output: Output::default(),
            requests: VecDeque::new(),
            connection,
            metrics,
        }
    }

    /// Tells the desk how far a delivery has come; a delivery of the session's own (`seq` 0) is nobody else's business.
    pub(super) fn acknowledge(&mut self, seq: u64, stage: Stage) {
        if seq != 0 {
            self.requests.push_back(Request::Acknowledge {
                connection: self.connection,
                seq,
                stage,
            });
        }
    }
}
