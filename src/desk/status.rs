//! What the gateway says about itself under `$SYS`: the figures that the desk alone has, and their
//! messages.
//!
//! They are retained for whoever subscribes later, and never on disk: a gateway that starts has new
//! ones.

use super::clients::Clients;
use super::delivery::DeliveryContext;
use super::distribute::distribute;
use super::journal::JournalStats;
use super::port::Holdings;
use super::retained::RetainedStore;
use super::settings::DeskSettings;
use super::stats::DeskStats;
use crate::engine::Engine;
use crate::wire::filter::SharedFilter;
use crate::wire::message::Message;

/// Looks at every client.
pub(super) fn holdings(clients: &Clients, retained: &RetainedStore) -> Holdings {
    let mut all = Holdings {
        clients: clients.len(),
        connected: clients.connections_len(),
        stored_messages: retained.count(),
        stored_bytes: retained.bytes(),
        retained: retained.count(),
        ..Holdings::default()
    };
    for client in clients.iter() {
        let outbox = &client.outbox;
        all.stored_messages += outbox.mail_len() + outbox.queued_messages();
        all.stored_bytes += outbox.mail_bytes() + outbox.queued_bytes();
        if let Some(session) = client.state.session() {
            let filters = session.subscriptions.keys();
            all.subscriptions += filters.len();
            all.shared_subscriptions += filters
                .filter(|filter| SharedFilter::parse(filter).is_some())
                .count();
        }
    }
    all
}

/// Publishes the figures that changed.
pub(super) fn announce(delivery: &mut DeliveryContext<'_>, figures: Vec<Message>) {
    for figure in figures {
        let known = delivery.retained.get(figure.topic());
        if known.is_some_and(|known| known.payload() == figure.payload()) {
            continue;
        }
        let numbered = delivery.retained.number(&figure);
        delivery.retained.set(numbered.clone());
        distribute(delivery, numbered);
    }
}

/// Sets the gauges as things stand.
pub(super) fn show_gauges(
    stats: &DeskStats,
    settings: &DeskSettings,
    clients: &Clients,
    retained: &RetainedStore,
    engine: &Engine,
    journal: JournalStats,
) {
    stats.clients.set_len(clients.len());
    stats.connections.set_len(clients.connections_len());
    stats.retained.set_len(retained.count());
    stats.retained_bytes.set_len(retained.bytes());
    stats.journal.set(journal);
    let counted = engine.stats();
    let key_bytes = counted.key_bytes;
    stats.engine.set(counted);
    let (budgets, memory) = (&stats.budgets, &settings.memory);
    budgets.set("memory.max_queued", memory.total(), memory.most_stored());
    let most = clients.limits().max_clients;
    budgets.set("session.max_sessions", clients.len(), most);
    let most = engine.most_key_bytes();
    budgets.set("blackboard.max_bytes", key_bytes, most);
    for (key, used, most) in retained.use_by_clients() {
        budgets.set(key, used, most);
    }
}

/// Says which rooms exist and may not be used.
pub(super) fn warn_of_barred_rooms(engine: &Engine) {
    /// So many are named.
    const NAMED: usize = 20;
    let rooms = engine.barred_rooms().count();
    if rooms == 0 {
        return;
    }
    let named = engine.barred_rooms().take(NAMED);
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
