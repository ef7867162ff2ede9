//! The index: a room's tasks by state, type and capability, so that a page of a list costs what is
//! on it.
//!
//! It keeps numbers only, and follows every task from its dispatch until it is forgotten. Who asks,
//! and what is shown, is the business of `list`, `redrive` and `admit`.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::RangeInclusive;

use crate::wire::handoff::TaskState;
use crate::wire::name::{Capability, TaskType};

use super::task::Body;
use crate::engine::ids::TaskNo;

const STATES: usize = 9;

/// What tasks are found by, besides their state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum IndexKey {
    /// A type that is also all that the task asks for: most tasks are of this kind, and stand under
    /// no other.
    Plain(Capability),
    /// The type of a task that asks for something else.
    Type(Capability),
    /// One of the capabilities that such a task asks for.
    Capability(Capability),
}

/// Tasks by state.
#[derive(Debug, Default)]
struct PerState([BTreeSet<TaskNo>; STATES]);

/// All tasks of a room.
#[derive(Debug, Default)]
pub(super) struct Index {
    all: PerState,
    kinds: BTreeMap<IndexKey, PerState>,
}

/// What is asked for: all of it must hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct TaskFilter<'a> {
    /// Any of these; every state if empty.
    pub(super) states: &'a [TaskState],
    pub(super) task_type: Option<&'a TaskType>,
    pub(super) capability: Option<&'a Capability>,
}

impl PerState {
    fn of(&self, state: TaskState) -> &BTreeSet<TaskNo> {
        &self.0[state as usize]
    }

    fn of_mut(&mut self, state: TaskState) -> &mut BTreeSet<TaskNo> {
        &mut self.0[state as usize]
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(BTreeSet::is_empty)
    }
}

fn kinds(body: &Body) -> Vec<IndexKey> {
    let of_type: Capability = body.task_type.clone().into();
    if body.any_of().is_empty() && *body.capabilities == [of_type.clone()] {
        return vec![IndexKey::Plain(of_type)];
    }
    let each: BTreeSet<&Capability> = body.capabilities.iter().chain(body.any_of()).collect();
    let each = each.into_iter().cloned().map(IndexKey::Capability);
    std::iter::once(IndexKey::Type(of_type))
        .chain(each)
        .collect()
}

impl Index {
    /// A task is there.
    pub(super) fn insert(&mut self, no: TaskNo, state: TaskState, body: &Body) {
        self.all.of_mut(state).insert(no);
        for kind in kinds(body) {
            let per_state = self.kinds.entry(kind).or_default();
            per_state.of_mut(state).insert(no);
        }
    }

    /// A task has gone from one state to another.
    pub(super) fn moved(&mut self, no: TaskNo, from: TaskState, to: TaskState, body: &Body) {
        if from == to {
            return;
        }
        self.all.of_mut(from).remove(&no);
        self.all.of_mut(to).insert(no);
        for kind in kinds(body) {
            if let Some(per_state) = self.kinds.get_mut(&kind) {
                per_state.of_mut(from).remove(&no);
                per_state.of_mut(to).insert(no);
            }
        }
    }

    /// A task is forgotten.
    pub(super) fn remove(&mut self, no: TaskNo, state: TaskState, body: &Body) {
        self.all.of_mut(state).remove(&no);
        for kind in kinds(body) {
            if let Some(per_state) = self.kinds.get_mut(&kind) {
                per_state.of_mut(state).remove(&no);
                if per_state.is_empty() {
                    self.kinds.remove(&kind);
                }
            }
        }
    }

    /// How many tasks there are of these; a capability counts only where no type is given.
    pub(super) fn count(&self, wanted: TaskFilter<'_>) -> usize {
        self.sets(wanted).map(BTreeSet::len).sum()
    }

    /// The tasks of a range of numbers, by number. Where type and capability are both given, those
    /// of the type.
    pub(super) fn find<'a>(
        &'a self,
        wanted: TaskFilter<'a>,
        range: RangeInclusive<TaskNo>,
        newest_first: bool,
    ) -> impl Iterator<Item = TaskNo> + 'a {
        let empty = range.is_empty();
        let sets = self.sets(wanted).filter(move |_| !empty);
        let sets = sets.map(move |set| {
            let found = set.range(range.clone()).copied();
            let found: Box<dyn Iterator<Item = TaskNo> + 'a> = match newest_first {
                true => Box::new(found.rev()),
                false => Box::new(found),
            };
            found.peekable()
        });
        Merged {
            sets: sets.collect(),
            newest_first,
        }
    }

    fn sets<'a>(
        &'a self,
        wanted: TaskFilter<'a>,
    ) -> impl Iterator<Item = &'a BTreeSet<TaskNo>> + 'a {
        let of_type = wanted.task_type.map(|name| {
            let name: Capability = name.clone().into();
            [IndexKey::Plain(name.clone()), IndexKey::Type(name)]
        });
        let of_capability = wanted.capability.map(|name| {
            [
                IndexKey::Plain(name.clone()),
                IndexKey::Capability(name.clone()),
            ]
        });
        let groups: Vec<&PerState> = match of_type.or(of_capability) {
            None => vec![&self.all],
            Some(kinds) => kinds
                .iter()
                .filter_map(|kind| self.kinds.get(kind))
                .collect(),
        };
        groups.into_iter().flat_map(move |group| {
            let states = super::super::stats::TaskCounts::STATES;
            let wants =
                move |state: &TaskState| wanted.states.is_empty() || wanted.states.contains(state);
            states
                .into_iter()
                .filter(wants)
                .map(|state| group.of(state))
        })
    }
}

/// Several ordered sets as one.
struct Merged<I: Iterator<Item = TaskNo>> {
    sets: Vec<Peekable<I>>,
    newest_first: bool,
}

impl<I: Iterator<Item = TaskNo>> Iterator for Merged<I> {
    type Item = TaskNo;

    fn next(&mut self) -> Option<TaskNo> {
        let heads = self.sets.iter_mut().enumerate();
        let heads = heads.filter_map(|(place, set)| Some((*set.peek()?, place)));
        let (_, place) = match self.newest_first {
            true => heads.max(),
            false => heads.min(),
        }?;
        self.sets[place].next()
    }
}
