//! One link that is open before anybody asks for it.
//!
//! To open a link takes the router's answer. A client's first subscription that found a link waiting is with the router as soon as
//! it is read, so that what somebody else publishes right after it is not missed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::router::Link;

/// The link, if there is one. Never more than one, and one being opened.
#[derive(Default)]
pub(super) struct Spare(Mutex<State>);

#[derive(Default)]
struct State {
    /// With the generation of its router.
    link: Option<(u64, Link)>,
    is_opening: bool,
}

impl Spare {
    /// Takes the link, if it is one to the router of this generation.
    pub(super) fn take(&self, generation: u64) -> Option<Link> {
        let (of, link) = self.lock().link.take()?;
        (of == generation).then_some(link)
    }

    /// Whether one is to be opened now, by whoever asks; they then call [`Spare::put`].
    pub(super) fn is_wanted(&self) -> bool {
        let mut state = self.lock();
        let is_wanted = state.link.is_none() && !state.is_opening;
        state.is_opening |= is_wanted;
        is_wanted
    }

    /// Keeps what was opened, unless its router has been replaced meanwhile.
    pub(super) fn put(&self, generation: u64, opened: Option<Link>, newest: impl Fn() -> u64) {
        let mut state = self.lock();
        state.is_opening = false;
        state.link = opened
            .filter(|_| newest() == generation)
            .map(|link| (generation, link));
    }

    /// Lets the link go: its router is being replaced. Called after the new one is known as the current one.
    pub(super) fn clear(&self) {
        self.lock().link = None;
    }

    #[cfg(test)]
    pub(super) fn is_there(&self) -> bool {
        self.lock().link.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
