//! What a session has to say: bytes for the client, requests for the desk, messages for the live
//! plane.
//!
//! The session fills it without waiting; the connection waits for those who take it.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::desk::port::{ConnectionId, Request, Stage};
use crate::desk::{Account, ConnectionShare};
use crate::live::Plane;
use crate::mqtt::codec::encode::Output;
use crate::mqtt::metrics::Metrics;

/// A session's side of the client and of the desk.
#[derive(Debug)]
pub(in crate::mqtt) struct SessionIo {
    /// To the client.
    pub(in crate::mqtt) output: Output,
    /// To the desk.
    pub(in crate::mqtt) desk: mpsc::Sender<Request>,
    /// What the desk's channel has no room for yet, in order.
    pub(in crate::mqtt) waiting: VecDeque<Request>,
    /// The desk takes nothing any more.
    pub(super) desk_gone: bool,
    /// Who says it.
    pub(super) connection: ConnectionId,
    pub(in crate::mqtt) metrics: Arc<Metrics>,
    /// Of the memory that there is for all that waits.
    pub(super) share: ConnectionShare,
}

impl SessionIo {
    pub(in crate::mqtt) fn new(
        connection: ConnectionId,
        desk: mpsc::Sender<Request>,
        metrics: Arc<Metrics>,
        share: ConnectionShare,
    ) -> SessionIo {
        SessionIo {
            output: Output::default(),
            desk,
            waiting: VecDeque::new(),
            desk_gone: false,
            connection,
            metrics,
            share,
        }
    }

    /// Hands a request to the desk, behind those that wait.
    pub(super) fn ask(&mut self, request: Request) {
        if let Request::Publish { publication, .. } = &request {
            // The desk gives it back when it takes the request.
            let memory = self.share.memory();
            memory.reserve(Account::Requests, publication.message.size());
        }
        if self.waiting.is_empty() {
            self.hand_over(request);
        } else {
            self.waiting.push_back(request);
        }
    }

    /// Hands over what waits, as far as there is room; an emptied queue is given back.
    pub(super) fn retry(&mut self) {
        while let Some(request) = self.waiting.pop_front() {
            if !self.hand_over(request) {
                return;
            }
        }
        if self.waiting.capacity() > 0 {
            self.waiting = VecDeque::new();
        }
    }

    fn hand_over(&mut self, request: Request) -> bool {
        match self.desk.try_send(request) {
            Ok(()) => true,
            Err(TrySendError::Full(request)) => {
                self.waiting.push_front(request);
                false
            }
            Err(TrySendError::Closed(_)) => {
                self.desk_gone = true;
                true
            }
        }
    }

    /// Counts what the client has been sent.
    pub(in crate::mqtt) fn count_output(&mut self, bytes: usize) {
        self.metrics.packets_sent.add(self.output.take_packets());
        self.metrics.bytes_sent.add(bytes as u64);
    }

    /// Tells the desk how far a delivery has come; a delivery of the session's own (`seq` 0) is
    /// nobody else's business.
    pub(super) fn acknowledge(&mut self, seq: u64, stage: Stage) {
        if seq != 0 {
            self.ask(Request::Acknowledge {
                connection: self.connection,
                seq,
                stage,
            });
        }
    }
}

/// A session's ends of the live plane, each opened when it is first needed.
pub(in crate::mqtt) struct LiveEnds<P: Plane> {
    /// Holds what is to be flushed.
    pub(in crate::mqtt) publisher: Option<P::Publisher>,
    pub(in crate::mqtt) subscriber: Option<P::Subscriber>,
}
