//! `hallward demo`: the content pipeline on real sockets.

use super::Failure;

/// What to show.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Approve by itself instead of waiting for you
    #[arg(long)]
    pub(super) yes: bool,
    /// Kill and restart a worker and the gateway in the middle
    #[arg(long)]
    pub(super) chaos: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let Args { yes: _, chaos: _ } = args;
    Err(Failure::runtime("the demo is not built in yet"))
}
