//! Whether what clients were told could have happened one after another, each while it was under
//! way: of a blackboard here, of retained messages in `check`.
//!
//! The search of Wing and Gong with Lowe's memory: take any operation that nothing unanswered
//! precedes, see whether it says what a board would say now, and go on from there. The board here
//! is a map; nothing of the engine's own order is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::history::{Event, Op, Outcome, What};

/// A board: version and value of each key; a version outlives its value.
type Board = BTreeMap<String, (u64, Option<String>)>;

/// Something that was under way from here to there.
#[derive(Debug, Clone)]
pub(super) struct Operation<O> {
    /// Places in the history.
    pub(super) from: usize,
    pub(super) until: usize,
    pub(super) op: O,
    /// Whether it is known to have happened.
    pub(super) is_known: bool,
}

/// What was asked of a board.
#[derive(Debug, Clone)]
struct Question {
    op: Op,
    /// `None` if nobody knows whether it happened.
    outcome: Option<Outcome>,
    repeated: bool,
}

/// What cannot be put in an order.
pub(super) fn check(history: &[Event]) -> Result<(), String> {
    let mut all: BTreeMap<(&str, usize), Operation<Question>> = BTreeMap::new();
    for (at, event) in history.iter().enumerate() {
        match &event.what {
            What::Invoked { n, op } => {
                let operation = Operation {
                    from: at,
                    until: usize::MAX,
                    op: Question {
                        op: op.clone(),
                        outcome: None,
                        repeated: false,
                    },
                    is_known: false,
                };
                all.entry((event.who.as_str(), *n)).or_insert(operation);
            }
            What::Repeated { n } => {
                if let Some(known) = all.get_mut(&(event.who.as_str(), *n)) {
                    known.op.repeated = true;
                }
            }
            What::Answered { n, outcome } => {
                let known = all.get_mut(&(event.who.as_str(), *n));
                let known = known.ok_or_else(|| format!("an answer to nothing: {event:?}"))?;
                match &known.op.outcome {
                    None => {
                        known.op.outcome = Some(outcome.clone());
                        known.is_known = true;
                        known.until = at;
                    }
                    Some(first) if first != outcome && known.op.op != Op::Read => {
                        return Err(format!("first {first:?}, then {event:?}"));
                    }
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }
    let mut operations: Vec<Operation<Question>> = all.into_values().collect();
    // A refusal is not remembered: what was sent twice may be refused and, when its copy comes, be
    // taken.
    let copies: Vec<_> = operations
        .iter()
        .filter(|one| one.op.repeated && one.op.outcome == Some(Outcome::Refused))
        .map(|one| Operation {
            until: usize::MAX,
            op: Question {
                outcome: None,
                ..one.op.clone()
            },
            is_known: false,
            ..*one
        })
        .collect();
    operations.extend(copies);
    search(operations, Board::new(), apply)
}

/// Looks for an order; `apply` says what becomes of a state by an operation, or nothing if the
/// operation does not fit.
pub(super) fn search<S: Clone + Ord, O: Debug, I: IntoIterator<Item = S>>(
    mut operations: Vec<Operation<O>>,
    start: S,
    apply: impl Fn(&S, &O) -> I,
) -> Result<(), String> {
    operations.sort_by_key(|one| one.from);
    let mut seen: BTreeSet<(Vec<usize>, S)> = BTreeSet::new();
    // What is done, as the first that is not and those beyond it that are; and the state that they
    // made.
    let mut open: Vec<(usize, BTreeSet<usize>, S)> = vec![(0, BTreeSet::new(), start)];
    let mut furthest = 0;
    while let Some((first, beyond, state)) = open.pop() {
        if first == operations.len() {
            return Ok(());
        }
        furthest = furthest.max(first);
        let pending = || (first..operations.len()).filter(|at| !beyond.contains(at));
        let end = pending().map(|at| operations[at].until).min();
        let end = end.unwrap_or(usize::MAX);
        if pending().all(|at| !operations[at].is_known) {
            return Ok(());
        }
        for at in pending().take_while(|at| operations[*at].from < end) {
            for next in apply(&state, &operations[at].op) {
                let (mut first, mut beyond) = (first, beyond.clone());
                beyond.insert(at);
                while beyond.remove(&first) {
                    first += 1;
                }
                let mut done: Vec<usize> = beyond.iter().copied().collect();
                done.push(first);
                if seen.insert((done, next.clone())) {
                    open.push((first, beyond, next));
                }
            }
        }
    }
    let stuck: Vec<_> = operations[furthest..].iter().take(6).collect();
    Err(format!("no order explains {stuck:#?}"))
}

/// The board after an operation, if it then says what was said.
fn apply(board: &Board, operation: &Question) -> Option<Board> {
    let version = |key: &String| {
        let known = board.get(key);
        known
            .filter(|(_, value)| value.is_some())
            .map_or(0, |(version, _)| *version)
    };
    match (&operation.op, &operation.outcome) {
        (Op::Read, None) => Some(board.clone()),
        (Op::Read, Some(Outcome::Found(found))) => {
            let there = board.iter().filter_map(|(key, (version, value))| {
                Some((key.clone(), (*version, value.clone()?)))
            });
            (there.collect::<BTreeMap<_, _>>() == *found).then(|| board.clone())
        }
        (Op::Write(parts), outcome) => {
            let holds = parts.iter().all(|(key, if_version, value)| {
                if_version.is_none_or(|wanted| wanted == version(key))
                    && (value.is_some() || version(key) > 0)
            });
            match outcome {
                Some(Outcome::Refused) => return (!holds).then(|| board.clone()),
                Some(Outcome::Found(_)) => return None,
                Some(Outcome::Written(_)) if !holds => return None,
                // Nobody knows; if it could not be, it was not.
                None if !holds => return Some(board.clone()),
                _ => {}
            }
            let mut next = board.clone();
            let mut made = BTreeMap::new();
            for (key, _, value) in parts {
                let known = next.entry(key.clone()).or_default();
                known.0 += u64::from(value.is_some());
                known.1.clone_from(value);
                if value.is_some() {
                    made.insert(key.clone(), known.0);
                }
            }
            match outcome {
                Some(Outcome::Written(told)) if *told != made => None,
                _ => Some(next),
            }
        }
        _ => None,
    }
}
