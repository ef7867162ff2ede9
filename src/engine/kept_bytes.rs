//! What is kept of things that are over, for whoever asks what came of them: so many bytes, and
//! beyond those the oldest go.
//!
//! It counts; what is kept stands with the things themselves.

use std::collections::BTreeMap;

/// How much one input forgets at most for a limit that was lowered, so that none takes long;
/// further inputs go on.
pub(super) const MOST_AT_ONCE: usize = 10_000;

/// Which of them have something that is kept, and how many bytes.
#[derive(Debug)]
pub(super) struct KeptBytes<K> {
    /// Oldest first.
    bytes_of: BTreeMap<K, usize>,
    bytes: usize,
}

impl<K> Default for KeptBytes<K> {
    fn default() -> KeptBytes<K> {
        KeptBytes {
            bytes_of: BTreeMap::new(),
            bytes: 0,
        }
    }
}

impl<K: Ord> KeptBytes<K> {
    /// Something is over; what has no bytes needs no keeping.
    pub(super) fn add(&mut self, key: K, bytes: usize) {
        self.remove(&key);
        if bytes > 0 {
            self.bytes += bytes;
            self.bytes_of.insert(key, bytes);
        }
    }

    /// It is forgotten, or goes on.
    pub(super) fn remove(&mut self, key: &K) {
        self.bytes -= self.bytes_of.remove(key).unwrap_or_default();
    }

    /// It stands under another key now.
    pub(super) fn rename(&mut self, before: &K, now: K) {
        if let Some(bytes) = self.bytes_of.remove(before) {
            self.bytes_of.insert(now, bytes);
        }
    }

    /// The oldest, if there are more bytes than this; it is kept no longer.
    pub(super) fn pop_over(&mut self, limit: usize) -> Option<K> {
        if self.bytes <= limit {
            return None;
        }
        let (key, bytes) = self.bytes_of.pop_first()?;
        self.bytes -= bytes;
        Some(key)
    }
}
