//! Results of tasks as they arrive, and who waits for which.

use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::{mpsc, watch};

use super::core::decode;
use super::error::Error;
use super::feed::FeedSender;
use super::link::Letter;
use super::waiting::Expectations;
use crate::wire::handoff::{GroupResult, TaskResult};
use crate::wire::name::TaskId;

/// Partial results and questions of one task that may wait to be read.
const MOST_PARTS: usize = 256;

/// Results that are kept for who wants them later.
const MOST_UNCLAIMED: usize = 1_024;

/// Something from the mailbox, which keeps it until [`Mailed::ack`].
///
/// Dropped without, it goes back, and comes again.
#[derive(Debug)]
#[must_use = "what is not acknowledged comes again"]
pub struct Mailed<T> {
    value: T,
    letter: Letter,
}

impl<T> Mailed<T> {
    pub(super) fn new(value: T, letter: Letter) -> Mailed<T> {
        Mailed { value, letter }
    }

    /// It is dealt with, and need not come again.
    pub fn ack(mut self) -> T {
        self.letter.ack();
        self.value
    }
}

impl<T> Deref for Mailed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The results of one room's tasks.
#[derive(Debug, Default)]
pub(super) struct Results {
    state: Mutex<ResultsState>,
    pub(super) groups: Expectations<String, GroupResult>,
}

#[derive(Debug, Default)]
struct ResultsState {
    tasks: HashMap<TaskId, Vec<TaskSlot>>,
    last: u64,
    all: Option<FeedSender<Mailed<TaskResult>>>,
    /// Those that came when nobody wanted them, acknowledged: for who reads all of them later.
    unclaimed: VecDeque<Mailed<TaskResult>>,
}

#[derive(Debug)]
struct TaskSlot {
    number: u64,
    parts: mpsc::Sender<TaskResult>,
    is_full: Arc<AtomicBool>,
    end: watch::Sender<Option<TaskResult>>,
}

/// One who waits for a task.
#[derive(Debug)]
pub(super) struct TaskSeat {
    pub(super) task: TaskId,
    number: u64,
    pub(super) parts: mpsc::Receiver<TaskResult>,
    pub(super) end: watch::Receiver<Option<TaskResult>>,
    is_full: Arc<AtomicBool>,
}

impl TaskSeat {
    /// Whether parts were lost because they were not read.
    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }
}

enum AnyResult {
    Task(Box<TaskResult>),
    Group(GroupResult),
}

/// What tells the two kinds of results apart.
#[derive(Deserialize)]
struct ResultKind {
    #[serde(default)]
    group: Option<IgnoredAny>,
}

impl Results {
    fn state(&self) -> MutexGuard<'_, ResultsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for a task's results.
    pub(super) fn take_seat(&self, task: TaskId) -> TaskSeat {
        let (part, parts) = mpsc::channel(MOST_PARTS);
        let (end, ended) = watch::channel(None);
        let is_full = Arc::new(AtomicBool::new(false));
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        let slot = TaskSlot {
            number,
            parts: part,
            is_full: is_full.clone(),
            end,
        };
        state.tasks.entry(task.clone()).or_default().push(slot);
        TaskSeat {
            task,
            number,
            parts,
            end: ended,
            is_full,
        }
    }

    pub(super) fn leave_seat(&self, seat: &TaskSeat) {
        let mut state = self.state();
        if let Some(slots) = state.tasks.get_mut(&seat.task) {
            slots.retain(|slot| slot.number != seat.number);
            if slots.is_empty() {
                state.tasks.remove(&seat.task);
            }
        }
    }

    /// Has all results of all tasks of this agent told.
    pub(super) fn tell_all(&self, feed: FeedSender<Mailed<TaskResult>>) -> Result<(), Error> {
        let mut state = self.state();
        if state.all.as_ref().is_some_and(|feed| !feed.is_closed()) {
            return Err(Error::Overflow(
                "somebody reads the results of this room already",
            ));
        }
        for result in state.unclaimed.drain(..) {
            feed.push(Ok(result));
        }
        state.all = Some(feed);
        Ok(())
    }

    pub(super) fn arrived(&self, mut letter: Letter) {
        let read = decode::<ResultKind>(&letter.payload).and_then(|kind| match kind.group {
            Some(_) => decode(&letter.payload).map(AnyResult::Group),
            None => decode(&letter.payload).map(AnyResult::Task),
        });
        match read {
            Ok(AnyResult::Group(result)) => {
                letter.ack();
                self.groups.arrived(result.group.clone(), result);
            }
            Ok(AnyResult::Task(result)) => self.task_result(*result, letter),
            Err(error) => {
                tracing::error!(topic = %letter.topic, %error, "passed over");
                letter.ack();
            }
        }
    }

    fn task_result(&self, result: TaskResult, mut letter: Letter) {
        let mut state = self.state();
        let is_told = state.tell(&result);
        if state.all.as_ref().is_some_and(FeedSender::is_closed) {
            state.all = None;
        }
        match &state.all {
            Some(feed) => feed.push(Ok(Mailed::new(result, letter))),
            None => {
                letter.ack();
                if !is_told {
                    state.keep(Mailed::new(result, letter));
                }
            }
        }
    }
}

impl ResultsState {
    /// Whether somebody waits for it.
    fn tell(&self, result: &TaskResult) -> bool {
        let slots = self.tasks.get(&result.task);
        for slot in slots.into_iter().flatten() {
            if result.is_final {
                slot.end.send_replace(Some(result.clone()));
            } else if slot.parts.try_send(result.clone()).is_err() {
                slot.is_full.store(true, Ordering::Release);
            }
        }
        slots.is_some()
    }

    /// What does not fit any more can be asked for with `handoff/get`.
    fn keep(&mut self, result: Mailed<TaskResult>) {
        if self.unclaimed.len() >= MOST_UNCLAIMED {
            self.unclaimed.pop_front();
        }
        self.unclaimed.push_back(result);
    }
}
