//! Why the last command was refused, for whoever acknowledges it.

use super::Engine;
use crate::wire::reply::Rejection;

impl Engine {
    /// Why the last command was refused, once: its code, its reason and its path.
    pub fn take_refusal(&mut self) -> Option<Rejection> {
        self.refusal.take()
    }
}
