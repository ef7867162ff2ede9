//! A copy of the blackboard that keeps itself up to date.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::task::JoinHandle;

use super::error::Error;
use super::feed::Feed;
use super::watch::KeyUpdate;
use crate::wire::blackboard::Entry;
use crate::wire::name::Key;

/// A copy of what is below a prefix. It is as old as the last message that came; who must be sure
/// writes with a condition.
#[derive(Debug)]
pub struct BlackboardMirror {
    copy: Arc<RwLock<BoardCopy>>,
    following: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct BoardCopy {
    entries: BTreeMap<Key, Entry>,
    end: Option<Error>,
}

impl BlackboardMirror {
    pub(super) async fn begin(mut feed: Feed<KeyUpdate>) -> Result<BlackboardMirror, Error> {
        let mut copy = BoardCopy::default();
        loop {
            match feed.next().await {
                Some(Ok(KeyUpdate::UpToDate)) => break,
                Some(Ok(update)) => copy.change(update),
                Some(Err(error)) => return Err(error),
                None => return Err(Error::Disconnected),
            }
        }
        let copy = Arc::new(RwLock::new(copy));
        let own = copy.clone();
        let following = tokio::spawn(async move {
            while let Some(update) = feed.next().await {
                let mut copy = own.write().unwrap_or_else(PoisonError::into_inner);
                match update {
                    Ok(update) => copy.change(update),
                    Err(error) => copy.end = Some(error),
                }
            }
        });
        Ok(BlackboardMirror { copy, following })
    }

    /// A key, as far as is known.
    ///
    /// # Errors
    /// What ended the copy: it is old from then on.
    pub fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        self.look(|copy| copy.entries.get(key).cloned())
    }

    /// Everything, by key.
    ///
    /// # Errors
    /// As [`BlackboardMirror::get`].
    pub fn entries(&self) -> Result<Vec<Entry>, Error> {
        self.look(|copy| copy.entries.values().cloned().collect())
    }

    fn look<T>(&self, look: impl FnOnce(&BoardCopy) -> T) -> Result<T, Error> {
        let copy = self.copy.read().unwrap_or_else(PoisonError::into_inner);
        match &copy.end {
            Some(error) => Err(error.clone()),
            None => Ok(look(&copy)),
        }
    }
}

impl Drop for BlackboardMirror {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl BoardCopy {
    fn change(&mut self, update: KeyUpdate) {
        match update {
            KeyUpdate::Set(entry) => {
                self.entries.insert(entry.key.clone(), entry);
            }
            KeyUpdate::Deleted(key) => {
                self.entries.remove(&key);
            }
            KeyUpdate::UpToDate => {}
        }
    }
}
