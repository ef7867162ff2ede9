//! What counts as time.

use crate::setting::{Span, days, minutes, settings};

settings! {
    /// Leases, time-outs, delays and expiries follow a clock that nobody can set, while the gateway
    /// runs and over its restarts.
    pub struct ClockConfig;

    /// After a start of the machine only the wall clock says for how long nothing ran. It is
    /// believed up to this; what says more counts as this much, and a clock that went back counts
    /// as no time. docs/time.md
    #[restart("it is about the time between two runs")]
    max_step: Span = days(4), minutes(1)..=days(3650);
}
