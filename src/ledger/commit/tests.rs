//! Group commit: order, faults of the disk, and what is let go when.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::store::{Space, Visit};
use super::super::{CommitState, FaultStore, MemoryStore};
use super::*;

/// A store whose commits wait until the test lets each one happen.
struct GatedStore {
    inner: FaultStore,
    entered: Sender<()>,
    proceed: Receiver<()>,
}

impl Store for GatedStore {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.entered.send(()).unwrap();
        self.proceed
            .recv()
            .expect("the test lets every commit happen");
        self.inner.commit(batch)
    }

    fn scan(&self, space: Space, prefix: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(space, prefix, visit)
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(space, key)
    }

    fn reader(&self) -> Result<Box<dyn super::super::StoreReader>, StoreError> {
        self.inner.reader()
    }

    fn view(&self) -> Result<Box<dyn super::super::StoreReader>, StoreError> {
        self.reader()
    }
}

/// A committer over a scripted store, with what it released and how far the disk was then.
struct World {
    disk: FaultStore,
    committer: Committer<u8>,
    released: Receiver<(u8, usize)>,
    idle: Receiver<()>,
}

fn world(options: CommitOptions, store: impl FnOnce(FaultStore) -> Box<dyn Store>) -> World {
    let disk = FaultStore::new();
    let (release, released) = channel();
    let (wake, idle) = channel();
    let seen = disk.clone();
    let committer = Committer::spawn(
        store(disk.clone()),
        options,
        move |id| release.send((id, seen.commits())).unwrap_or(()),
        move || wake.send(()).unwrap_or(()),
    );
    World {
        disk,
        committer,
        released,
        idle,
    }
}

fn plain() -> World {
    world(quick(), |disk| Box::new(disk))
}

fn quick() -> CommitOptions {
    CommitOptions {
        retry_initial: Duration::from_micros(1),
        retry_max: Duration::from_micros(10),
    }
}

/// Never tries again by itself within the life of a test.
fn patient() -> CommitOptions {
    let day = Duration::from_secs(86_400);
    CommitOptions {
        retry_initial: day,
        retry_max: day,
    }
}

fn sealed(id: u8) -> SealedBatch<u8> {
    let mut batch = Batch::default();
    batch.put(Space::Engine, [id], vec![id]);
    SealedBatch { batch, release: id }
}

fn full() -> StoreError {
    StoreError::Full {
        path: "disk".into(),
    }
}

fn corrupt() -> StoreError {
    StoreError::Corrupt {
        path: "disk".into(),
        reason: "bad page".into(),
    }
}

impl World {
    /// Submits as the desk does: when the place is taken, it waits for the wake-up.
    fn submit(&self, mut sealed: SealedBatch<u8>) {
        while let Err(back) = self.committer.try_submit(sealed) {
            sealed = back;
            self.idle.recv().unwrap();
        }
    }

    fn wait_for(&self, reached: impl Fn(&CommitState) -> bool) {
        let mut state = self.committer.health().watch();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime
            .block_on(async { state.wait_for(reached).await.map(drop) })
            .unwrap();
    }
}

fn stalled(state: &CommitState) -> bool {
    matches!(state, CommitState::Stalled { .. })
}

#[test]
fn release_follows_the_commit_in_order() {
    let world = plain();
    for id in 0..50 {
        world.submit(sealed(id));
    }
    let health = world.committer.health();
    let stats = health.stats();
    world.committer.close().unwrap();
    let released: Vec<_> = world.released.iter().collect();
    let expected: Vec<_> = (0..50).map(|id| (id, usize::from(id) + 1)).collect();
    assert_eq!(released, expected);
    assert_eq!(
        (
            stats.commits.value(),
            stats.rows.value(),
            stats.bytes.value()
        ),
        (50, 50, 100)
    );
    assert_eq!(health.state(), CommitState::Ok);
}

#[test]
fn empty_batch_costs_no_commit_and_keeps_its_place() {
    let world = plain();
    world.submit(sealed(1));
    world.submit(SealedBatch {
        batch: Batch::default(),
        release: 2,
    });
    world.submit(sealed(3));
    world.committer.close().unwrap();
    assert_eq!(
        world.released.iter().collect::<Vec<_>>(),
        [(1, 1), (2, 1), (3, 2)]
    );
}

#[test]
fn one_batch_waits_behind_the_one_being_synced_and_no_more() {
    let (entered, syncing) = channel();
    let (go_on, proceed) = channel();
    let world = world(quick(), |inner| {
        Box::new(GatedStore {
            inner,
            entered,
            proceed,
        })
    });
    assert!(world.committer.is_idle());
    world.committer.try_submit(sealed(1)).unwrap();
    syncing.recv().unwrap();
    world.idle.recv().unwrap();
    assert!(!world.committer.is_idle());
    world.committer.try_submit(sealed(2)).unwrap();
    let back = world
        .committer
        .try_submit(sealed(3))
        .expect_err("the place is taken");
    assert_eq!(back.release, 3);
    assert!(
        world.released.try_recv().is_err(),
        "nothing leaves before it is on disk"
    );

    go_on.send(()).unwrap();
    world.idle.recv().unwrap();
    assert_eq!(world.released.recv().unwrap(), (1, 1));
    world.committer.try_submit(back).unwrap();
    go_on.send(()).unwrap();
    go_on.send(()).unwrap();
    world.committer.close().unwrap();
    assert_eq!(world.released.iter().collect::<Vec<_>>(), [(2, 2), (3, 3)]);
}

#[test]
fn full_disk_holds_releases_back_until_there_is_space() {
    let world = plain();
    world.disk.fail_next(5, full());
    for id in 0..4 {
        world.submit(sealed(id));
    }
    let health = world.committer.health();
    world
        .committer
        .close()
        .unwrap_or_else(|error| panic!("it recovers before it closes: {error}"));
    assert_eq!(
        world.released.iter().collect::<Vec<_>>(),
        [(0, 1), (1, 2), (2, 3), (3, 4)]
    );
    assert_eq!(
        (
            health.stats().stalls.value(),
            health.state(),
            world.disk.refused()
        ),
        (1, CommitState::Ok, 5)
    );
}

#[test]
fn stall_shows_the_words_of_the_store() {
    let world = world(patient(), |disk| Box::new(disk));
    world.disk.fail_next(usize::MAX, full());
    world.submit(sealed(1));
    world.wait_for(stalled);
    let CommitState::Stalled { error, .. } = world.committer.health().state() else {
        panic!("it stalls")
    };
    assert!(error.contains("no space left"), "{error}");
    assert!(world.released.try_recv().is_err());
}

#[test]
fn close_interrupts_the_pause_for_one_last_attempt() {
    let world = world(patient(), |disk| Box::new(disk));
    world.disk.fail_next(1, full());
    world.submit(sealed(1));
    world.wait_for(stalled);
    world.submit(sealed(2));
    world.committer.close().unwrap();
    assert_eq!(world.released.iter().collect::<Vec<_>>(), [(1, 1), (2, 2)]);
}

#[test]
fn close_of_a_stalled_store_reports_it_and_releases_nothing() {
    let world = world(patient(), |disk| Box::new(disk));
    world.disk.fail_next(usize::MAX, full());
    world.submit(sealed(1));
    world.wait_for(stalled);
    assert!(matches!(
        world.committer.close(),
        Err(StoreError::Full { .. })
    ));
    assert_eq!(world.released.iter().count(), 0);
}

#[test]
fn broken_store_ends_it_and_the_runtime_learns_why() {
    let world = plain();
    world.submit(sealed(1));
    assert_eq!(world.released.recv().unwrap(), (1, 1));
    world.disk.fail_next(1, corrupt());
    world.submit(sealed(2));
    let health = world.committer.health();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert!(runtime.block_on(health.failed()).contains("bad page"));
    assert!(matches!(
        world.committer.close(),
        Err(StoreError::Corrupt { .. })
    ));
    assert_eq!(
        world.released.iter().count(),
        0,
        "the batch that was not durable is never released"
    );
}

#[test]
fn nothing_is_taken_after_a_failure() {
    let world = plain();
    world.disk.fail_next(1, corrupt());
    world.submit(sealed(1));
    world.wait_for(|state| matches!(state, CommitState::Failed { .. }));
    let back = world
        .committer
        .try_submit(sealed(2))
        .expect_err("nobody will commit it");
    assert_eq!(back.release, 2);
    assert!(!world.committer.is_idle());
}

#[test]
fn panic_in_release_is_a_failure_that_is_told() {
    let committer = Committer::spawn(
        Box::new(MemoryStore::new()),
        quick(),
        |_: u8| panic!("scripted"),
        || {},
    );
    committer.try_submit(sealed(1)).unwrap();
    let health = committer.health();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert!(runtime.block_on(health.failed()).contains("panicked"));
    assert!(matches!(committer.close(), Err(StoreError::Other { .. })));
}

#[test]
fn every_crash_image_holds_what_was_released_by_then() {
    let world = plain();
    for id in 0..20 {
        world.submit(sealed(id));
    }
    world.committer.close().unwrap();
    let images: Vec<_> = world.disk.images().collect();
    for (id, commits) in world.released.iter() {
        let image = &images[commits];
        assert_eq!(image.get(Space::Engine, &[id]).unwrap(), Some(vec![id]));
    }
}
