//! The desk's thread: requests in, batches to the committer, releases out once they are durable.
//!
//! While one batch is being synced the next one fills. A batch is handed over when the one before
//! is on disk, so that nobody waits for more than the sync in progress and its own; a very large
//! one may queue behind.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::batch::{Pending, Release};
use super::config::DeskConfig;
use super::core::{Desk, Sealing};
use super::port::Request;
use crate::clock::Clock;
use crate::ledger::{
    CommitHealth, CommitOptions, CommitState, Committer, SealedBatch, Store, StoreError,
};
use crate::live::{LivePlane, LivePublisher, Plane, Publisher};
use crate::wire::Millis;
use crate::wire::message::Qos;

/// Bytes from which a batch may queue behind the one being synced. It bounds nothing
/// (`desk.max_pending` does) and changes only when large batches go, so there is no key for it.
const LARGE_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Sleeps are timed by a clock that stands still while the machine sleeps: nothing is late by more
/// than this after it wakes.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// A batch's number, and what may leave once it is on disk. What needs no disk may be taken out
/// before that.
type Releases = (u64, Arc<Mutex<Vec<Release>>>);

/// A running desk.
pub struct RunningDesk {
    requests: mpsc::Sender<Request>,
    health: Arc<CommitHealth>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl RunningDesk {
    /// Where sessions send their requests.
    pub fn requests(&self) -> mpsc::Sender<Request> {
        self.requests.clone()
    }

    /// How the ledger does.
    pub fn health(&self) -> Arc<CommitHealth> {
        self.health.clone()
    }

    /// Ends the desk once every sender of requests is gone and everything is on disk. Blocks.
    ///
    /// # Errors
    /// The ledger's, if it failed.
    pub fn join(self) -> Result<(), StoreError> {
        drop(self.requests);
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// What crosses between the desk's thread and the committer's.
#[derive(Default)]
struct CommitProgress {
    durable: AtomicU64,
    wake: Notify,
}

fn lock(releases: &Mutex<Vec<Release>>) -> MutexGuard<'_, Vec<Release>> {
    releases.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the desk's thread and its committer.
///
/// # Errors
/// If the thread cannot be started.
pub fn start(
    desk: Desk,
    store: Box<dyn Store>,
    options: CommitOptions,
    plane: &LivePlane,
    pace: DeskConfig,
    clock: Arc<Clock>,
) -> std::io::Result<RunningDesk> {
    let (requests, inbox) = mpsc::channel(pace.max_requests);
    let progress = Arc::new(CommitProgress::default());
    let committer = spawn_committer(store, options, plane.publisher(), progress.clone());
    let health = committer.health();
    let thread = std::thread::Builder::new()
        .name("desk".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(
                    DeskLoop {
                        desk,
                        inbox,
                        committer,
                        progress,
                        sealed: 0,
                        under_way: VecDeque::new(),
                        looked_at: 0,
                        aside: VecDeque::new(),
                        carried: None,
                        pace,
                        clock,
                    }
                    .run(),
                ),
                Err(error) => panic!("no timer for the desk's thread: {error}"),
            }
        })?;
    Ok(RunningDesk {
        requests,
        health,
        thread,
    })
}

fn spawn_committer(
    store: Box<dyn Store>,
    options: CommitOptions,
    mut publisher: LivePublisher,
    progress: Arc<CommitProgress>,
) -> Committer<Releases> {
    let idle = progress.clone();
    let release = move |(number, releases): Releases| {
        // Held for as long as that takes: what was sealed later is not let go before it.
        let mut releases = lock(&releases);
        release_all(std::mem::take(&mut *releases), &mut publisher);
        drop(releases);
        progress.durable.store(number, Ordering::Release);
        progress.wake.notify_one();
    };
    Committer::spawn(store, options, release, move || idle.wake.notify_one())
}

/// Runs on the committer's thread, after the batch is on disk. Responses go before broadcasts: a
/// session that hears of a subscription must do so before it hears what came after.
fn release_all(releases: Vec<Release>, publisher: &mut LivePublisher) {
    let mut broadcast = false;
    let mut published = Vec::new();
    for release in releases {
        match release {
            Release::Published(count) => published.push(count),
            Release::Answer(answer) => answer.send(),
            // A session that is gone needs no answer.
            Release::Respond(connection, response) | Release::NonDurable(connection, response) => {
                drop(connection.responses.send(response));
            }
            Release::Broadcast(message) => {
                broadcast = true;
                let frame = message.as_bytes().clone();
                if message.qos() == Qos::AtMostOnce {
                    publisher.push(message.topic(), frame);
                } else {
                    publisher.push_reliable(message.topic(), frame);
                }
            }
        }
    }
    if broadcast {
        publisher.flush_blocking();
    }
    for count in published {
        count.fetch_add(1, Ordering::Release);
    }
}

struct DeskLoop {
    desk: Desk,
    inbox: mpsc::Receiver<Request>,
    committer: Committer<Releases>,
    progress: Arc<CommitProgress>,
    /// The newest batch that was sealed.
    sealed: u64,
    /// Requests that have no room while the disk takes nothing, in their order: at most as many as
    /// wait to be taken.
    aside: VecDeque<Request>,
    /// What waits in batches that were sealed and are not on disk, in their order: as many as are
    /// under way.
    under_way: VecDeque<Releases>,
    /// So many of these, the oldest, have nothing left that needs no disk.
    looked_at: usize,
    /// A sealed batch that the committer had no room for.
    carried: Option<SealedBatch<Releases>>,
    pace: DeskConfig,
    clock: Arc<Clock>,
}

impl DeskLoop {
    async fn run(mut self) -> Result<(), StoreError> {
        let mut requests = Vec::new();
        let mut open = true;
        let mut health = self.committer.health().watch();
        while open && !self.failed() {
            self.submit_if_due();
            let takes = requests.is_empty() && self.may_take();
            let deadline = self.deadline();
            let (progress, clock) = (self.progress.clone(), self.clock.clone());
            tokio::select! {
                taken = self.inbox.recv_many(&mut requests, self.pace.max_batch), if takes => open = taken > 0,
                () = progress.wake.notified() => {}
                // Only that it has: what it is now is asked for below. It is never gone: the
                // committer has it.
                _ = health.changed() => {}
                () = sleep_until(deadline, &clock) => {}
            }
            let now = self.clock.now();
            self.desk.look_at_wall(now, self.clock.ahead());
            self.note_progress();
            self.catch_up(now);
            // After a start so much may be due that it takes several batches: whoever asks waits
            // for the last.
            if !self.desk.is_behind(now) {
                self.take_up(now);
                for request in requests.drain(..) {
                    self.handle(now, request);
                }
                self.desk.tick(now);
            }
            self.release_non_durable_if_stalled();
        }
        self.finish().await
    }

    /// Whether requests may be taken: there is room for what comes of them, or the disk takes
    /// nothing, and some need none.
    fn may_take(&self) -> bool {
        !self.is_full() || !self.is_crowded() && self.aside.len() < self.pace.max_requests
    }

    /// Does what a request asks, unless there is no room for that: then it waits.
    fn handle(&mut self, now: Millis, request: Request) {
        let has_room = self.aside.is_empty() && !self.is_full();
        if has_room || !waits(&request, &self.aside) {
            self.desk.handle(now, request);
        } else {
            self.aside.push_back(request);
        }
    }

    /// Does what was put aside, as far as there is room.
    fn take_up(&mut self, now: Millis) {
        while !self.is_full()
            && let Some(request) = self.aside.pop_front()
        {
            self.desk.handle(now, request);
        }
    }

    /// What is on disk by now, and whether the disk takes more.
    fn note_progress(&mut self) {
        let durable = self.durable();
        self.desk.committed(durable);
        while self
            .under_way
            .pop_front_if(|(number, _)| *number <= durable)
            .is_some()
        {
            self.looked_at = self.looked_at.saturating_sub(1);
        }
        let state = self.committer.health().state();
        let stands = matches!(state, CommitState::Stalled { .. });
        self.desk.disk_stalls(self.clock.now(), stands);
    }

    /// While the disk takes nothing, what needs none goes without.
    fn release_non_durable_if_stalled(&mut self) {
        if self.desk.is_stalled() {
            for (_, releases) in self.under_way.iter().skip(self.looked_at) {
                self.desk.release_non_durable(&mut lock(releases));
            }
            self.looked_at = self.under_way.len();
            self.desk.release_non_durable_pending();
        }
    }

    fn is_full(&self) -> bool {
        self.desk.pending_bytes() >= self.pace.max_pending.0
    }

    /// Whether there is no room for anything. While the disk takes nothing, time and those who need
    /// no disk may add as much again.
    fn is_crowded(&self) -> bool {
        let times = if self.desk.is_stalled() { 2 } else { 1 };
        self.desk.pending_bytes() / times >= self.pace.max_pending.0
    }

    /// Does what is due, as far as the batch has room for what comes of it.
    fn catch_up(&mut self, now: Millis) {
        while !self.is_crowded() && self.desk.is_behind(now) {
            self.desk.tick(now);
        }
    }

    fn durable(&self) -> u64 {
        self.progress.durable.load(Ordering::Acquire)
    }

    fn failed(&self) -> bool {
        matches!(self.committer.health().state(), CommitState::Failed { .. })
    }

    /// When the desk must wake without being asked.
    fn deadline(&self) -> Option<Millis> {
        let sealing = match self.desk.wants_sealing(self.clock.now()) {
            // It goes when the one before is on disk, and has no room for more until then.
            Sealing::Now if self.is_crowded() => return None,
            Sealing::At(at) => Some(at),
            Sealing::Now | Sealing::Never => None,
        };
        sealing.into_iter().chain(self.desk.poll_timeout()).min()
    }

    fn submit_if_due(&mut self) {
        let now = self.clock.now();
        let behind = self.sealed - self.durable();
        let may_queue = u64::from(self.desk.pending_bytes() >= LARGE_BATCH_BYTES);
        if self.carried.is_none()
            && behind <= may_queue
            && self.desk.wants_sealing(now) == Sealing::Now
        {
            self.seal(now);
        }
        self.submit();
    }

    fn seal(&mut self, now: Millis) {
        let Pending {
            number,
            records,
            releases,
            ..
        } = self.desk.seal(now);
        self.sealed = number;
        let release = (number, Arc::new(Mutex::new(releases)));
        self.under_way.push_back(release.clone());
        self.carried = Some(SealedBatch {
            batch: records,
            release,
        });
    }

    /// Hands the sealed batch over; without room it stays, and the committer wakes us when there is
    /// some.
    fn submit(&mut self) {
        if let Some(sealed) = self.carried.take() {
            self.carried = self.committer.try_submit(sealed).err();
        }
    }

    /// No session is left, or the ledger has failed for good: what is pending goes to disk if it
    /// can, then the committer ends.
    async fn finish(mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for request in std::mem::take(&mut self.aside) {
            self.desk.handle(now, request);
        }
        self.desk.leave_mark(now);
        loop {
            self.submit();
            // A ledger that has failed takes nothing more; one that is stalled gets its last
            // attempt from `close`.
            if self.committer.health().state() != CommitState::Ok {
                break;
            }
            if self.carried.is_none() {
                if self.desk.wants_sealing(self.clock.now()) == Sealing::Never {
                    break;
                }
                self.seal(self.clock.now());
                continue;
            }
            self.progress.wake.notified().await;
        }
        let DeskLoop {
            desk, committer, ..
        } = self;
        // What reads the ledger goes before the ledger does.
        drop(desk);
        committer.close()
    }
}

/// Whether a request waits its turn behind those that were put aside. What asks, takes away or ends
/// does not, but nobody leaves before what it has sent.
fn waits(request: &Request, aside: &VecDeque<Request>) -> bool {
    match request {
        Request::Publish { .. } | Request::Release { .. } | Request::Command(_) => true,
        Request::Close { connection, .. } => {
            let own = |one: &Request| matches!(one, Request::Publish { connection: of, .. } | Request::Release { connection: of, .. } if of == connection);
            aside.iter().any(own)
        }
        _ => false,
    }
}

async fn sleep_until(deadline: Option<Millis>, clock: &Clock) {
    match deadline {
        Some(at) => {
            let left = Duration::from_millis(at.saturating_sub(clock.now()));
            tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
        }
        None => std::future::pending().await,
    }
}
