//! What all actors share: whether the gateway is up, how far everybody has come, and the history.
//!
//! Nobody sleeps: actors wait for the gateway to be up again, the killer waits for a number of
//! packets to have gone by.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::history::{Event, What};
use crate::harness::{DEADLINE, Gateway};

/// Counts the gateway's lives.
pub(super) type Life = u64;

#[derive(Debug, Default)]
struct State {
    /// The life that can be connected to now.
    up: Option<Life>,
    /// Packets that actors sent or received.
    packets: u64,
    /// Actors that have settled.
    settled: usize,
    started: bool,
    stopping: bool,
    over: bool,
    /// Open connections, to break when it is over.
    sockets: Vec<TcpStream>,
}

/// The shared world.
#[derive(Debug)]
pub(super) struct World {
    pub(super) gateway: SocketAddr,
    pub(super) seed: u64,
    state: Mutex<State>,
    changed: Condvar,
    history: Mutex<Vec<Event>>,
}

impl World {
    pub(super) fn around(gateway: &Gateway, seed: u64) -> Arc<World> {
        let state = State {
            up: Some(1),
            ..State::default()
        };
        Arc::new(World {
            gateway: gateway.mqtt,
            seed,
            state: Mutex::new(state),
            changed: Condvar::new(),
            history: Mutex::new(Vec::new()),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits until the condition gives something; `None` if it is over, or took too long.
    fn wait<T>(&self, mut condition: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.state();
        loop {
            if state.over {
                return None;
            }
            if let Some(found) = condition(&state) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(super) fn record(&self, who: &str, subject: &str, n: u64, what: What) {
        let event = Event {
            who: who.to_owned(),
            subject: subject.to_owned(),
            n,
            what,
        };
        self.history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
    }

    pub(super) fn take_history(&self) -> Vec<Event> {
        std::mem::take(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A packet went by.
    pub(super) fn step(&self) {
        self.change(|state| state.packets += 1);
    }

    /// Waits until so many more packets have gone by; false if they do not.
    pub(super) fn steps_go_by(&self, count: u64) -> bool {
        let goal = self.state().packets + count;
        self.wait(|state| (state.packets >= goal).then_some(()))
            .is_some()
    }

    /// The same for an actor that stays away, which ends early when everybody is to finish.
    pub(super) fn stay_away(&self, count: u64) {
        let goal = self.state().packets + count;
        self.wait(|state| (state.packets >= goal || state.stopping).then_some(()));
    }

    /// Waits for a life of the gateway after `beyond`; `None` when it is over.
    pub(super) fn life_after(&self, beyond: Life) -> Option<Life> {
        self.wait(|state| state.up.filter(|life| *life > beyond))
    }

    /// Whether this life is still meant to go on.
    pub(super) fn lives(&self, life: Life) -> bool {
        self.state().up == Some(life)
    }

    /// Must be said before the kill, so that whoever loses its connection knows why.
    pub(super) fn about_to_kill(&self) {
        self.change(|state| {
            state.up = None;
            // Those of this life are dead now.
            state.sockets.clear();
        });
        self.record("", "", 0, What::Killed);
    }

    pub(super) fn up_again(&self, life: Life) {
        self.change(|state| state.up = Some(life));
    }

    pub(super) fn settled(&self) {
        self.change(|state| state.settled += 1);
    }

    pub(super) fn all_settled(&self, count: usize) -> bool {
        self.wait(|state| (state.settled >= count).then_some(()))
            .is_some()
    }

    pub(super) fn start(&self) {
        self.change(|state| state.started = true);
    }

    pub(super) fn started(&self) {
        self.wait(|state| state.started.then_some(()));
    }

    /// Nothing new is begun any more; what was begun is ended.
    pub(super) fn stop(&self) {
        self.change(|state| state.stopping = true);
    }

    pub(super) fn stopping(&self) -> bool {
        let state = self.state();
        state.stopping || state.over
    }

    pub(super) fn over(&self) -> bool {
        self.state().over
    }

    /// Everybody goes home; whoever still reads is woken.
    pub(super) fn end(&self) {
        self.change(|state| {
            state.over = true;
            for socket in state.sockets.drain(..) {
                // It may be closed already.
                let _ = socket.shutdown(Shutdown::Both);
            }
        });
    }

    /// Lets [`World::end`] wake whoever reads from this connection; false if it is over already.
    pub(super) fn watch(&self, socket: TcpStream) -> bool {
        let mut state = self.state();
        state.sockets.push(socket);
        !state.over
    }
}
