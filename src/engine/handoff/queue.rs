//! Queues: the tasks of a room that wait for a worker, in the order in which they are to go.
//!
//! The most urgent go first. Within a priority the dispatchers take turns, so that one that floods
//! the room cannot starve the others, and what a dispatcher has waiting goes oldest first; where
//! there is one dispatcher, that is all there is to it. Tasks stand apart by route and by size,
//! because workers differ in what they can take. It knows numbers and names only.
//!
//! Turns are start-time fair queueing: a lane's turn counts what its dispatcher got; one that
//! begins to wait starts at the turn that was reached, so nobody saves turns up; one that ran dry
//! keeps its turn until the others have caught up.
//!
//! A priority of which a task has waited for too long is late. The scheduler asks for what is late
//! before all that is more urgent for every other task: so nothing waits for ever, and what is
//! urgent keeps half of the turns.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Millis;
use crate::wire::handoff::Priority;
use crate::wire::name::Agent;

use super::scheduler::RouteNo;
use crate::engine::ids::TaskNo;
use crate::engine::size::SizeClass;

/// Lanes that have run dry and still wait for the others to catch up. Beyond it the one that is
/// ahead least is forgotten, and its dispatcher may get a task more than its share.
const MAX_IDLE_LANES: usize = 10_000;

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) struct QueueKey {
    pub(in crate::engine) route: RouteNo,
    pub(in crate::engine) size: SizeClass,
}

/// How the first task of a lane at a place compares with others: the smallest goes first.
pub(super) type Rank = (Reverse<Priority>, u64, TaskNo);

/// A dispatcher's tasks of one priority.
#[derive(Debug)]
struct Lane {
    turn: u64,
    /// Since when each waits.
    tasks: BTreeMap<QueueKey, BTreeMap<TaskNo, Millis>>,
}

/// All tasks that wait in a room.
#[derive(Debug, Default)]
pub(super) struct Queues {
    lanes: BTreeMap<(Reverse<Priority>, Agent), Lane>,
    /// The first task of every lane, by place.
    heads: BTreeMap<QueueKey, BTreeSet<(Rank, Agent)>>,
    /// All tasks of a place that may become late, by how long they wait.
    ages: BTreeMap<(QueueKey, Priority), BTreeSet<(Millis, TaskNo)>>,
    /// The turn that each priority has reached.
    reached: [u64; 4],
    /// Lanes of each priority, dry ones included.
    count: [usize; 4],
    /// Lanes that have run dry and are ahead of the others.
    idle: BTreeSet<(u64, Reverse<Priority>, Agent)>,
}

impl Queues {
    /// Puts a task at the end of its dispatcher's lane, or where its age says if it comes back.
    pub(super) fn insert(
        &mut self,
        at: QueueKey,
        priority: Priority,
        from: &Agent,
        task: TaskNo,
        since: Millis,
    ) {
        if priority != Priority::Critical {
            let ages = self.ages.entry((at, priority)).or_default();
            ages.insert((since, task));
        }
        let reached = self.reached[priority as usize];
        let key = (Reverse(priority), from.clone());
        let count = &mut self.count[priority as usize];
        let lane = self.lanes.entry(key).or_insert_with(|| {
            *count += 1;
            Lane {
                turn: reached,
                tasks: BTreeMap::new(),
            }
        });
        if lane.tasks.is_empty() {
            self.idle
                .remove(&(lane.turn, Reverse(priority), from.clone()));
            lane.turn = lane.turn.max(reached);
        }
        let tasks = lane.tasks.entry(at).or_default();
        let first = first_of(tasks);
        tasks.insert(task, since);
        if first.is_none_or(|first| task < first) {
            let rank = |task| ((Reverse(priority), lane.turn, task), from.clone());
            let heads = self.heads.entry(at).or_default();
            if let Some(first) = first {
                heads.remove(&rank(first));
            }
            heads.insert(rank(task));
        }
    }

    /// Takes a task out; `served` if a worker got it, which is a turn of its dispatcher's.
    pub(super) fn remove(
        &mut self,
        at: QueueKey,
        priority: Priority,
        from: &Agent,
        task: TaskNo,
        served: bool,
    ) {
        let key = (Reverse(priority), from.clone());
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        let turn = lane.turn;
        let Some(tasks) = lane.tasks.get_mut(&at) else {
            return;
        };
        let was_first = first_of(tasks) == Some(task);
        let since = tasks.remove(&task);
        let next = first_of(tasks);
        if next.is_none() {
            lane.tasks.remove(&at);
        }
        if was_first && let Some(heads) = self.heads.get_mut(&at) {
            let rank = |task| ((Reverse(priority), turn, task), from.clone());
            heads.remove(&rank(task));
            heads.extend(next.map(rank));
            if heads.is_empty() {
                self.heads.remove(&at);
            }
        }
        if let Some(since) = since
            && let Some(ages) = self.ages.get_mut(&(at, priority))
        {
            ages.remove(&(since, task));
            if ages.is_empty() {
                self.ages.remove(&(at, priority));
            }
        }
        if served {
            self.end_turn(priority, from);
        }
        self.retire(priority, from);
    }

    fn end_turn(&mut self, priority: Priority, from: &Agent) {
        let Some(lane) = self.lanes.get_mut(&(Reverse(priority), from.clone())) else {
            return;
        };
        let reached = &mut self.reached[priority as usize];
        *reached = lane.turn.max(*reached);
        // Nobody to take turns with.
        if self.count[priority as usize] == 1 {
            return;
        }
        for (at, tasks) in &lane.tasks {
            if let (Some(first), Some(heads)) = (first_of(tasks), self.heads.get_mut(at)) {
                let rank = |turn| ((Reverse(priority), turn, first), from.clone());
                heads.remove(&rank(lane.turn));
                heads.insert(rank(lane.turn + 1));
            }
        }
        lane.turn += 1;
    }

    /// A lane that has run dry goes, at once or when the others have caught up.
    fn retire(&mut self, priority: Priority, from: &Agent) {
        let key = (Reverse(priority), from.clone());
        if let Some(lane) = self.lanes.get(&key)
            && lane.tasks.is_empty()
        {
            self.idle.insert((lane.turn, key.0, key.1));
        }
        while let Some((turn, priority, _)) = self.idle.first() {
            let is_ahead = *turn > self.reached[priority.0 as usize];
            if is_ahead && self.idle.len() <= MAX_IDLE_LANES {
                break;
            }
            if let Some((_, priority, agent)) = self.idle.pop_first() {
                self.count[priority.0 as usize] -= 1;
                self.lanes.remove(&(priority, agent));
            }
        }
    }

    /// Whether anything waits on a route.
    pub(super) fn has_any(&self, route: RouteNo) -> bool {
        self.heads
            .range(places(route, SizeClass::ANY))
            .next()
            .is_some()
    }

    /// Which task of a route goes first, of those no larger than this; only of a priority where one
    /// is given.
    pub(super) fn first(
        &self,
        route: RouteNo,
        largest: SizeClass,
        only: Option<Priority>,
    ) -> Option<(Rank, SizeClass)> {
        let heads = self.heads.range(places(route, largest));
        let firsts = heads.filter_map(|(at, heads)| {
            let (rank, from) = heads.first()?;
            let Some(only) = only else {
                return Some((*rank, at.size));
            };
            // Before every head of this priority, whosever it is: tasks are counted from 1.
            let least = ((Reverse(only), 0, TaskNo(0)), from.clone());
            let (rank, _) = heads.range(least..).next()?;
            (rank.0 == Reverse(only)).then_some((*rank, at.size))
        });
        firsts.min()
    }

    /// The task of a route that has waited longest, since `late` at least, and its priority; of
    /// those no larger than this.
    pub(super) fn oldest(
        &self,
        route: RouteNo,
        largest: SizeClass,
        late: Millis,
    ) -> Option<(Millis, TaskNo, Priority)> {
        let (least, most) = places(route, largest).into_inner();
        let places = (least, Priority::Low)..=(most, Priority::Critical);
        let oldest = self.ages.range(places);
        let oldest = oldest.filter_map(|((_, priority), ages)| {
            let (since, task) = *ages.first()?;
            (since <= late).then_some((since, task, *priority))
        });
        oldest.min()
    }
}

fn first_of(tasks: &BTreeMap<TaskNo, Millis>) -> Option<TaskNo> {
    tasks.first_key_value().map(|(task, _)| *task)
}

fn places(route: RouteNo, largest: SizeClass) -> std::ops::RangeInclusive<QueueKey> {
    let at = |size| QueueKey { route, size };
    at(SizeClass::default())..=at(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: QueueKey = QueueKey {
        route: RouteNo(0),
        size: SizeClass::ANY,
    };

    fn agent(name: &str) -> Agent {
        Agent::new(name).unwrap()
    }

    struct Line {
        queues: Queues,
        whose: BTreeMap<TaskNo, Agent>,
    }

    impl Line {
        fn new() -> Line {
            Line {
                queues: Queues::default(),
                whose: BTreeMap::new(),
            }
        }

        fn put(&mut self, from: &str, tasks: std::ops::Range<u64>) {
            for task in tasks.map(TaskNo) {
                self.queues
                    .insert(AT, Priority::Medium, &agent(from), task, 0);
                self.whose.insert(task, agent(from));
            }
        }

        fn serve(&mut self, times: usize) -> Vec<u64> {
            let served = (0..times).map_while(|_| {
                let ((_, _, task), _) = self.queues.first(RouteNo(0), SizeClass::ANY, None)?;
                let from = &self.whose[&task];
                self.queues.remove(AT, Priority::Medium, from, task, true);
                Some(task.0)
            });
            served.collect()
        }
    }

    #[test]
    fn one_dispatcher_is_served_oldest_first() {
        let mut line = Line::new();
        line.put("a", 5..8);
        line.put("a", 1..3);
        assert_eq!(line.serve(9), [1, 2, 5, 6, 7]);
    }

    #[test]
    fn dispatchers_take_turns_however_much_one_of_them_has() {
        let mut line = Line::new();
        line.put("flood", 0..100);
        assert_eq!(line.serve(2), [0, 1]);
        line.put("a", 200..202);
        line.put("b", 300..303);
        assert_eq!(line.serve(8), [2, 200, 300, 3, 201, 301, 4, 302]);
        assert_eq!(line.serve(2), [5, 6]);
    }

    #[test]
    fn who_sends_one_at_a_time_gets_no_more_than_its_turn() {
        let mut line = Line::new();
        line.put("a", 0..50);
        line.put("b", 100..150);
        let mut got = 0;
        for round in 0..30 {
            // Two that come back as soon as they have been served.
            line.put("x", 1_000 + 2 * round..1_001 + 2 * round);
            line.put("y", 1_001 + 2 * round..1_002 + 2 * round);
            got += line.serve(4).iter().filter(|task| **task < 1_000).count();
        }
        assert!(got >= 58, "a and b got {got} of 120 turns");
    }

    #[test]
    fn what_is_dry_leaves_nothing_behind() {
        let mut line = Line::new();
        line.put("a", 0..3);
        line.put("b", 3..4);
        line.serve(9);
        line.put("c", 10..12);
        line.serve(9);
        line.put("c", 20..22);
        line.serve(9);
        assert!(line.queues.heads.is_empty());
        assert!(line.queues.ages.is_empty());
        assert!(line.queues.lanes.len() <= 1, "{:?}", line.queues);
        assert_eq!(
            line.queues.lanes.len(),
            line.queues.count[Priority::Medium as usize]
        );
    }
}
