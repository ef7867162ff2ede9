//! States: whatever is told is a transition of the engine's own tables, and begins where the one
//! before it has ended.

use std::collections::BTreeMap;

use hallward::engine::{Effect, MACHINES, OTHER_EVENTS};
use hallward::wire::name::Room;
use hallward::wire::observe::Event;

use super::{Check, ensure};

/// The states of everything, by what was told of it.
#[derive(Debug, Default)]
pub(super) struct States {
    now: BTreeMap<(Room, &'static str, String), &'static str>,
}

impl States {
    pub(super) fn follow(&mut self, effect: &Effect) -> Check {
        match effect {
            Effect::Event(event) => self.tell(event),
            _ => Ok(()),
        }
    }

    fn tell(&mut self, event: &Event) -> Check {
        let (what, from, to) = (&event.what, event.from.as_deref(), event.to.as_deref());
        if OTHER_EVENTS.contains(&what.as_str()) {
            return Ok(());
        }
        let mut found = MACHINES.iter().flat_map(|machine| {
            let row = machine.row(what, from, to).into_iter();
            row.map(move |row| (machine, row))
        });
        let Some((machine, row)) = found.next() else {
            return Err(format!("no table has this: {event:?}"));
        };
        let subject = match machine.name {
            // Each provider has its own, and each dispatcher its groups.
            "tool" => format!("{} of {}", event.subject, event.who),
            _ => event.subject.clone(),
        };
        let key = (event.room.clone(), machine.name, subject);
        let before = self.now.get(&key).copied();
        // Rooms and groups come into being without an event of their own; a restart of the gateway
        // finds everybody away.
        let unsaid = before.is_none() && matches!(machine.name, "room" | "group");
        let restarted = what == "presence.away" && from.is_none();
        ensure!(
            before == row.from || unsaid || restarted,
            "it was {before:?}: {event:?}"
        );
        match row.to {
            Some(to) => self.now.insert(key, to),
            None => self.now.remove(&key),
        };
        Ok(())
    }
}
