//! Everything that is in the log and not in the database: shared by the thread that commits, the
//! flusher and readers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::super::store::Space;
use super::frame::Frame;
use super::overlay::{Over, Overlay};

/// What was sealed, and what came since. Each is held for as long as the database lacks any of it.
#[derive(Debug, Default)]
pub(super) struct PendingOverlays(Mutex<Overlays>);

#[derive(Debug, Default)]
struct Overlays {
    /// Oldest first.
    sealed: VecDeque<Arc<Overlay>>,
    current: Overlay,
}

impl PendingOverlays {
    /// Adds a commit to what the current segment says.
    pub(super) fn add(&self, frame: &Frame) {
        let added = self.lock().current.add(frame);
        debug_assert!(added.is_ok(), "a frame that was just encoded reads");
    }

    /// What was added since the last time, for the flusher, to whom it goes in this order.
    pub(super) fn seal(&self) -> Arc<Overlay> {
        let mut overlays = self.lock();
        let sealed = Arc::new(std::mem::take(&mut overlays.current));
        overlays.sealed.push_back(Arc::clone(&sealed));
        sealed
    }

    /// The database has all that the oldest of what was sealed says.
    pub(super) fn flushed(&self) {
        self.lock().sealed.pop_front();
    }

    /// Whether nothing was added since the last was sealed.
    pub(super) fn is_sealed(&self) -> bool {
        self.lock().current.is_empty()
    }

    /// All that was sealed and is not in the database, oldest first.
    pub(super) fn sealed(&self) -> Vec<Arc<Overlay>> {
        self.lock().sealed.iter().cloned().collect()
    }

    /// The newest that is said of a key: nothing, that it is deleted, or its value.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Option<Option<Bytes>> {
        let overlays = self.lock();
        overlays
            .newest_first()
            .find_map(|overlay| overlay.get(space, key))
            .map(|value| value.cloned())
    }

    /// The newest that is said of each key from `from` on and below `to`.
    pub(super) fn over(&self, space: Space, from: &[u8], to: Option<&[u8]>) -> Over {
        let overlays = self.lock();
        let mut over = Over::new();
        for sealed in &overlays.sealed {
            sealed.lay_over(space, from, to, &mut over);
        }
        overlays.current.lay_over(space, from, to, &mut over);
        over
    }

    fn lock(&self) -> MutexGuard<'_, Overlays> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Overlays {
    fn newest_first(&self) -> impl Iterator<Item = &Overlay> {
        let sealed = self.sealed.iter().rev().map(|overlay| &**overlay);
        std::iter::once(&self.current).chain(sealed)
    }
}
