//! `hallward backup` and `hallward restore`: a copy of all that a gateway has committed, and back.

use std::path::PathBuf;

use super::layers::{FileArg, KeyArgs, load};
use super::{Failure, say};
use crate::runtime::upkeep;

/// Bytes between two lines of progress.
const STRIDE: u64 = 64 << 20;
const MIB: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The directory of the copy: made if it does not exist, else it must be empty
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// MiB a second that are copied at most: commits share the disk
    #[arg(long, value_name = "MIB", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The directory of the copy
    #[arg(value_name = "DIR")]
    from: PathBuf,
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(super) fn back_up(args: &Backup) -> Result<(), Failure> {
    let config = load(&args.file, &args.keys)?.config;
    let mut told = 0;
    let mut progress = |bytes: u64, all: u64| {
        if bytes - told >= STRIDE {
            told = bytes;
            let about = match all / MIB {
                0 => String::new(),
                all => format!(" of about {all}"),
            };
            say(format_args!("{}{about} MiB\n", bytes / MIB));
        }
    };
    let rate = args.rate.saturating_mul(MIB);
    let rows = upkeep::back_up(&config, &args.to, rate, &mut progress)?;
    say(format_args!("{rows} rows in {}\n", args.to.display()));
    Ok(())
}

pub(super) fn restore(args: &Restore) -> Result<(), Failure> {
    let config = load(&args.file, &args.keys)?.config;
    let rows = upkeep::restore(&config, &args.from)?;
    let dir = config.data.dir.display();
    say(format_args!("{rows} rows in {dir}\n"));
    Ok(())
}
