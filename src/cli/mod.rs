//! The command line: reads the arguments, runs one command, and turns its outcome into an exit
//! code.
//!
//! One file per command. Every failure is one line on standard error, `hallward: …`, and one of the
//! codes in [`Failure`]. `main.rs` calls [`main`]; nothing else does.

mod acl;
mod backup;
mod bridge;
mod certs;
mod check;
mod demo;
mod ephemeral;
mod failure;
mod layers;
mod ledger;
mod logging;
mod passwd;
mod ready_file;
mod serve;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

pub use failure::Failure;

/// Coordination for teams of agents over plain MQTT.
#[derive(Debug, Parser)]
#[command(name = "hallward", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or Ctrl-C.
    Serve(serve::Args),
    /// Say whether a configuration is good, and if not, what is wrong and where.
    Check(check::Args),
    /// Make certificates to try TLS with.
    Certs(certs::Args),
    /// Give a user a password, change it, or remove the user
    Passwd(passwd::Args),
    /// Ask what the users and rights of a configuration allow
    Acl(acl::Args),
    /// Try the bridges to other brokers of a configuration.
    Bridge(bridge::Args),
    /// Copy all that a gateway has committed into a directory, while it runs or not.
    Backup(backup::Backup),
    /// Copy a backup to where the gateway keeps its data.
    Restore(backup::Restore),
    /// Check, repair or compact a data directory that no gateway uses.
    Ledger(ledger::Args),
    /// Watch a team of agents work: hand-offs, shared state and an approval on real sockets.
    Demo(demo::Args),
}

/// Runs the command that the arguments name, the program's own name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let outcome = match Cli::try_parse_from(&arguments) {
        Ok(cli) => run(cli.command),
        Err(error) => return usage(&error, &arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Certs(args) => certs::run(&args),
        Command::Passwd(args) => passwd::run(&args),
        Command::Acl(args) => acl::run(&args),
        Command::Bridge(args) => bridge::run(&args),
        Command::Backup(args) => backup::back_up(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}

/// Help and version are answers; anything else is one line and [`Failure::USAGE`].
fn usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            say(format_args!("{error}"));
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Help was not asked for, so it goes where errors go.
            let _ = write!(std::io::stderr(), "{error}");
            ExitCode::from(Failure::USAGE)
        }
        _ => {
            complain(&one_line(&error.to_string(), arguments));
            ExitCode::from(Failure::USAGE)
        }
    }
}

/// The first paragraph and the tips of one of clap's messages, without its layout, and whose help
/// has more.
fn one_line(message: &str, arguments: &[OsString]) -> String {
    let mut parts = Vec::new();
    for (index, line) in message.lines().map(str::trim).enumerate() {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        let line = match index {
            0 => line.strip_prefix("error: ").unwrap_or(line),
            _ => line,
        };
        if !line.is_empty() {
            parts.push(line);
        }
    }
    let command = arguments.get(1).and_then(|name| name.to_str());
    let command = command.filter(|name| Cli::command().find_subcommand(name).is_some());
    let command = command.map_or_else(String::new, |name| format!(" {name}"));
    format!("{} (see hallward{command} --help)", parts.join("; "))
}

/// Prints to standard output; a reader that has gone away is no failure of ours.
fn say(text: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}

/// How this program was called, for lines that people are to type: it need not be on their path.
fn program() -> String {
    let called = std::env::args_os().next();
    called.map_or_else(
        || "hallward".to_owned(),
        |path| path.to_string_lossy().into_owned(),
    )
}

/// Says what went wrong, in the log where that is all there may be. A standard error that nobody
/// reads does not keep the process from ending.
fn complain(message: &str) {
    if logging::tell_of_failure(message) {
        return;
    }
    let line = message.replace(['\n', '\r'], " ");
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = writeln!(std::io::stderr(), "hallward: {line}");
        let _ = done.send(());
    });
    let _ = wait.recv_timeout(std::time::Duration::from_secs(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_declared_consistently() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_errors_fit_on_one_line_with_their_tip() {
        let arguments = ["hallward", "serve", "--mqt", "x"].map(OsString::from);
        let error = Cli::try_parse_from(&arguments).expect_err("a slip");
        let line = one_line(&error.to_string(), &arguments);
        assert!(!line.contains('\n'), "{line}");
        assert!(
            line.contains("'--mqt'") && line.contains("'--mqtt'"),
            "{line}"
        );
    }
}
