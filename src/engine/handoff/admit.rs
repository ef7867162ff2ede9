//! Admission by capability: how many tasks may wait for one, and how fast they may come.
//!
//! It says whether, and with which words not; what is then done with the task is the business of
//! `dispatch`. Rates are kept as the time at which the next task would be on time; they are not
//! recorded, so a restart begins with a whole burst.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::Millis;
use crate::wire::handoff::TaskState;
use crate::wire::name::Capability;
use crate::wire::reply::{Code, Rejection};

use crate::engine::settings::Settings;
use crate::engine::tx::RoomTx;

use super::Handoff;
use super::index::TaskFilter;
use super::task::Body;

/// Capabilities whose rate is remembered at once; beyond it the one that is over soonest is
/// forgotten before its time.
const MAX_RATES: usize = 10_000;

const SECOND_US: u64 = 1_000_000;

/// What a room takes of tasks that need a capability.
#[derive(Debug, Clone, Copy)]
struct CapabilityLimits {
    /// Tasks that wait for it.
    max_queued: usize,
    /// Tasks dispatched in a second, on the average; 0: as many as come.
    dispatch_rate: u32,
    /// Tasks dispatched at once.
    dispatch_burst: u32,
}

/// When the next task of each capability would be on time, in microseconds; only where that lies
/// ahead.
#[derive(Debug, Default)]
pub(super) struct Rates {
    on_time: BTreeMap<Capability, u64>,
    order: BTreeSet<(u64, Capability)>,
}

impl Rates {
    /// How many milliseconds too early a task would come now.
    fn too_early(&self, now: Millis, capability: &Capability, limits: CapabilityLimits) -> u64 {
        let Some(interval) = interval(limits) else {
            return 0;
        };
        let now = now.saturating_mul(1_000);
        let on_time = self
            .on_time
            .get(capability)
            .copied()
            .unwrap_or(now)
            .max(now);
        let ahead = on_time - now + interval;
        let burst = interval.saturating_mul(limits.dispatch_burst.max(1).into());
        ahead.saturating_sub(burst).div_ceil(1_000)
    }

    /// A task has been taken.
    fn count(&mut self, now: Millis, capability: &Capability, limits: CapabilityLimits) {
        let Some(interval) = interval(limits) else {
            return;
        };
        let now = now.saturating_mul(1_000);
        let before = self.on_time.remove(capability);
        if let Some(before) = before {
            self.order.remove(&(before, capability.clone()));
        }
        let on_time = before.unwrap_or(now).max(now).saturating_add(interval);
        self.on_time.insert(capability.clone(), on_time);
        self.order.insert((on_time, capability.clone()));
        while let Some((first, _)) = self.order.first()
            && (*first <= now || self.order.len() > MAX_RATES)
        {
            if let Some((_, over)) = self.order.pop_first() {
                self.on_time.remove(&over);
            }
        }
    }
}

fn interval(limits: CapabilityLimits) -> Option<u64> {
    SECOND_US.checked_div(limits.dispatch_rate.into())
}

impl CapabilityLimits {
    fn of(settings: &Settings, capability: &Capability) -> CapabilityLimits {
        let usual = &settings.handoff;
        let own = usual.capabilities.get(capability);
        let own = own.copied().unwrap_or_default();
        CapabilityLimits {
            max_queued: own.max_queued.unwrap_or(usual.max_queued_per_capability),
            dispatch_rate: own.dispatch_rate.unwrap_or(usual.dispatch_rate),
            dispatch_burst: own.dispatch_burst.unwrap_or(usual.dispatch_burst),
        }
    }
}

impl Handoff {
    /// Whether another task may come for each of the capabilities that it needs.
    pub(super) fn admit_capabilities(&self, tx: &RoomTx<'_>, body: &Body) -> Result<(), Rejection> {
        for capability in &body.capabilities {
            let limits = CapabilityLimits::of(&tx.cx.settings, capability);
            let refuse =
                |reason: String| Err(Rejection::new(Code::TooMany, reason).at("capabilities"));
            let waiting = self.index.count(TaskFilter {
                states: &[TaskState::Waiting, TaskState::Queued],
                task_type: None,
                capability: Some(capability),
            });
            if waiting >= limits.max_queued {
                return refuse(format!("{waiting} tasks wait for {capability} already"));
            }
            let early = self.rates.too_early(tx.cx.now, capability, limits);
            if early > 0 {
                let rate = limits.dispatch_rate;
                return refuse(format!(
                    "{capability} takes {rate} tasks a second: try again in {early} ms"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn count_capabilities(&mut self, tx: &RoomTx<'_>, body: &Body) {
        for capability in &body.capabilities {
            let limits = CapabilityLimits::of(&tx.cx.settings, capability);
            self.rates.count(tx.cx.now, capability, limits);
        }
    }
}
