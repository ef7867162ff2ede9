//! Who is here, and who was: the list of a room's agents, and what is remembered of those who left.
//!
//! It looks and remembers; `presence` and `session` say who comes and goes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::Serialize;

use crate::wire::Millis;
use crate::wire::json;
use crate::wire::name::Agent;
use crate::wire::presence::{Departed, Presence, PresenceList, Roll};

use super::context::Context;
use super::member::Member;
use super::record::Change;
use super::replies::{Accepted, Call, Outcome, page_limit, text_at_most};
use super::room::RoomState;

/// Agents in a page where the question does not say.
const USUAL_PAGE: u32 = 100;
/// Agents in a page at most.
const LARGEST_PAGE: u32 = 1_000;
/// A page looks at so many agents at least for those that it lists, and at twice as many as it may list.
const LOOKS: usize = 1_000;

/// Those who left, as long as they are remembered.
#[derive(Debug, Default)]
pub(super) struct Departures {
    by_agent: BTreeMap<Agent, Departed>,
    /// Oldest first.
    order: BTreeSet<(Millis, Agent)>,
}

impl Departures {
    pub(super) fn get(&self, agent: &Agent) -> Option<&Departed> {
        self.by_agent.get(agent)
    }

    pub(super) fn len(&self) -> usize {
        self.by_agent.len()
    }

    pub(super) fn oldest(&self) -> Option<Millis> {
        self.order.first().map(|(at, _)| *at)
    }

    pub(super) fn insert(&mut self, departed: Departed) {
        let agent = departed.agent.clone();
        self.remove(&agent);
        self.order.insert((departed.left_at, agent.clone()));
        self.by_agent.insert(agent, departed);
    }

    fn remove(&mut self, agent: &Agent) -> bool {
        let departed = self.by_agent.remove(agent);
        departed.is_some_and(|departed| self.order.remove(&(departed.left_at, agent.clone())))
    }

    fn remove_oldest(&mut self) -> Option<Agent> {
        let (_, agent) = self.order.pop_first()?;
        self.by_agent.remove(&agent);
        Some(agent)
    }
}

/// A page while it fills.
struct Page {
    events: usize,
    bytes: usize,
    looks: usize,
    /// Who was looked at last.
    last: Option<Agent>,
    is_full: bool,
}

impl Page {
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

impl RoomState {
    pub(super) fn list_presence(&self, cx: &Context, call: &mut Call<'_>) -> Outcome {
        let asked: PresenceList = call.read_or_default(&cx.settings)?;
        let limit = page_limit(asked.limit, USUAL_PAGE, LARGEST_PAGE)?;
        text_at_most("role", asked.role.as_deref(), cx.settings.max_label_bytes)?;
        let mut page = Page {
            events: limit,
            bytes: self.page_bytes(cx, call)?,
            looks: LOOKS.max(2 * limit),
            last: None,
            is_full: false,
        };
        let (agents, departed) = if asked.departed {
            (Vec::new(), self.list_departed(&asked, &mut page))
        } else {
            (self.list_present(&asked, &mut page), Vec::new())
        };
        Ok(Accepted::found(
            cx,
            Roll {
                at: cx.now,
                present: self.present,
                agents,
                departed,
                next: page.next(),
            },
        ))
    }

    fn list_present(&self, asked: &PresenceList, page: &mut Page) -> Vec<Presence> {
        let mut listed = Vec::new();
        for (agent, member) in self.members.0.range::<Agent, _>(after(asked)) {
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

    fn list_departed(&self, asked: &PresenceList, page: &mut Page) -> Vec<Departed> {
        let mut listed = Vec::new();
        for (agent, departed) in self.departures.by_agent.range::<Agent, _>(after(asked)) {
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
    pub(super) fn remember_departed(&mut self, cx: &mut Context, agent: &Agent) {
        let Some(member) = self.members.0.get(agent) else {
            return;
        };
        let said = member.announcement.as_deref();
        let departed = Departed {
            agent: agent.clone(),
            name: said.and_then(|said| said.name.clone()),
            role: said.and_then(|said| said.role.clone()),
            since: member.since,
            last_seen: member.last_seen,
            left_at: cx.now,
        };
        self.departures.insert(departed);
        self.change(cx, Change::Departed(agent.clone()));
        if self.departures.len() > cx.settings.max_departed_per_room {
            self.forget_oldest_departed(cx);
        }
    }

    /// Somebody is there again.
    pub(super) fn is_back(&mut self, cx: &mut Context, agent: &Agent) {
        if self.departures.remove(agent) {
            self.change(cx, Change::Departed(agent.clone()));
        }
    }

    pub(super) fn forget_oldest_departed(&mut self, cx: &mut Context) {
        if let Some(agent) = self.departures.remove_oldest() {
            self.change(cx, Change::Departed(agent));
        }
    }

    /// The room is about to be forgotten: nobody remembers who was in it.
    pub(super) fn forget_all_departed(&mut self) {
        while let Some(agent) = self.departures.remove_oldest() {
            self.changes.push(Change::Departed(agent));
        }
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
