//! Other settings while the engine runs: an input like any other, so that what comes before it and what comes after is the same in
//! every run.
//!
//! What is there stays, however much it is by a lower limit; limits are looked at when more is to come. Only what is remembered of calls that are over
//! gives way at once, a portion at a time. Most settings are read where they
//! count; here is what follows from those that something is derived from. A room that the configuration does not allow stands still, as
//! if the gateway were down for it: nothing begins in it, ends or runs out until it may go on.

use std::sync::Arc;

use crate::wire::name::{Agent, Room};

use super::Engine;
use super::context::Context;
use super::pattern::AgentChange;
use super::room::RoomState;
use super::settings::Settings;

/// What held in a room.
struct Before {
    settings: Arc<Settings>,
    members: Vec<String>,
    might_exist: bool,
}

impl Engine {
    /// Rooms that exist and may not be used, because the configuration does not name them: what is in them is kept.
    pub fn barred_rooms(&self) -> impl Iterator<Item = &Room> {
        self.rooms.keys().filter(|room| !self.cx.may_exist(room))
    }

    pub(super) fn reconfigure(&mut self, settings: Settings) {
        let names: Vec<Room> = self.rooms.keys().cloned().collect();
        let before = names.iter().map(|name| Before {
            settings: Arc::clone(self.cx.settings_of(name)),
            members: self.cx.members_of(name).to_vec(),
            might_exist: self.cx.may_exist(name),
        });
        let before: Vec<Before> = before.collect();
        self.cx.set_settings(settings);
        for (name, before) in names.iter().zip(before) {
            self.in_room(name, |room, cx| room.reconfigured(cx, &before));
        }
    }
}

impl RoomState {
    fn reconfigured(&mut self, cx: &mut Context, before: &Before) {
        self.reconfigure_patterns(cx, &before.settings);
        self.disarm_retention(cx);
        let may_exist = cx.may_exist(&self.core.name);
        if before.might_exist && !may_exist {
            cx.timers.halt(&self.core.name);
        }
        if before.might_exist != may_exist || before.members != cx.members_of(&self.core.name) {
            self.assess_all(cx);
        }
        if !before.might_exist && may_exist {
            self.go_on_after_pause(cx);
        }
    }

    fn assess_all(&mut self, cx: &mut Context) {
        let agents: Vec<Agent> = self.core.members.0.keys().cloned().collect();
        for agent in &agents {
            self.assess(cx, agent);
        }
    }

    /// As after a restart no lease has run out while nobody could renew it: each begins anew.
    fn go_on_after_pause(&mut self, cx: &mut Context) {
        let agents: Vec<Agent> = self.core.members.0.keys().cloned().collect();
        for agent in &agents {
            self.agent_changed(cx, agent, AgentChange::WentOn);
        }
        cx.timers.go_on(&self.core.name);
        self.sweep(cx);
    }
}
