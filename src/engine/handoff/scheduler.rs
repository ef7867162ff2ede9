//! The scheduler: which task goes to which worker.
//!
//! Tasks that need the same capabilities share a route. A route's tasks stand in `queue` in the
//! order in which they go, and the workers that could take one right now stand here by load, so
//! that choosing costs the same however many tasks wait and however many workers there are. It
//! knows numbers and names only; tasks' states and workers' presence are others' business.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Millis;
use crate::wire::handoff::Priority;
use crate::wire::name::{Agent, Capability};

use super::queue::{QueueKey, Queues, Rank};
use super::released::Released;
use crate::engine::ids::TaskNo;
use crate::engine::member::Skills;
use crate::engine::size::SizeClass;

/// A route's number; never reused within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct RouteNo(pub(super) u32);

/// What a worker must be able to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct Need {
    /// All of these; sorted, without repeats.
    all: Box<[Capability]>,
    /// And one of these, if there are any; sorted, without repeats.
    any: Box<[Capability]>,
}

/// How a worker stands among those that are free: the least loaded first, then who waited longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct WorkerLoad {
    /// Tasks held per capacity, in 2⁻³² parts.
    ratio: u64,
    in_flight: u32,
    /// When it last got a task, counted in assignments.
    turn: u64,
}

#[derive(Debug)]
struct Worker {
    skills: Skills,
    in_flight: u32,
    turn: u64,
    /// How many messages it can be sent.
    window: u32,
    /// The routes that it can serve.
    routes: Vec<RouteNo>,
}

#[derive(Debug)]
struct QueueRoute {
    need: Need,
    /// Tasks of it that have not ended: a route without any may give way to another.
    tasks: usize,
    /// Workers that can serve it, free or not, by the largest assignment that they take.
    capable: BTreeSet<(SizeClass, Agent)>,
    /// Those of them that have capacity left.
    ready: BTreeMap<SizeClass, BTreeSet<(WorkerLoad, Agent)>>,
}

/// All routes of a room.
#[derive(Debug, Default)]
pub(in crate::engine) struct Scheduler {
    routes: BTreeMap<RouteNo, QueueRoute>,
    by_need: BTreeMap<Need, RouteNo>,
    queues: Queues,
    /// The last task that was handed out was not taken for being late.
    late_is_next: bool,
    /// Routes without tasks.
    unused: BTreeSet<RouteNo>,
    workers: BTreeMap<Agent, Worker>,
    /// Routes where a task and a worker may have come together.
    astir: BTreeSet<RouteNo>,
    released: Released,
    /// Routes where a task that was given back and another worker may have come together.
    released_astir: BTreeSet<RouteNo>,
    next_route: u32,
    next_turn: u64,
}

impl Need {
    pub(in crate::engine) fn new(all: &[Capability], any: &[Capability]) -> Need {
        let sorted = |names: &[Capability]| {
            let names: BTreeSet<&Capability> = names.iter().collect();
            names.into_iter().cloned().collect()
        };
        Need {
            all: sorted(all),
            any: sorted(any),
        }
    }
}

impl Skills {
    fn covers(&self, need: &Need) -> bool {
        let can = |one: &Capability| self.offered.contains(one) || self.announced.contains(one);
        let mut both = need.all.iter().chain(&need.any);
        both.any(|one| self.offered.contains(one))
            && need.all.iter().all(can)
            && (need.any.is_empty() || need.any.iter().any(can))
    }
}

impl QueueRoute {
    /// A worker that can serve it is there.
    fn add(&mut self, agent: &Agent, limit: SizeClass, load: Option<WorkerLoad>) {
        self.capable.insert((limit, agent.clone()));
        self.add_ready(agent, limit, load);
    }

    fn remove(&mut self, agent: &Agent, limit: SizeClass, load: Option<WorkerLoad>) {
        self.capable.remove(&(limit, agent.clone()));
        self.remove_ready(agent, limit, load);
    }

    fn add_ready(&mut self, agent: &Agent, limit: SizeClass, load: Option<WorkerLoad>) {
        if let Some(load) = load {
            let ready = self.ready.entry(limit).or_default();
            ready.insert((load, agent.clone()));
        }
    }

    fn remove_ready(&mut self, agent: &Agent, limit: SizeClass, load: Option<WorkerLoad>) {
        if let Some(load) = load
            && let Some(ready) = self.ready.get_mut(&limit)
        {
            ready.remove(&(load, agent.clone()));
            if ready.is_empty() {
                self.ready.remove(&limit);
            }
        }
    }

    /// The same, but for one of them.
    fn least_loaded_but(&self, size: SizeClass, not: &Agent) -> Option<&Agent> {
        let large_enough = self.ready.range(size..).map(|(_, ready)| ready);
        let others = large_enough.filter_map(|ready| ready.iter().find(|(_, own)| own != not));
        others.min().map(|(_, agent)| agent)
    }

    /// The largest assignment that somebody who is free takes.
    fn largest(&self) -> Option<SizeClass> {
        self.ready.last_key_value().map(|(limit, _)| *limit)
    }

    /// Who of those that are free takes an assignment of this size.
    fn least_loaded(&self, size: SizeClass) -> Option<&Agent> {
        let large_enough = self.ready.range(size..).map(|(_, ready)| ready);
        let firsts = large_enough.filter_map(BTreeSet::first);
        firsts.min().map(|(_, agent)| agent)
    }
}

impl Worker {
    /// Its place among the free; `None` if it has no capacity left, or could not be sent anything
    /// now.
    fn load(&self) -> Option<WorkerLoad> {
        let is_free = self.in_flight < self.skills.capacity && self.window > 0;
        is_free.then(|| WorkerLoad {
            ratio: (u64::from(self.in_flight) << 32) / u64::from(self.skills.capacity),
            in_flight: self.in_flight,
            turn: self.turn,
        })
    }
}

impl Scheduler {
    /// Counts a task onto the route for what it needs; `None` if there are as many routes with
    /// tasks as may be.
    pub(in crate::engine) fn enter(&mut self, need: Need, limit: usize) -> Option<RouteNo> {
        let no = match self.by_need.get(&need) {
            Some(no) => *no,
            None => self.open(need, limit)?,
        };
        if let Some(route) = self.routes.get_mut(&no) {
            route.tasks += 1;
            self.unused.remove(&no);
        }
        Some(no)
    }

    fn open(&mut self, need: Need, limit: usize) -> Option<RouteNo> {
        if self.routes.len() >= limit {
            let oldest = self.unused.pop_first()?;
            self.close(oldest);
        }
        let no = RouteNo(self.next_route);
        self.next_route = self.next_route.wrapping_add(1);
        let mut route = QueueRoute {
            need: need.clone(),
            tasks: 0,
            capable: BTreeSet::new(),
            ready: BTreeMap::new(),
        };
        for (agent, worker) in &mut self.workers {
            if worker.skills.covers(&need) {
                worker.routes.push(no);
                route.add(agent, worker.skills.limit, worker.load());
            }
        }
        self.routes.insert(no, route);
        self.by_need.insert(need, no);
        Some(no)
    }

    fn close(&mut self, no: RouteNo) {
        let Some(route) = self.routes.remove(&no) else {
            return;
        };
        self.by_need.remove(&route.need);
        for (_, agent) in &route.capable {
            if let Some(worker) = self.workers.get_mut(agent) {
                worker.routes.retain(|other| *other != no);
            }
        }
    }

    /// A task of the route has ended, or was not taken after all.
    pub(in crate::engine) fn leave(&mut self, no: RouteNo) {
        if let Some(route) = self.routes.get_mut(&no) {
            route.tasks -= 1;
            if route.tasks == 0 {
                self.unused.insert(no);
            }
        }
    }

    /// Whether anybody available can serve the route with assignments of this size, free or not.
    pub(in crate::engine) fn is_served(&self, no: RouteNo, size: SizeClass) -> bool {
        let route = self.routes.get(&no);
        let largest = route.and_then(|route| route.capable.last());
        largest.is_some_and(|(limit, _)| *limit >= size)
    }

    /// Puts a task into its queue.
    pub(in crate::engine) fn enqueue(
        &mut self,
        at: QueueKey,
        priority: Priority,
        from: &Agent,
        task: TaskNo,
        since: Millis,
    ) {
        self.queues.insert(at, priority, from, task, since);
        self.astir.insert(at.route);
    }

    /// Takes a task out of its queue; `served` if a worker has it now.
    pub(in crate::engine) fn dequeue(
        &mut self,
        at: QueueKey,
        priority: Priority,
        from: &Agent,
        task: TaskNo,
        served: bool,
    ) {
        self.queues.remove(at, priority, from, task, served);
    }

    /// A worker is available, or can take other things than before.
    pub(in crate::engine) fn set_worker(
        &mut self,
        agent: &Agent,
        skills: Skills,
        in_flight: u32,
        window: u32,
    ) {
        let (turn, window) = match self.workers.get(agent) {
            Some(known) if known.skills == skills && known.in_flight == in_flight => return,
            Some(known) => (known.turn, known.window),
            None => (self.turn(), window),
        };
        self.remove_worker(agent);
        let mut worker = Worker {
            skills,
            in_flight,
            turn,
            window,
            routes: Vec::new(),
        };
        let load = worker.load();
        for (no, route) in &mut self.routes {
            if worker.skills.covers(&route.need) {
                worker.routes.push(*no);
                route.add(agent, worker.skills.limit, load);
                self.astir.insert(*no);
                if self.released.has_any(*no) {
                    self.released_astir.insert(*no);
                }
            }
        }
        self.workers.insert(agent.clone(), worker);
    }

    /// A worker is not available any more.
    pub(in crate::engine) fn remove_worker(&mut self, agent: &Agent) {
        let Some(worker) = self.workers.remove(agent) else {
            return;
        };
        let load = worker.load();
        for no in worker.routes {
            if let Some(route) = self.routes.get_mut(&no) {
                route.remove(agent, worker.skills.limit, load);
            }
        }
    }

    /// A worker has got a task.
    pub(in crate::engine) fn took(&mut self, agent: &Agent) {
        let turn = self.turn();
        self.reload(agent, |worker| {
            worker.in_flight += 1;
            worker.window = worker.window.saturating_sub(1);
            worker.turn = turn;
        });
    }

    /// How many messages a worker can be sent now.
    pub(in crate::engine) fn set_window(&mut self, agent: &Agent, window: u32) {
        self.reload(agent, |worker| worker.window = window);
    }

    /// A worker has one task less.
    pub(in crate::engine) fn freed(&mut self, agent: &Agent) {
        self.reload(agent, |worker| {
            worker.in_flight = worker.in_flight.saturating_sub(1);
        });
    }

    fn reload(&mut self, agent: &Agent, change: impl FnOnce(&mut Worker)) {
        let Some(worker) = self.workers.get_mut(agent) else {
            return;
        };
        let before = worker.load();
        change(worker);
        let after = worker.load();
        for no in &worker.routes {
            let Some(route) = self.routes.get_mut(no) else {
                continue;
            };
            route.remove_ready(agent, worker.skills.limit, before);
            route.add_ready(agent, worker.skills.limit, after);
            if after.is_some() && self.queues.has_any(*no) {
                self.astir.insert(*no);
            }
            if after.is_some() && self.released.has_any(*no) {
                self.released_astir.insert(*no);
            }
        }
    }

    fn turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }

    /// The task that goes first of those that somebody is free for, and who takes it. The caller
    /// assigns it, which takes it out of the queue. What has waited since `late` or longer has
    /// every other turn.
    pub(in crate::engine) fn next_match(
        &mut self,
        late: Option<Millis>,
    ) -> Option<(TaskNo, Agent)> {
        let late = late.filter(|_| self.late_is_next);
        let late = late.and_then(|late| self.late_priority(late));
        let (routes, queues) = (&self.routes, &self.queues);
        let mut best: Option<(Rank, SizeClass, &QueueRoute)> = None;
        self.astir.retain(|no| {
            let Some(route) = routes.get(no) else {
                return false;
            };
            let Some(limit) = route.largest() else {
                return false;
            };
            let Some((rank, size)) = queues.first(*no, limit, late) else {
                return late.is_some();
            };
            if best.as_ref().is_none_or(|(first, ..)| rank < *first) {
                best = Some((rank, size, route));
            }
            true
        });
        let ((_, _, task), size, route) = best?;
        let worker = route.least_loaded(size)?.clone();
        self.late_is_next = late.is_none();
        Some((task, worker))
    }

    /// The priority of the task that has waited longest of those that somebody is free for, if it
    /// is late.
    fn late_priority(&self, late: Millis) -> Option<Priority> {
        let oldest = self.astir.iter().filter_map(|no| {
            let largest = self.routes.get(no)?.largest()?;
            self.queues.oldest(*no, largest, late)
        });
        oldest.min().map(|(_, _, priority)| priority)
    }

    /// A worker has given a task back: until its wait is over it is for everybody else.
    pub(in crate::engine) fn offer_to_others(&mut self, at: QueueKey, task: TaskNo, not: Agent) {
        self.released.insert(at, task, not);
        self.released_astir.insert(at.route);
    }

    /// Its wait is over, or nobody is to have it any more.
    pub(in crate::engine) fn offer_no_more(&mut self, task: TaskNo) {
        self.released.remove(task);
    }

    /// A task that one worker has given back and another one is free for. What queues goes first.
    pub(in crate::engine) fn next_released(&mut self) -> Option<(TaskNo, Agent)> {
        while let Some(no) = self.released_astir.first().copied() {
            if let Some(found) = self.released_match(no) {
                return Some(found);
            }
            self.released_astir.remove(&no);
        }
        None
    }

    fn released_match(&self, no: RouteNo) -> Option<(TaskNo, Agent)> {
        let route = self.routes.get(&no)?;
        self.released.of(no).find_map(|(not, tasks)| {
            // Where nobody else is free at all there is no need to look at each.
            route.least_loaded_but(SizeClass::default(), not)?;
            tasks.iter().find_map(|(task, size)| {
                let other = route.least_loaded_but(*size, not)?;
                Some((*task, other.clone()))
            })
        })
    }

    /// Whether a worker could take a task of this place right now.
    pub(in crate::engine) fn is_free(&self, at: QueueKey, agent: &Agent) -> bool {
        let worker = self.workers.get(agent);
        worker.is_some_and(|worker| {
            worker.load().is_some()
                && worker.skills.limit >= at.size
                && worker.routes.contains(&at.route)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> Agent {
        Agent::new(name).unwrap()
    }

    fn capabilities(names: &[&str]) -> Vec<Capability> {
        names
            .iter()
            .map(|name| Capability::new(name).unwrap())
            .collect()
    }

    fn skills(offered: &[&str], announced: &[&str], capacity: u32) -> Skills {
        Skills {
            offered: capabilities(offered).into_iter().collect(),
            announced: capabilities(announced).into_iter().collect(),
            capacity,
            limit: SizeClass::ANY,
        }
    }

    fn need(names: &[&str]) -> Need {
        Need::new(&capabilities(names), &[])
    }

    fn boss() -> Agent {
        agent("boss")
    }

    fn at(route: RouteNo) -> QueueKey {
        QueueKey {
            route,
            size: SizeClass::of_task(100),
        }
    }

    /// Queues tasks with these needs and priorities, numbered from 1.
    fn queue(scheduler: &mut Scheduler, tasks: &[(&[&str], Priority)]) {
        for (index, (need, priority)) in tasks.iter().enumerate() {
            let route = scheduler.enter(self::need(need), 10).unwrap();
            scheduler.enqueue(at(route), *priority, &boss(), TaskNo(index as u64 + 1), 0);
        }
    }

    /// Assigns until nothing matches; returns who got what.
    fn matches(scheduler: &mut Scheduler, tasks: &[(&[&str], Priority)]) -> Vec<(u64, String)> {
        let mut matches = Vec::new();
        while let Some((task, agent)) = scheduler.next_match(None) {
            let (need, priority) = tasks[task.0 as usize - 1];
            let route = scheduler.by_need[&self::need(need)];
            scheduler.dequeue(at(route), priority, &boss(), task, true);
            scheduler.took(&agent);
            matches.push((task.0, agent.to_string()));
        }
        matches
    }

    #[test]
    fn urgent_tasks_go_first_and_old_ones_among_equals() {
        let mut scheduler = Scheduler::default();
        let tasks: [(&[&str], Priority); 4] = [
            (&["a"], Priority::Low),
            (&["a"], Priority::High),
            (&["b"], Priority::High),
            (&["b"], Priority::Critical),
        ];
        queue(&mut scheduler, &tasks);
        scheduler.set_worker(&agent("w"), skills(&["a", "b"], &[], 4), 0, 9);
        let order: Vec<u64> = matches(&mut scheduler, &tasks)
            .into_iter()
            .map(|(task, _)| task)
            .collect();
        assert_eq!(order, [4, 2, 3, 1]);
    }

    #[test]
    fn the_least_loaded_worker_is_chosen_and_then_who_waited_longest() {
        let mut scheduler = Scheduler::default();
        scheduler.set_worker(&agent("half"), skills(&["a"], &[], 2), 1, 9);
        scheduler.set_worker(&agent("idle-1"), skills(&["a"], &[], 1), 0, 9);
        scheduler.set_worker(&agent("idle-2"), skills(&["a"], &[], 4), 0, 9);
        let tasks: [(&[&str], Priority); 4] = [(&["a"], Priority::Medium); 4];
        queue(&mut scheduler, &tasks);
        let who: Vec<String> = matches(&mut scheduler, &tasks)
            .into_iter()
            .map(|(_, agent)| agent)
            .collect();
        assert_eq!(who, ["idle-1", "idle-2", "idle-2", "half"]);
    }

    #[test]
    fn a_worker_needs_every_capability_and_must_listen_to_one_of_them() {
        let mut scheduler = Scheduler::default();
        let tasks: [(&[&str], Priority); 1] = [(&["a", "b"], Priority::Medium)];
        queue(&mut scheduler, &tasks);
        scheduler.set_worker(&agent("half"), skills(&["a"], &[], 1), 0, 9);
        scheduler.set_worker(&agent("deaf"), skills(&[], &["a", "b"], 1), 0, 9);
        assert!(matches(&mut scheduler, &tasks).is_empty());
        scheduler.set_worker(&agent("both"), skills(&["b"], &["a"], 1), 0, 9);
        assert_eq!(matches(&mut scheduler, &tasks), [(1, "both".to_owned())]);
    }

    #[test]
    fn a_worker_that_is_full_or_gone_gets_nothing() {
        let mut scheduler = Scheduler::default();
        let tasks: [(&[&str], Priority); 2] = [(&["a"], Priority::Medium); 2];
        scheduler.set_worker(&agent("gone"), skills(&["a"], &[], 5), 0, 9);
        scheduler.remove_worker(&agent("gone"));
        scheduler.set_worker(&agent("none"), skills(&["a"], &[], 0), 0, 9);
        scheduler.set_worker(&agent("one"), skills(&["a"], &[], 1), 0, 9);
        queue(&mut scheduler, &tasks);
        assert_eq!(matches(&mut scheduler, &tasks), [(1, "one".to_owned())]);
        scheduler.freed(&agent("one"));
        assert_eq!(matches(&mut scheduler, &tasks), [(2, "one".to_owned())]);
    }

    #[test]
    fn a_route_without_tasks_gives_way_to_another() {
        let mut scheduler = Scheduler::default();
        scheduler.set_worker(&agent("w"), skills(&["a", "b", "c"], &[], 1), 0, 9);
        let a = scheduler.enter(need(&["a"]), 2).unwrap();
        scheduler.enter(need(&["b"]), 2).unwrap();
        assert_eq!(scheduler.enter(need(&["c"]), 2), None);
        scheduler.leave(a);
        assert!(scheduler.enter(need(&["c"]), 2).is_some());
        assert_eq!(scheduler.workers[&agent("w")].routes.len(), 2);
    }

    #[test]
    fn one_of_several_capabilities_is_enough_where_the_task_says_so() {
        let mut scheduler = Scheduler::default();
        let need = Need::new(&capabilities(&["a"]), &capabilities(&["b", "c"]));
        let route = scheduler.enter(need, 10).unwrap();
        scheduler.enqueue(at(route), Priority::Medium, &boss(), TaskNo(1), 0);
        scheduler.set_worker(&agent("only-a"), skills(&["a"], &[], 1), 0, 9);
        scheduler.set_worker(&agent("only-c"), skills(&["c"], &[], 1), 0, 9);
        assert_eq!(scheduler.next_match(None), None);
        scheduler.set_worker(&agent("both"), skills(&["c"], &["a"], 1), 0, 9);
        assert_eq!(scheduler.next_match(None), Some((TaskNo(1), agent("both"))));
    }

    #[test]
    fn a_task_that_is_too_large_for_a_worker_does_not_stand_in_the_way_of_a_smaller_one() {
        let mut scheduler = Scheduler::default();
        let route = scheduler.enter(need(&["a"]), 10).unwrap();
        let large = QueueKey {
            route,
            size: SizeClass::of_task(1_000),
        };
        scheduler.enqueue(large, Priority::High, &boss(), TaskNo(1), 0);
        scheduler.enqueue(at(route), Priority::Low, &boss(), TaskNo(2), 0);
        let small = Skills {
            limit: SizeClass::of_limit(Some(128)),
            ..skills(&["a"], &[], 1)
        };
        scheduler.set_worker(&agent("small"), small, 0, 9);
        assert!(scheduler.is_served(route, at(route).size));
        assert!(!scheduler.is_served(route, large.size));
        assert!(!scheduler.is_free(large, &agent("small")));
        assert_eq!(
            scheduler.next_match(None),
            Some((TaskNo(2), agent("small")))
        );
        scheduler.dequeue(at(route), Priority::Low, &boss(), TaskNo(2), true);
        assert_eq!(scheduler.next_match(None), None);
        scheduler.set_worker(&agent("large"), skills(&["a"], &[], 1), 0, 9);
        assert_eq!(
            scheduler.next_match(None),
            Some((TaskNo(1), agent("large")))
        );
    }
}
