//! Those who left a room, as long as they are remembered.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Millis;
use crate::wire::name::Agent;
use crate::wire::presence::Departed;

/// Those who left, as long as they are remembered.
#[derive(Debug, Default)]
pub(super) struct Departures {
    pub(super) by_agent: BTreeMap<Agent, Departed>,
    /// Oldest first.
    order: BTreeSet<(Millis, Agent)>,
}

impl Departures {
    pub(in crate::engine) fn get(&self, agent: &Agent) -> Option<&Departed> {
        self.by_agent.get(agent)
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.by_agent.len()
    }

    pub(in crate::engine) fn oldest(&self) -> Option<Millis> {
        self.order.first().map(|(at, _)| *at)
    }

    pub(in crate::engine) fn insert(&mut self, departed: Departed) {
        let agent = departed.agent.clone();
        self.remove(&agent);
        self.order.insert((departed.left_at, agent.clone()));
        self.by_agent.insert(agent, departed);
    }

    pub(super) fn remove(&mut self, agent: &Agent) -> bool {
        let departed = self.by_agent.remove(agent);
        departed.is_some_and(|departed| self.order.remove(&(departed.left_at, agent.clone())))
    }

    pub(super) fn remove_oldest(&mut self) -> Option<Agent> {
        let (_, agent) = self.order.pop_first()?;
        self.by_agent.remove(&agent);
        Some(agent)
    }
}
