//! What became of the connection, for whoever wants to know.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::agent::error::Error;

/// Changes that one listener may leave unread; more, and it loses the oldest news: it is closed.
const UNREAD: usize = 256;

/// A change of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionStatus {
    /// It is up. `resumed`: with the session that was there before, so that nothing was missed.
    Connected {
        /// Whether the session was kept.
        resumed: bool,
    },
    /// It is down, and is being made again.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// Somebody else has this agent's name; it stays down.
    Taken,
    /// It was closed, or the gateway will not have this agent any more.
    Closed {
        /// Why.
        reason: String,
    },
}

/// How the connection is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::agent) struct Linked {
    /// How many connections there have been.
    pub(in crate::agent) count: u64,
    /// Whether the last one is up.
    pub(in crate::agent) is_up: bool,
    /// Of these, how many began a new session.
    pub(in crate::agent) sessions: u64,
    /// Whether there will be no further one.
    pub(in crate::agent) is_over: bool,
}

/// Waits for what becomes of a connection.
#[derive(Debug, Clone)]
pub(in crate::agent) struct LinkWatch(watch::Receiver<Linked>);

impl LinkWatch {
    /// How it is now.
    pub(in crate::agent) fn now(&self) -> Linked {
        *self.0.borrow()
    }

    /// Waits for a connection other than this one; `None`: there will be none.
    pub(in crate::agent) async fn other_than(&mut self, count: u64) -> Option<Linked> {
        self.until(|linked| linked.is_up && linked.count != count)
            .await
    }

    /// Waits for a session other than this one; `None`: there will be none.
    pub(in crate::agent) async fn session_other_than(&mut self, sessions: u64) -> Option<Linked> {
        self.until(|linked| linked.is_up && linked.sessions != sessions)
            .await
    }

    /// Waits for the end.
    pub(in crate::agent) async fn over(&mut self) {
        self.until(|_| false).await;
    }

    async fn until(&mut self, is_it: impl Fn(&Linked) -> bool) -> Option<Linked> {
        let changed = self
            .0
            .wait_for(|linked| linked.is_over || is_it(linked))
            .await;
        changed
            .ok()
            .map(|linked| *linked)
            .filter(|linked| !linked.is_over)
    }
}

/// Where the driver puts up what happens.
#[derive(Debug)]
pub(in crate::agent) struct StatusBoard {
    linked: watch::Sender<Linked>,
    state: Mutex<BoardState>,
}

#[derive(Debug, Default)]
struct BoardState {
    listeners: Vec<mpsc::Sender<ConnectionStatus>>,
    trouble: Option<String>,
    end: Option<Error>,
}

impl StatusBoard {
    pub(super) fn new() -> StatusBoard {
        StatusBoard {
            linked: watch::Sender::new(Linked::default()),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, BoardState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn linked(&self) -> LinkWatch {
        LinkWatch(self.linked.subscribe())
    }

    pub(super) fn count(&self) -> u64 {
        self.linked.borrow().count
    }

    /// Why nothing can be sent any more.
    pub(in crate::agent) fn gone(&self) -> Error {
        self.state().end.clone().unwrap_or(Error::Disconnected)
    }

    /// Whether, and why, nothing can be sent any more.
    pub(in crate::agent) fn end(&self) -> Option<Error> {
        self.state().end.clone()
    }

    pub(super) fn last_trouble(&self) -> String {
        let trouble = self.state().trouble.clone();
        trouble.unwrap_or_else(|| "nobody answered".to_owned())
    }

    /// Every change from now on.
    pub(in crate::agent) fn listen(&self) -> mpsc::Receiver<ConnectionStatus> {
        let (listener, changes) = mpsc::channel(UNREAD);
        self.state().listeners.push(listener);
        changes
    }

    pub(super) fn connected(&self, resumed: bool) {
        self.linked.send_modify(|linked| {
            linked.count += 1;
            linked.sessions += u64::from(!resumed);
            linked.is_up = true;
        });
        self.tell(&ConnectionStatus::Connected { resumed });
    }

    /// A connection that did not come about is no change; a broken one is.
    pub(super) fn disconnected(&self, reason: String) {
        self.state().trouble = Some(reason.clone());
        if self.linked.borrow().is_up {
            self.linked.send_modify(|linked| linked.is_up = false);
            self.tell(&ConnectionStatus::Disconnected { reason });
        }
    }

    pub(super) fn ended(&self, error: Error) {
        let change = match &error {
            Error::SessionTaken => ConnectionStatus::Taken,
            other => ConnectionStatus::Closed {
                reason: other.to_string(),
            },
        };
        self.state().end = Some(error);
        self.linked.send_modify(|linked| {
            linked.is_up = false;
            linked.is_over = true;
        });
        self.tell(&change);
        self.state().listeners.clear();
    }

    fn tell(&self, change: &ConnectionStatus) {
        let listeners = &mut self.state().listeners;
        listeners.retain(|listener| listener.try_send(change.clone()).is_ok());
    }
}
