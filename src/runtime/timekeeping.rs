//! The timeline at the start: how long nothing ran, and what the log says where nobody can know.

use std::time::Duration;

use tracing::{info, warn};

use crate::clock::{Clock, Gap, Mark, System};
use crate::wire::Millis;

/// The clock of this run.
pub(super) fn start(last: Option<&Mark>, latest: Millis, max_step: Duration) -> Clock {
    let most = u64::try_from(max_step.as_millis()).unwrap_or(u64::MAX);
    let (clock, gap) = Clock::start(System::new(), last, latest, most);
    match gap {
        Gap::First => {}
        Gap::Counted { down } | Gap::ByWallClock { down } => {
            info!(down_ms = down, "nothing ran for {}", words(down));
        }
        Gap::Implausible { says, down } => warn!(
            says_ms = says,
            down_ms = down,
            "nobody knows for how long nothing ran: by the wall clock {}{}, which is not taken for true (clock.max_step = {}), and the machine has been started since; it counts as {}",
            if says < 0 { "-" } else { "" },
            words(says.unsigned_abs()),
            words(most),
            words(down)
        ),
    }
    clock
}

fn words(ms: u64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(ms))
}
