//! Collections that were long once and are short now give their places back: a peak is not kept for
//! ever.
//!
//! Trees and what is emptied by replacing it need nothing of the kind. Each call costs a
//! comparison, and what it moves was paid for by as many removals.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

/// So many places may stay, whatever they are for.
const KEPT: usize = 1024;

/// Something with places that may be more than it needs.
pub trait Slack {
    /// Gives most of them back if it uses a quarter or less. To be called after something was taken
    /// out.
    fn give_back(&mut self);
}

/// How many places are to stay, if that is not all.
fn stay(len: usize, capacity: usize) -> Option<usize> {
    (capacity > KEPT && len <= capacity / 4).then_some((len * 2).max(KEPT))
}

impl<T> Slack for VecDeque<T> {
    fn give_back(&mut self) {
        if let Some(stay) = stay(self.len(), self.capacity()) {
            self.shrink_to(stay);
        }
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Slack for HashMap<K, V, S> {
    fn give_back(&mut self) {
        if let Some(stay) = stay(self.len(), self.capacity()) {
            self.shrink_to(stay);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emptied_is_small_again_and_is_moved_seldom() {
        let mut queue: VecDeque<u64> = (0..1_000_000).collect();
        let mut map: HashMap<u64, ()> = (0..1_000_000).map(|n| (n, ())).collect();
        let mut moved = 0;
        for n in 0..1_000_000 {
            let before = queue.capacity();
            queue.pop_front();
            queue.give_back();
            moved += usize::from(queue.capacity() != before);
            map.remove(&n);
            map.give_back();
        }
        let most = 2 * KEPT;
        assert!(queue.capacity() <= most, "{}", queue.capacity());
        assert!(map.capacity() <= most, "{}", map.capacity());
        assert!(moved <= 12, "{moved}");
    }

    #[test]
    fn what_is_small_or_in_use_stays_as_it_is() {
        let mut queue: VecDeque<u8> = VecDeque::with_capacity(KEPT);
        queue.give_back();
        assert!(queue.capacity() >= KEPT);
        let mut queue: VecDeque<u8> = VecDeque::with_capacity(8 * KEPT);
        queue.resize(4 * KEPT, 0);
        queue.give_back();
        assert!(queue.capacity() >= 8 * KEPT);
    }
}
