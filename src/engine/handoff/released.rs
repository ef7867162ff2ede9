//! Tasks that a worker has given back, while they wait: everybody but that worker may have them at
//! once.

use std::collections::BTreeMap;

use crate::wire::name::Agent;

use super::queue::QueueKey;
use super::scheduler::RouteNo;
use crate::engine::ids::TaskNo;
use crate::engine::size::SizeClass;

/// What one worker has given back of one route, oldest first.
pub(super) type GivenBack = BTreeMap<TaskNo, SizeClass>;

/// By route and worker, and by task where it is.
#[derive(Debug, Default)]
pub(super) struct Released {
    by_route: BTreeMap<RouteNo, BTreeMap<Agent, GivenBack>>,
    places: BTreeMap<TaskNo, (RouteNo, Agent)>,
}

impl Released {
    pub(super) fn insert(&mut self, at: QueueKey, task: TaskNo, worker: Agent) {
        let of_route = self.by_route.entry(at.route).or_default();
        let given_back = of_route.entry(worker.clone()).or_default();
        given_back.insert(task, at.size);
        self.places.insert(task, (at.route, worker));
    }

    pub(super) fn remove(&mut self, task: TaskNo) {
        let Some((route, worker)) = self.places.remove(&task) else {
            return;
        };
        let Some(of_route) = self.by_route.get_mut(&route) else {
            return;
        };
        if let Some(given_back) = of_route.get_mut(&worker) {
            given_back.remove(&task);
            if given_back.is_empty() {
                of_route.remove(&worker);
            }
        }
        if of_route.is_empty() {
            self.by_route.remove(&route);
        }
    }

    pub(super) fn has_any(&self, route: RouteNo) -> bool {
        self.by_route.contains_key(&route)
    }

    /// Of one route, by who gave it back.
    pub(super) fn of(&self, route: RouteNo) -> impl Iterator<Item = (&Agent, &GivenBack)> {
        self.by_route.get(&route).into_iter().flatten()
    }
}
