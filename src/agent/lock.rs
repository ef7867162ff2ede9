//! A lock of the blackboard, for as long as it is held.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::command::millis;
use super::error::Error;
use super::room::Room;
use crate::wire::blackboard::{Fence, Lock, LockState};
use crate::wire::topic::Topic;

/// A lock that this agent holds. Its lease is renewed in the background; dropped, it is free when
/// the lease is over, and after [`HeldBoardLock::release`] at once.
#[derive(Debug)]
pub struct HeldBoardLock {
    room: Room,
    state: LockState,
    lost: watch::Receiver<Option<Error>>,
    keeping: JoinHandle<()>,
}

impl HeldBoardLock {
    pub(super) fn keep(room: Room, state: LockState, ttl: Duration) -> HeldBoardLock {
        let (lose, lost) = watch::channel(None);
        let keeper = room.clone();
        let held = state.clone();
        let keeping = tokio::spawn(async move {
            loop {
                tokio::time::sleep(ttl / 3).await;
                match renew(&keeper, &held, ttl).await {
                    Ok(()) => {}
                    // As long as nobody has said no, it may still be ours.
                    Err(error) if error.is_retryable() => {
                        tracing::warn!(lock = %held.name, %error, "not renewed");
                    }
                    Err(error) => {
                        lose.send_replace(Some(error));
                        return;
                    }
                }
            }
        });
        HeldBoardLock {
            room,
            state,
            lost,
            keeping,
        }
    }

    /// Lets a write take effect only while the lock is held.
    pub fn fence(&self) -> Fence {
        Fence {
            lock: self.state.name.clone(),
            token: self.state.token,
        }
    }

    /// As the gateway gave it.
    pub fn state(&self) -> &LockState {
        &self.state
    }

    /// Waits until it is lost: to another, because the connection was gone for too long, or for
    /// good. Who writes with [`HeldBoardLock::fence`] need not ask.
    pub async fn lost(&mut self) -> Error {
        let lost = self.lost.wait_for(Option::is_some).await;
        let why = lost.ok().and_then(|why| why.clone());
        why.unwrap_or(Error::Disconnected)
    }

    /// Gives it back.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not held any more.
    pub async fn release(self) -> Result<(), Error> {
        self.keeping.abort();
        let name = self.state.name.as_str();
        self.room
            .blackboard()
            .unlock(name, Some(self.state.token))
            .await
    }
}

impl Drop for HeldBoardLock {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

async fn renew(room: &Room, held: &LockState, ttl: Duration) -> Result<(), Error> {
    let body = Lock {
        ttl_ms: Some(millis(ttl)),
        token: Some(held.token),
        ..Lock::default()
    };
    let topic = Topic::BlackboardLock {
        me: room.me(),
        name: held.name.clone(),
    };
    room.call(topic, body).await.map(drop)
}
