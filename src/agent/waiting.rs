//! Outcomes that somebody waits for, by what they are of.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::error::Error;
use super::link::LinkHandle;

/// One outcome for each key; those that nobody waits for are not kept.
#[derive(Debug)]
pub(super) struct Expectations<K, V>(Mutex<HashMap<K, watch::Sender<Option<V>>>>);

impl<K, V> Default for Expectations<K, V> {
    fn default() -> Expectations<K, V> {
        Expectations(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Expectations<K, V> {
    fn map(&self) -> MutexGuard<'_, HashMap<K, watch::Sender<Option<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait; several may wait for the same.
    pub(super) fn expect(&self, key: K) -> watch::Receiver<Option<V>> {
        let mut map = self.map();
        // Who gave up left its place behind.
        map.retain(|_, sender| sender.receiver_count() > 0);
        let sender = map.entry(key).or_insert_with(|| watch::Sender::new(None));
        sender.subscribe()
    }

    /// Whether anybody waits for it is told.
    pub(super) fn arrived(&self, key: K, value: V) {
        if let Some(sender) = self.map().remove(&key) {
            sender.send_replace(Some(value));
        }
    }
}

/// What the gateway says that something came to may be quicker than the mail that says it, and the
/// parts before: those have so long to come.
const MAIL: Duration = Duration::from_secs(1);

/// What was found, once mail has had its time; never if there is nothing.
pub(super) async fn after_mail<T: Clone>(found: Option<&T>) -> T {
    match found {
        Some(found) => {
            tokio::time::sleep(MAIL).await;
            found.clone()
        }
        None => std::future::pending().await,
    }
}

/// Waits for an outcome, or for the end of the connection.
pub(super) async fn outcome<V: Clone>(
    link: &LinkHandle,
    expected: &mut watch::Receiver<Option<V>>,
) -> Result<V, Error> {
    let mut connections = link.connections();
    tokio::select! {
        biased;
        value = expected.wait_for(Option::is_some) => match value.as_deref() {
            Ok(Some(value)) => Ok(value.clone()),
            _ => Err(link.status().gone()),
        },
        () = connections.over() => Err(link.status().gone()),
    }
}
