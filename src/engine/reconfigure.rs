//! Other settings while the engine runs: an input like any other, so that what comes before it and
//! what comes after is the same in every run.
//!
//! What is there stays, however much it is by a lower limit; limits are looked at when more is to
//! come. Only what is remembered of calls that are over gives way at once, a portion at a time.
//! Most settings are read where they count; here is what follows from those that something is
//! derived from. A room that the configuration does not allow stands still, as if the gateway were
//! down for it: nothing begins in it, ends or runs out until it may go on.

use std::sync::Arc;

use crate::wire::name::{Agent, Room};

use super::context::Context;
use super::pattern::AgentChange;
use super::room::{RoomState, retention};
use super::settings::Settings;

/// What held in a room before there were other settings.
pub(super) struct Before {
    settings: Arc<Settings>,
    members: Vec<String>,
    might_exist: bool,
}

impl Before {
    pub(super) fn of(cx: &Context, room: &Room) -> Before {
        Before {
            settings: Arc::clone(cx.settings_of(room)),
            members: cx.members_of(room).to_vec(),
            might_exist: cx.may_exist(room),
        }
    }

    /// What holds now is in force in the room.
    pub(super) fn give_way(&self, room: &mut RoomState, cx: &mut Context) {
        room.reconfigure_patterns(cx, &self.settings);
        retention::disarm(room, cx);
        let may_exist = cx.may_exist(&room.core.name);
        if self.might_exist && !may_exist {
            cx.timers.halt(&room.core.name);
        }
        if self.might_exist != may_exist || self.members != cx.members_of(&room.core.name) {
            assess_all(room, cx);
        }
        if !self.might_exist && may_exist {
            go_on_after_pause(room, cx);
        }
    }
}

fn assess_all(room: &mut RoomState, cx: &mut Context) {
    let agents: Vec<Agent> = room.core.members.0.keys().cloned().collect();
    for agent in &agents {
        room.assess(cx, agent);
    }
}

/// As after a restart no lease has run out while nobody could renew it: each begins anew.
fn go_on_after_pause(room: &mut RoomState, cx: &mut Context) {
    let agents: Vec<Agent> = room.core.members.0.keys().cloned().collect();
    for agent in &agents {
        room.agent_changed(cx, agent, AgentChange::WentOn);
    }
    cx.timers.go_on(&room.core.name);
    room.sweep(cx);
}
