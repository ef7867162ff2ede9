//! How full the budgets are that everybody shares, so that who runs the gateway hears of it before
//! anybody is refused.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::metrics::{Count, MetricSet, Scrape};

/// From here on it is said, in percent.
const NEARLY_FULL: u64 = 90;
/// Below this it counts as over, so that a budget on the edge does not fill the log.
const AT_EASE: u64 = 80;

/// One budget, named by the key of its limit.
#[derive(Debug)]
pub struct Budget {
    /// The key in the configuration.
    pub key: &'static str,
    /// How much is in use.
    pub used: Count,
    /// How much there is.
    pub most: Count,
    is_nearly_full: AtomicBool,
}

impl Budget {
    fn of(key: &'static str) -> Budget {
        Budget {
            key,
            used: Count::default(),
            most: Count::default(),
            is_nearly_full: AtomicBool::new(false),
        }
    }

    /// Percent in use; more than a hundred where it was lowered since, or where what is due goes
    /// over it.
    pub fn percent(&self) -> u64 {
        let (used, most) = (u128::from(self.used.value()), self.most.value().max(1));
        u64::try_from(used * 100 / u128::from(most)).unwrap_or(u64::MAX)
    }

    fn set(&self, used: usize, most: usize) {
        self.used.set_len(used);
        self.most.set_len(most);
        let percent = self.percent();
        let was = self.is_nearly_full.load(Relaxed);
        let is = percent >= if was { AT_EASE } else { NEARLY_FULL };
        self.is_nearly_full.store(is, Relaxed);
        match (was, is) {
            (false, true) => tracing::warn!(percent, limit = self.key, "nearly full"),
            (true, false) => tracing::info!(percent, limit = self.key, "no longer nearly full"),
            _ => {}
        }
    }
}

/// All of them.
#[derive(Debug)]
pub struct Budgets([Budget; 5]);

impl Default for Budgets {
    fn default() -> Budgets {
        Budgets([
            Budget::of("memory.max_queued"),
            Budget::of("session.max_sessions"),
            Budget::of("blackboard.max_bytes"),
            Budget::of("retained.max_messages"),
            Budget::of("retained.max_bytes"),
        ])
    }
}

impl MetricSet for Budgets {
    fn encode(&self, scrape: &mut Scrape<'_>) -> fmt::Result {
        let help = "What is in use of the limits that everybody shares: bytes or things, as the limit counts.";
        let used = self.0.each_ref().map(|own| (own.key, own.used.value()));
        scrape.gauge("budget_used", help, &("limit", used))?;
        let most = self.0.each_ref().map(|own| (own.key, own.most.value()));
        scrape.gauge("budget_limit", "What there is of them.", &("limit", most))
    }
}

impl Budgets {
    /// A word for each that is nearly full.
    pub fn warnings(&self) -> Vec<String> {
        let nearly_full = self.0.iter().filter(|own| own.is_nearly_full.load(Relaxed));
        let word = |own: &Budget| format!("{} is {} % full", own.key, own.percent());
        nearly_full.map(word).collect()
    }

    /// How things stand: of budgets by their keys, what is in use and what there is.
    pub(super) fn set(&self, key: &str, used: usize, most: usize) {
        if let Some(own) = self.0.iter().find(|own| own.key == key) {
            own.set(used, most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_told_of_from_nine_tenths_until_it_is_at_ease_again() {
        let budgets = Budgets::default();
        let told = |used| {
            budgets.set("retained.max_bytes", used, 1_000);
            budgets.warnings()
        };
        assert_eq!(told(899), [""; 0]);
        assert_eq!(told(900), ["retained.max_bytes is 90 % full"]);
        assert_eq!(told(850), ["retained.max_bytes is 85 % full"]);
        assert_eq!(told(799), [""; 0]);
        assert_eq!(told(850), [""; 0]);
    }
}
