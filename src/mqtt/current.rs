//! A value that is replaced as a whole while others use it: they keep what they have taken, and see
//! when there is another.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// A value, and how many there were before it.
#[derive(Debug)]
pub struct Versioned<T> {
    value: T,
    version: u64,
}

impl<T> Versioned<T> {
    /// What somebody makes of it, for as long as it is not replaced.
    pub(super) fn map(&self, make: impl FnOnce(&T) -> T) -> Versioned<T> {
        Versioned {
            value: make(&self.value),
            version: self.version,
        }
    }
}

impl<T> Deref for Versioned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// See the module.
#[derive(Debug)]
pub struct Current<T> {
    value: RwLock<Arc<Versioned<T>>>,
    version: AtomicU64,
}

impl<T> Current<T> {
    /// With its first value.
    pub fn new(value: T) -> Current<T> {
        Current {
            value: RwLock::new(Arc::new(Versioned { value, version: 0 })),
            version: AtomicU64::new(0),
        }
    }

    /// The value now.
    pub fn get(&self) -> Arc<Versioned<T>> {
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces it.
    pub fn set(&self, value: T) {
        let mut place = self.value.write().unwrap_or_else(PoisonError::into_inner);
        let version = place.version + 1;
        *place = Arc::new(Versioned { value, version });
        self.version.store(version, Ordering::Release);
    }

    /// Whether a value has been replaced since it was taken; to look costs next to nothing.
    pub(super) fn is_past(&self, taken: &Versioned<T>) -> bool {
        self.version.load(Ordering::Acquire) != taken.version
    }
}
