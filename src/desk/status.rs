//! What the gateway says about itself under `$SYS`: the figures that the desk alone has, and their messages.
//!
//! They are retained for whoever subscribes later, and never on disk: a gateway that starts has new ones.

use super::core::Desk;
use super::port::Holdings;
use crate::wire::Millis;
use crate::wire::filter::Shared;
use crate::wire::message::Message;

impl Desk {
    /// Looks at every client.
    pub(super) fn holdings(&self) -> Holdings {
        let mut all = Holdings {
            clients: self.clients.len(),
            connected: self.connections.len(),
            stored_messages: self.retained.count(),
            stored_bytes: self.retained.bytes(),
            retained: self.retained.count(),
            ..Holdings::default()
        };
        for client in self.clients.iter() {
            let outbox = &client.outbox;
            all.stored_messages += outbox.mail_len() + outbox.queued_messages();
            all.stored_bytes += outbox.mail_bytes() + outbox.queued_bytes();
            if let Some(session) = client.state.session() {
                let filters = session.subscriptions.keys();
                all.subscriptions += filters.len();
                all.shared_subscriptions += filters
                    .filter(|filter| Shared::parse(filter).is_some())
                    .count();
            }
        }
        all
    }

    /// Publishes the figures that changed.
    pub(super) fn announce(&mut self, now: Millis, figures: Vec<Message>) {
        for figure in figures {
            let known = self.retained.get(figure.topic());
            if known.is_some_and(|known| known.payload() == figure.payload()) {
                continue;
            }
            let stamped = self.stamp(&figure);
            self.retained.set(stamped.clone());
            self.distribute(now, stamped);
        }
    }
}
