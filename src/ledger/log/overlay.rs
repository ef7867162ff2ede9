//! Commits that are in the log and not yet in the database: the newest value of each key.
//!
//! Keys and values are slices of the frames as they were written, so that what it holds is what the
//! log holds.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use super::super::store::{Batch, Space, StoreError, Visit};
use super::frame::{ChainLink, Frame, Malformed};

/// What lies over a range of the database, by key.
pub(super) type Over = BTreeMap<Bytes, Option<Bytes>>;

/// Changes by space and key; `None` is a delete.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    changes: BTreeMap<(Space, Bytes), Option<Bytes>>,
    /// The last commit in it.
    pub(super) last: ChainLink,
    /// Bytes of the frames.
    pub(super) bytes: usize,
}

impl Overlay {
    /// Adds a commit, which must be later than all that are in it.
    pub(super) fn add(&mut self, frame: &Frame) -> Result<(), Malformed> {
        for change in frame.changes() {
            let (place, value) = change?;
            self.changes.insert(place, value);
        }
        self.last = frame.link();
        self.bytes += frame.bytes().len();
        Ok(())
    }

    /// Adds the changes of a commit, which must be later than all that are in it.
    pub(super) fn add_batch(&mut self, batch: &Batch) {
        for (space, key, value) in batch.iter() {
            let place = (space, Bytes::copy_from_slice(key));
            self.changes.insert(place, value.cloned());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What it says of a key: nothing, that it is deleted, or its value.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Option<Option<&Bytes>> {
        let place = (space, Bytes::copy_from_slice(key));
        self.changes.get(&place).map(Option::as_ref)
    }

    /// Lays what it says of the keys from `from` on and below `to`, or to the end of the space,
    /// over `below`.
    pub(super) fn lay_over(&self, space: Space, from: &[u8], to: Option<&[u8]>, below: &mut Over) {
        let start = Bound::Included((space, Bytes::copy_from_slice(from)));
        let end = match to {
            Some(to) => Bound::Excluded((space, Bytes::copy_from_slice(to))),
            None => Bound::Unbounded,
        };
        if to.is_some_and(|to| to <= from) {
            return;
        }
        let range = self.changes.range((start, end));
        for ((_, key), value) in range.take_while(|((of, _), _)| *of == space) {
            below.insert(key.clone(), value.clone());
        }
    }

    /// Its changes in batches of about `bytes` each.
    pub(super) fn batches(&self, bytes: usize) -> impl Iterator<Item = Batch> {
        let mut changes = self.changes.iter().peekable();
        std::iter::from_fn(move || {
            changes.peek()?;
            let mut batch = Batch::default();
            while batch.bytes() < bytes
                && let Some(((space, key), value)) = changes.next()
            {
                match value {
                    Some(value) => batch.put(*space, &key[..], value.clone()),
                    None => batch.delete(*space, &key[..]),
                }
            }
            Some(batch)
        })
    }
}

/// Visits what `scan` finds below and what lies over it, in the order of the keys.
pub(super) fn visit_merged(
    over: Over,
    scan: impl FnOnce(Visit<'_>) -> Result<(), StoreError>,
    visit: Visit<'_>,
) -> Result<(), StoreError> {
    let mut over = over.into_iter().peekable();
    let mut ended = false;
    scan(&mut |key, value| {
        while let Some((above, newer)) = over.next_if(|(above, _)| &above[..] <= key) {
            if let Some(newer) = newer
                && visit(&above, &newer).is_break()
            {
                ended = true;
                return ControlFlow::Break(());
            }
            if above == key {
                return ControlFlow::Continue(());
            }
        }
        let flow = visit(key, value);
        ended = flow.is_break();
        flow
    })?;
    if !ended {
        for (key, value) in over {
            if let Some(value) = value
                && visit(&key, &value).is_break()
            {
                break;
            }
        }
    }
    Ok(())
}
