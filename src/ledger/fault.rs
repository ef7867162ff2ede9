//! A store for tests that fails when told to and remembers every state that a crash could have left
//! behind.
//!
//! It owns a [`MemoryStore`] and the list of commits applied to it. It never tears a batch:
//! atomicity is the contract, so the states worth testing are those between commits. Clones are
//! handles of one store, so that a test keeps one while the committer owns another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::memory::MemoryStore;
use super::store::{Batch, Space, Store, StoreError, StoreReader, Visit};

/// A scripted store. Cloning shares it.
#[derive(Debug, Default, Clone)]
pub struct FaultStore {
    shared: Arc<Mutex<FaultState>>,
}

#[derive(Debug, Default)]
struct FaultState {
    initial: MemoryStore,
    current: MemoryStore,
    commits: Vec<Batch>,
    failures: Vec<(usize, StoreError)>,
    refused: usize,
}

impl FaultStore {
    /// An empty store without scripted failures.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that starts with these rows, as after a recovery.
    pub fn from_memory(initial: MemoryStore) -> Self {
        let shared = FaultState {
            current: initial.snapshot(),
            initial,
            ..FaultState::default()
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// The next `n` commits fail with `error` and change nothing. Calls add up in order.
    pub fn fail_next(&self, n: usize, error: StoreError) {
        self.lock().failures.push((n, error));
    }

    /// Drops what is left of the script: the disk works again.
    pub fn heal(&self) {
        self.lock().failures.clear();
    }

    /// Commits that were applied.
    pub fn commits(&self) -> usize {
        self.lock().commits.len()
    }

    /// What was applied, in order.
    pub fn batches(&self) -> Vec<Batch> {
        self.lock().commits.clone()
    }

    /// Commits that were refused by the script.
    pub fn refused(&self) -> usize {
        self.lock().refused
    }

    /// What is stored now.
    pub fn snapshot(&self) -> MemoryStore {
        self.lock().current.snapshot()
    }

    /// The store as a crash would have left it: after 0, 1, 2, … and all commits so far.
    pub fn images(&self) -> impl Iterator<Item = MemoryStore> + use<> {
        let shared = self.lock();
        let initial = shared.initial.snapshot();
        let later = shared
            .commits
            .clone()
            .into_iter()
            .scan(initial.snapshot(), |image, batch| {
                image.apply(&batch);
                Some(image.snapshot())
            });
        std::iter::once(initial).chain(later)
    }

    fn lock(&self) -> MutexGuard<'_, FaultState> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultState {
    fn scripted_failure(&mut self) -> Option<StoreError> {
        self.failures.retain(|(left, _)| *left > 0);
        let (left, error) = self.failures.first_mut()?;
        *left -= 1;
        self.refused += 1;
        Some(error.clone())
    }
}

impl Store for FaultStore {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut shared = self.lock();
        if let Some(error) = shared.scripted_failure() {
            return Err(error);
        }
        shared.current.apply(batch);
        shared.commits.push(batch.clone());
        Ok(())
    }

    fn scan(&self, space: Space, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.snapshot().scan(space, prefix, visit)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.lock().current.get(space, key)
    }

    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        self.lock().current.reader()
    }

    fn view(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        self.lock().current.view()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(changes: &[(&[u8], Option<u8>)]) -> Batch {
        let mut batch = Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(Space::Engine, *key, vec![*value]),
                None => batch.delete(Space::Engine, *key),
            }
        }
        batch
    }

    #[test]
    fn images_are_the_states_between_commits_and_nothing_else() {
        let mut store = FaultStore::new();
        store
            .commit(&batch(&[(b"a", Some(1)), (b"b", Some(1))]))
            .unwrap();
        store
            .commit(&batch(&[(b"a", None), (b"b", Some(2))]))
            .unwrap();
        let values: Vec<_> = store
            .images()
            .map(|image| {
                [&b"a"[..], b"b"].map(|key| image.get(Space::Engine, key).unwrap().map(|v| v[0]))
            })
            .collect();
        assert_eq!(values, [[None, None], [Some(1), Some(1)], [None, Some(2)]]);
    }

    #[test]
    fn scripted_failures_come_in_order_and_change_nothing() {
        let mut store = FaultStore::from_memory(MemoryStore::new());
        store.fail_next(
            2,
            StoreError::Full {
                path: "disk".into(),
            },
        );
        store.fail_next(
            1,
            StoreError::Corrupt {
                path: "disk".into(),
                reason: "bad page".into(),
            },
        );
        let change = batch(&[(b"a", Some(1))]);
        let outcomes: Vec<_> = (0..4)
            .map(|_| store.commit(&change).map_err(|error| error.retryable()))
            .collect();
        assert_eq!(outcomes, [Err(true), Err(true), Err(false), Ok(())]);
        assert_eq!(
            (store.commits(), store.refused(), store.images().count()),
            (1, 3, 2)
        );
    }
}
