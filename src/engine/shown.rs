//! Times as others see them: of the wall clock, wherever that is now.
//!
//! The engine lives on a timeline that never jumps, and everything in it that is due or remembered
//! is a point of that line. What leaves it says when something was or will be, which is for people
//! and is a time of the wall clock. This is the one place that knows the difference; who sends a
//! message says with [`Dated`] which of its fields are times.

use bytes::Bytes;
use serde::Serialize;

use crate::wire::Millis;
use crate::wire::json::{self, Json};
use crate::wire::mailbox::{Mail, MailboxPage, Purged};
use crate::wire::observe::ReplayPage;
use crate::wire::presence::{Departed, Presence, Roll};
use crate::wire::reply::Reply;

/// How far the wall clock is ahead of the timeline, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wall {
    pub(super) ahead: i64,
}

impl Wall {
    /// What the wall clock showed then, or will show, by what is known now. Unix milliseconds.
    pub(super) fn at(self, at: Millis) -> Millis {
        at.saturating_add_signed(self.ahead)
    }

    /// Where on the timeline it is when the wall clock shows this, by what is known now.
    pub(super) fn point(self, shown: Millis) -> Millis {
        shown.saturating_add_signed(self.ahead.saturating_neg())
    }

    /// A message with its times as others see them.
    pub(super) fn show<T: Dated>(self, mut message: T) -> T {
        message.date(self);
        message
    }

    /// The same as JSON.
    pub(super) fn encode<T: Dated + Clone + Serialize>(self, message: &T) -> Bytes {
        if self == Wall::default() {
            return json::encode(message);
        }
        json::encode(&self.show(message.clone()))
    }
}

/// What says when something was or will be.
pub(super) trait Dated {
    /// Turns every point of the timeline in it into a time of the wall clock.
    fn date(&mut self, wall: Wall);
}

impl Dated for Millis {
    fn date(&mut self, wall: Wall) {
        *self = wall.at(*self);
    }
}

impl<T: Dated> Dated for Option<T> {
    fn date(&mut self, wall: Wall) {
        if let Some(inner) = self {
            inner.date(wall);
        }
    }
}

impl<T: Dated> Dated for Box<T> {
    fn date(&mut self, wall: Wall) {
        (**self).date(wall);
    }
}

impl<T: Dated> Dated for Vec<T> {
    fn date(&mut self, wall: Wall) {
        for one in self {
            one.date(wall);
        }
    }
}

/// What was made for others before.
impl Dated for Json {
    fn date(&mut self, _: Wall) {}
}

/// The fields of messages that are times, or hold some.
macro_rules! dated {
    ($($message:ty { $($field:ident),* })*) => {
        $(impl $crate::engine::shown::Dated for $message {
            fn date(&mut self, wall: $crate::engine::shown::Wall) {
                // Unused where a message has no times.
                let _ = wall;
                $(self.$field.date(wall);)*
            }
        })*
    };
}

pub(super) use dated;

dated! {
    Presence { since, last_seen }
    Departed { since, last_seen, left_at }
    Mail { expires_at }
    Roll { at, agents, departed }
    MailboxPage { mail }
    Purged {}
    // Events are kept as they were told.
    ReplayPage {}
    Reply { lock, current }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_and_what_is_asked_for_are_the_same_point() {
        for ahead in [0, 5_000, -5_000, i64::MAX, i64::MIN] {
            let wall = Wall { ahead };
            let at = 1_700_000_000_000;
            let shown = wall.at(at);
            let back = wall.point(shown);
            if shown != 0 && shown < i64::MAX as u64 {
                assert_eq!(back, at);
            }
        }
    }
}
