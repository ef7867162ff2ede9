//! A store in memory for tests: the same order and atomicity as the real one, gone with the
//! process.
//!
//! It never fails and touches no file. Tests use it directly, and [`super::fault`] builds crash
//! images on it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, RwLock};

use bytes::Bytes;

use super::store::{Batch, Space, Store, StoreError, StoreReader, Visit, VisitKey, prefix_end};

type MemoryRows = BTreeMap<(Space, Vec<u8>), Bytes>;

/// All spaces in one ordered map. A clone shares nothing with its original.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Arc<RwLock<MemoryRows>>,
}

/// Sees what its store has at the moment.
struct MemoryReader(Arc<RwLock<MemoryRows>>);

fn look(rows: &RwLock<MemoryRows>) -> std::sync::RwLockReadGuard<'_, MemoryRows> {
    rows.read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Clone for MemoryStore {
    fn clone(&self) -> Self {
        Self {
            rows: Arc::new(RwLock::new(look(&self.rows).clone())),
        }
    }
}

impl PartialEq for MemoryStore {
    fn eq(&self, other: &Self) -> bool {
        *look(&self.rows) == *look(&other.rows)
    }
}

impl Eq for MemoryStore {}

impl StoreReader for MemoryReader {
    fn range(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        if from < to {
            for ((_, key), value) in
                look(&self.0).range((space, from.to_vec())..(space, to.to_vec()))
            {
                if visit(key, value).is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn keys(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        visit: VisitKey<'_>,
    ) -> Result<(), StoreError> {
        self.range(space, from, to, &mut |key, _| visit(key))
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of what is stored now.
    pub fn snapshot(&self) -> Self {
        self.clone()
    }

    /// Rows over all spaces.
    pub fn len(&self) -> usize {
        look(&self.rows).len()
    }

    /// No row in any space.
    pub fn is_empty(&self) -> bool {
        look(&self.rows).is_empty()
    }

    pub(super) fn apply(&mut self, batch: &Batch) {
        let mut rows = self
            .rows
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for (space, key, value) in batch.iter() {
            match value {
                Some(value) => rows.insert((space, key.to_vec()), value.clone()),
                None => rows.remove(&(space, key.to_vec())),
            };
        }
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.apply(batch);
        Ok(())
    }

    fn scan(&self, space: Space, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        let from = Bound::Included((space, prefix.to_vec()));
        let to = match prefix_end(prefix) {
            Some(end) => Bound::Excluded((space, end)),
            None => Bound::Unbounded,
        };
        for ((at, key), value) in look(&self.rows).range((from, to)) {
            if *at != space || visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(look(&self.rows)
            .get(&(space, key.to_vec()))
            .map(|value| value.to_vec()))
    }

    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        Ok(Box::new(MemoryReader(Arc::clone(&self.rows))))
    }

    fn view(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        self.clone().reader()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    fn keys(store: &MemoryStore, space: Space, prefix: &[u8]) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let visit = &mut |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        };
        store.scan(space, prefix, visit).unwrap();
        keys
    }

    #[test]
    fn scan_sees_the_prefix_of_one_space_in_order() {
        let mut batch = Batch::default();
        for key in [&b"b/2"[..], b"a", b"b/1", b"c", b"b"] {
            batch.put(Space::Session, key, vec![]);
            batch.put(Space::Outbox, key, vec![]);
        }
        let mut store = MemoryStore::new();
        store.commit(&batch).unwrap();
        assert_eq!(
            keys(&store, Space::Session, b"b"),
            [&b"b"[..], b"b/1", b"b/2"]
        );
        assert_eq!(keys(&store, Space::Session, b"b/"), [b"b/1", b"b/2"]);
        assert_eq!(keys(&store, Space::Session, b"").len(), 5);
        assert!(keys(&store, Space::Retained, b"").is_empty());
    }

    #[test]
    fn snapshot_stays_as_it_was() {
        let mut store = MemoryStore::new();
        let before = store.snapshot();
        let mut batch = Batch::default();
        batch.put(Space::Meta, b"k", vec![1]);
        store.commit(&batch).unwrap();
        assert!(before.is_empty());
        assert_eq!(store.get(Space::Meta, b"k").unwrap(), Some(vec![1]));
    }
}
