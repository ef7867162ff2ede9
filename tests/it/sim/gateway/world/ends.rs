//! The end of a run: nothing is unanswered, nothing is left, and every image of the store is a
//! start.

use hallward::desk::last_mark;
use hallward::desk::port::Request;
use hallward::engine::TaskCounts;
use hallward::ledger::{MemoryStore, Store};
use tokio::sync::oneshot;

use super::super::network::Link;
use super::super::seat::Seat;
use super::{Action, IMAGES, Outcome, World, start};

impl World {
    pub(super) fn everything_has_ended(&self) -> Outcome {
        for user in &self.users {
            if let Some(words) = user.waits_for() {
                return Err(format!("never answered: {words}"));
            }
            if !user.client.is_idle() {
                return Err(format!("never acknowledged: {:?}", user.client));
            }
        }
        Ok(())
    }

    /// Everybody leaves for good and time passes until nothing is remembered: the desk's maps are
    /// empty.
    pub(super) fn everybody_leaves(&mut self) -> Outcome {
        self.links.clear();
        self.agenda
            .retain(|_, action| matches!(action, Action::Synced(_)));
        for who in 0..self.users.len() {
            self.users[who].client.disconnected();
            let name = self.users[who].client.name.clone();
            let link = self.dialled + 1 + who as u64;
            self.links.insert(link, Link::new(who));
            let now = self.now;
            let Some(up) = &mut self.gateway else {
                return Err("the gateway is down in the end".to_owned());
            };
            // A clean session takes the place of the one that lasts, and ends.
            let (seat, request) = Seat::open(link, &name, true, None);
            up.seats.insert(link, seat);
            up.desk.handle(now, request);
            self.notices(link);
        }
        let long = 3 * self
            .rules
            .settings()
            .mailbox
            .inbox_ttl
            .ms()
            .max(self.rules.retention_ms);
        self.pass(self.now + long)?;
        let now = self.now;
        let Some(up) = &mut self.gateway else {
            return Err("the gateway is down in the end".to_owned());
        };
        let (ask, mut answer) = oneshot::channel();
        up.desk.handle(now, Request::Measure(ask));
        let held = answer.try_recv().map_err(|error| error.to_string())?;
        let stats = up.desk.stats();
        let engine = stats.engine.read(Clone::clone);
        let unfinished = TaskCounts::STATES
            .into_iter()
            .filter(|state| !state.is_final());
        let tasks: usize = unfinished.map(|state| engine.tasks.of(state)).sum();
        let left = [
            ("clients", held.clients as u64),
            ("connections", held.connected as u64),
            ("subscriptions", held.subscriptions as u64),
            ("messages", (held.stored_messages - held.retained) as u64),
            ("tasks", tasks as u64),
            ("approvals", engine.pending_approvals as u64),
            ("tools", engine.tools as u64),
            ("calls", engine.tool_calls as u64),
            ("calls that are over", engine.ended_calls as u64),
            ("locks", engine.locks as u64),
            // One room has keys, perhaps.
            ("rooms", engine.rooms.saturating_sub(1) as u64),
            (
                "bytes of the past",
                stats.journal.read(|journal| journal.bytes),
            ),
        ];
        match left.iter().find(|(_, count)| *count > 0) {
            Some((what, count)) => Err(format!("{count} {what} are left of {held:?}")),
            None => Ok(()),
        }
    }

    /// Whatever commit was the last before a crash, the gateway starts from it, and again from what
    /// it makes of that.
    pub(super) fn every_image_is_a_start(&mut self, images: &[MemoryStore]) -> Outcome {
        let step = images.len() / IMAGES + 1;
        for image in images.iter().step_by(step) {
            let last = last_mark(image).map_err(|error| error.to_string())?;
            let here = self.machine.untouched_since(last.as_ref(), self.now);
            let mut desk = start(&self.rules, 1, here, image)?;
            let mut next = image.snapshot();
            let pending = desk.seal(self.now);
            next.commit(&pending.records)
                .map_err(|error| error.to_string())?;
            let _ = start(&self.rules, 2, here, &next)?;
        }
        Ok(())
    }
}
