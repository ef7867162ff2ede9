//! Who was refused lately: so that each client's refusals fill one log line a minute, and strangers cannot fill the log.

use std::collections::HashMap;

use crate::wire::Millis;

/// Clients remembered at once; while it is full of younger entries, further clients are counted and not logged.
const MAX_CLIENTS: usize = 4096;
/// How long one line stands for a client, in milliseconds.
const PERIOD: Millis = 60_000;
/// The longest client id that is remembered, in bytes; longer ones share a line with those that begin alike.
const MAX_ID_BYTES: usize = 128;

/// The last minute.
#[derive(Debug, Default)]
pub(super) struct Diary {
    logged: HashMap<Box<str>, Millis>,
}

impl Diary {
    /// Whether a refusal of this client is worth a line now.
    pub(super) fn note(&mut self, now: Millis, client: &str) -> bool {
        let client = shortened(client);
        if let Some(at) = self.logged.get_mut(client) {
            let due = now >= *at + PERIOD;
            if due {
                *at = now;
            }
            return due;
        }
        if self.logged.len() >= MAX_CLIENTS {
            self.logged.retain(|_, at| now < *at + PERIOD);
        }
        if self.logged.len() >= MAX_CLIENTS {
            return false;
        }
        self.logged.insert(client.into(), now);
        true
    }
}

/// As much of a client id as is remembered and shown.
pub(super) fn shortened(client: &str) -> &str {
    let mut end = client.len().min(MAX_ID_BYTES);
    while !client.is_char_boundary(end) {
        end -= 1;
    }
    &client[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_fills_one_line_a_minute() {
        let mut diary = Diary::default();
        assert!(diary.note(0, "a"));
        assert!(!diary.note(59_999, "a"));
        assert!(diary.note(59_999, "b"));
        assert!(diary.note(60_000, "a"));
        assert!(!diary.note(60_001, "a"));
    }

    #[test]
    fn strangers_cannot_fill_it() {
        let mut diary = Diary::default();
        for n in 0..10_000u64 {
            assert_eq!(diary.note(n / 1000, &n.to_string()), n < MAX_CLIENTS as u64);
        }
        assert_eq!(diary.logged.len(), MAX_CLIENTS);
        assert!(diary.note(100_000, "later"));
        assert_eq!(diary.logged.len(), 1);
        assert!(diary.note(100_000, &"é".repeat(1000)));
        assert!(!diary.note(100_000, &"é".repeat(1001)));
    }
}
