//! Who is here, and who was: the list of a room's agents, and what is remembered of those who left.
//!
//! It looks and remembers; `presence` and `session` say who comes and goes.

use std::ops::Bound;

use serde::Serialize;

use crate::wire::json;
use crate::wire::name::Agent;
use crate::wire::presence::{Departed, Presence, PresenceList, Roll};

use crate::engine::core::RoomChange;
use crate::engine::member::Member;
use crate::engine::replies::{Accepted, Call, Outcome, page_limit, text_at_most};
use crate::engine::tx::RoomTx;

/// Agents in a page where the question does not say.
const USUAL_PAGE: u32 = 100;
/// Agents in a page at most.
const LARGEST_PAGE: u32 = 1_000;
/// A page looks at so many agents at least for those that it lists, and at twice as many as it may
/// list.
const LOOKS: usize = 1_000;

/// A page while it fills.
struct MemberPage {
    events: usize,
    bytes: usize,
    looks: usize,
    /// Who was looked at last.
    last: Option<Agent>,
    is_full: bool,
}

impl MemberPage {
    /// Whether the next one may be looked at.
    fn goes_on(&mut self) -> bool {
        self.is_full |= self.looks == 0 || self.events == 0;
        self.looks = self.looks.saturating_sub(1);
        !self.is_full
    }

    /// Whether it fits; the first always does.
    fn takes<T: Serialize>(&mut self, agent: &Agent, listed: &T) -> bool {
        let bytes = json::length(listed) + 1;
        if bytes > self.bytes && self.last.is_some() {
            self.is_full = true;
            return false;
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        self.events -= 1;
        self.last = Some(agent.clone());
        true
    }

    fn next(self) -> Option<Agent> {
        self.last.filter(|_| self.is_full)
    }
}

pub(in crate::engine) fn list_presence(tx: &RoomTx<'_>, call: &mut Call<'_>) -> Outcome {
    let asked: PresenceList = call.read_or_default(&tx.cx.settings)?;
    let limit = page_limit(asked.limit, USUAL_PAGE, LARGEST_PAGE)?;
    text_at_most(
        "role",
        asked.role.as_deref(),
        tx.cx.settings.commands.max_label.0,
    )?;
    let mut page = MemberPage {
        events: limit,
        bytes: tx.page_bytes(call)?,
        looks: LOOKS.max(2 * limit),
        last: None,
        is_full: false,
    };
    let (agents, departed) = if asked.departed {
        (Vec::new(), list_departed(tx, &asked, &mut page))
    } else {
        (list_present(tx, &asked, &mut page), Vec::new())
    };
    Ok(Accepted::found(
        tx.cx,
        Roll {
            at: tx.cx.now,
            present: tx.room.present,
            agents,
            departed,
            next: page.next(),
        },
    ))
}

fn list_present(tx: &RoomTx<'_>, asked: &PresenceList, page: &mut MemberPage) -> Vec<Presence> {
    let mut listed = Vec::new();
    for (agent, member) in tx.room.members.0.range::<Agent, _>(after(asked)) {
        if !page.goes_on() {
            break;
        }
        if member.left || !is_wanted(member, asked) {
            page.last = Some(agent.clone());
            continue;
        }
        let presence = member.presence(agent);
        if !page.takes(agent, &presence) {
            break;
        }
        listed.push(presence);
    }
    listed
}

fn list_departed(tx: &RoomTx<'_>, asked: &PresenceList, page: &mut MemberPage) -> Vec<Departed> {
    let mut listed = Vec::new();
    for (agent, departed) in tx.room.departures.by_agent.range::<Agent, _>(after(asked)) {
        if !page.goes_on() {
            break;
        }
        if asked.role.is_some() && asked.role != departed.role {
            page.last = Some(agent.clone());
            continue;
        }
        if !page.takes(agent, departed) {
            break;
        }
        listed.push(departed.clone());
    }
    listed
}

/// Remembers somebody who leaves, in place of the one who left first if there are too many.
pub(in crate::engine) fn remember_departed(tx: &mut RoomTx<'_>, agent: &Agent) {
    let Some(member) = tx.room.members.0.get(agent) else {
        return;
    };
    let said = member.announcement.as_deref();
    let departed = Departed {
        agent: agent.clone(),
        name: said.and_then(|said| said.name.clone()),
        role: said.and_then(|said| said.role.clone()),
        since: member.since,
        last_seen: member.last_seen,
        left_at: tx.cx.now,
    };
    tx.room.departures.insert(departed);
    tx.change(RoomChange::Departed(agent.clone()));
    if tx.room.departures.len() > tx.cx.settings.rooms.max_departed_per_room {
        forget_oldest_departed(tx);
    }
}

/// Somebody is there again.
pub(in crate::engine) fn is_back(tx: &mut RoomTx<'_>, agent: &Agent) {
    if tx.room.departures.remove(agent) {
        tx.change(RoomChange::Departed(agent.clone()));
    }
}

pub(in crate::engine) fn forget_oldest_departed(tx: &mut RoomTx<'_>) {
    if let Some(agent) = tx.room.departures.remove_oldest() {
        tx.change(RoomChange::Departed(agent));
    }
}

fn after(asked: &PresenceList) -> (Bound<&Agent>, Bound<&Agent>) {
    let from = asked.after.as_ref();
    (
        from.map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Unbounded,
    )
}

fn is_wanted(member: &Member, asked: &PresenceList) -> bool {
    let said = member.announcement.as_deref();
    let announced = said.map_or(&[][..], |said| &said.capabilities[..]);
    asked.status.is_none_or(|status| member.status() == status)
        && asked
            .connection
            .is_none_or(|connection| member.connection == connection)
        && asked
            .capability
            .as_ref()
            .is_none_or(|wanted| member.works.contains(wanted) || announced.contains(wanted))
        && asked
            .role
            .as_deref()
            .is_none_or(|role| said.and_then(|said| said.role.as_deref()) == Some(role))
}
