//! Other settings while the desk runs: a request like any other, so that whoever asks before it is judged by the old ones and whoever
//! asks after it by the new ones.
//!
//! What waits, is retained or remembered stays, however much it is by a lower limit. Of the past as much goes as is too much, a portion
//! with each batch.

use super::core::Desk;
use super::limits::Configuration;
use crate::engine::Input;
use crate::wire::Millis;

impl Desk {
    /// From now on these settings hold.
    pub(super) fn configure(&mut self, now: Millis, new: Configuration) {
        self.settings.clients = new.clients;
        self.settings.retained = new.retained;
        self.settings.linger_ms = new.linger_ms;
        self.settings.memory.set_max(new.max_memory);
        self.clients.limits = new.clients;
        self.retained.set_limits(new.retained);
        self.journal.set_limits(new.journal.clone());
        self.settings.journal = new.journal;
        self.feed(now, Input::Settings(new.engine));
        if new.respells {
            self.respell_retained();
        }
        self.warn_of_barred_rooms();
    }

    /// Says which rooms exist and may not be used.
    pub(super) fn warn_of_barred_rooms(&self) {
        /// So many are named.
        const NAMED: usize = 20;
        let rooms = self.engine.barred_rooms().count();
        if rooms == 0 {
            return;
        }
        let named = self.engine.barred_rooms().take(NAMED);
        let mut names: Vec<&str> = named.map(|room| room.as_str()).collect();
        if rooms > NAMED {
            names.push("…");
        }
        let names = names.join(", ");
        tracing::warn!(
            rooms,
            names,
            "rooms that exist are not configured: they are closed (rooms.create), and what is in them is kept"
        );
    }
}
