//! The budgets that everybody shares, as metrics.

use crate::desk::{Budget, Budgets};
use crate::http::Metric;

/// How full the budgets are that everybody shares.
pub(in crate::runtime) fn budgets(budgets: &Budgets) -> Vec<Metric> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are floating-point in the format"
    )]
    let gauges = |of: fn(&Budget) -> u64| -> Vec<(&'static str, f64)> {
        let all = budgets.all().iter();
        all.map(|own| (own.key, of(own) as f64)).collect()
    };
    vec![
        Metric::gauges(
            "budget_used",
            "What is in use of the limits that everybody shares: bytes or things, as the limit counts.",
            "limit",
            gauges(|own| own.used.value()),
        ),
        Metric::gauges(
            "budget_limit",
            "What there is of them.",
            "limit",
            gauges(|own| own.most.value()),
        ),
    ]
}
