//! What happens to the gateway and its machine: crashes, restarts, and a clock that somebody sets.

use super::*;

impl World {
    /// Kill -9: a batch on its way to the disk is there or is not, and if it is, some of what it
    /// justifies may have left.
    pub(super) fn crash(&mut self) {
        if self.calm {
            return;
        }
        let after = self.dice.weighted(&[(75, 4_000), (25, 60)]);
        let after = self.dice.between(1, after);
        self.plan(after, Action::Crash);
        let Some(mut up) = self.gateway.take() else {
            return;
        };
        if let Some(pending) = up.syncing.take()
            && self.dice.percent(50)
            && commit(&mut self.store, &mut self.written, &pending.records)
        {
            let all = pending.releases.len() as u64;
            let some = usize::try_from(self.dice.below(all + 1)).expect("few");
            self.release(pending.releases.into_iter().take(some).collect());
        }
        self.gateway = Some(up);
        self.pump();
        self.gateway = None;
        self.tell("gateway", What::Crashed);
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            let percent = self.dice.below(101);
            if let Some(known) = self.links.get_mut(&link) {
                known.down.cut(percent);
                known.up.cut(0);
            }
            // What still comes comes before the end.
            self.end_of(link);
        }
        let after = self.dice.weighted(&[(60, 5), (30, 300), (10, 3_000)]);
        let after = self.dice.below(after);
        self.plan(after, Action::Restart);
    }

    /// The client finds out at some time, unless it has dialled anew by then.
    pub(super) fn end_of(&mut self, link: LinkId) {
        let Some(known) = self.links.get(&link) else {
            return;
        };
        let who = known.who;
        if !known.client_has_it {
            self.links.remove(&link);
            return;
        }
        // Its ears are closed at once; what arrived, arrived.
        let after = self.dice.below(800);
        self.links.remove(&link);
        self.lost(who);
        self.plan(after, Action::Dial(who));
    }

    /// Somebody sets the wall clock, whether the gateway runs or not.
    pub(super) fn set_clock(&mut self) {
        if self.calm {
            return;
        }
        let after = self.clock_dice.between(200, 2_500);
        self.plan(after, Action::SetClock);
        let last = last_mark(&self.store).ok().flatten();
        self.machine.set_clock(&mut self.clock_dice, last.as_ref());
        self.tell("gateway", What::ClockSet);
        if let Some(up) = &mut self.gateway {
            up.desk.look_at_wall(self.now, self.machine.ahead);
        }
        self.seal();
    }

    pub(super) fn restart(&mut self) -> Outcome {
        if self.gateway.is_some() {
            return Ok(());
        }
        self.starts += 1;
        let seed = self.seed.wrapping_add(self.starts << 32);
        let last = last_mark(&self.store).map_err(|error| error.to_string())?;
        self.machine.now = self.now;
        if self.has_clock_steps && self.clock_dice.percent(40) {
            self.machine.starts_anew(last.as_ref());
        }
        let desk = start(&self.rules, seed, self.machine, &self.store)?;
        self.gateway = Some(Gateway {
            desk,
            seats: BTreeMap::new(),
            syncing: None,
        });
        self.tell("gateway", What::Restarted);
        self.seal();
        Ok(())
    }
}
