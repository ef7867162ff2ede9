//! `hallward ledger`: looks at a data directory that no gateway uses, saves what is whole, gives
//! back disk space.

use std::path::PathBuf;

use super::{Failure, say};
use crate::runtime::upkeep::{self, RepairReport, count};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what is whole and what is damaged; changes nothing, ends with 1 if anything is damaged
    Check {
        /// The data directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Copy what is whole into a new data directory, and say what is not
    Repair {
        /// The data directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The new data directory: made if it does not exist, else it must be empty
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Leave out commits that lie behind damage: the copy is what the ledger once was, not the
        /// most that can be had
        #[arg(long)]
        up_to_damage: bool,
    },
    /// Write the database anew without what it does not need
    Compact {
        /// The data directory
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check { dir } => {
            let report = upkeep::check(dir)?;
            show(&report);
            match report.problems.len() {
                0 => Ok(()),
                n => Err(Failure::runtime(format!(
                    "{dir} is damaged: {}; `hallward ledger repair {dir} --to NEW` copies what is whole, `hallward restore` takes a backup back",
                    count(n as u64, "problem"),
                    dir = dir.display(),
                ))),
            }
        }
        Command::Repair {
            dir,
            to,
            up_to_damage,
        } => {
            let report = upkeep::repair(dir, to, *up_to_damage)?;
            show(&report);
            let (rows, commits) = (report.copied.rows, report.copied.commits);
            let commits = match commits {
                0 => String::new(),
                commits => format!(
                    ", from {} of the log among others",
                    count(commits, "commit")
                ),
            };
            if rows == 0 && !report.problems.is_empty() {
                let to = to.display();
                return Err(Failure::runtime(format!(
                    "nothing was saved: {to} is empty; a backup is what is left (`hallward restore`)"
                )));
            }
            let rows = count(rows, "row");
            say(format_args!(
                "copied to {}: {rows}{commits}\n",
                to.display()
            ));
            report.refusal.map_or(Ok(()), |refusal| {
                let to = to.display();
                Err(Failure::runtime(format!(
                    "`hallward serve` does not start on {to}: {refusal}"
                )))
            })
        }
        Command::Compact { dir } => {
            let (before, after) = upkeep::compact(dir)?;
            say(format_args!("{before} bytes before, {after} after\n"));
            Ok(())
        }
    }
}

fn show(report: &RepairReport) {
    for line in &report.whole {
        say(format_args!("ok: {line}\n"));
    }
    for line in &report.problems {
        say(format_args!("damaged: {line}\n"));
    }
    for line in &report.left_out {
        say(format_args!("left out: {line}\n"));
    }
}
