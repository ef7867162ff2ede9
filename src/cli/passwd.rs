//! `hallward passwd`: gives a user a password in a password file, or removes the user. The password
//! never stands on the command line, where others on the machine could read it.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use super::Failure;
use crate::auth::{EditError, remove_user, set_password};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The password file; made if it does not exist, readable by its owner alone
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The user
    #[arg(value_name = "USER")]
    user: String,
    /// Read the password from the first line of standard input, instead of asking for it twice
    #[arg(long, conflicts_with = "delete")]
    stdin: bool,
    /// Remove the user
    #[arg(short = 'D', long)]
    delete: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.delete {
        return Ok(remove_user(&args.file, &args.user)?);
    }
    let password = if args.stdin { from_stdin()? } else { ask()? };
    Ok(set_password(&args.file, &args.user, password.as_bytes())?)
}

fn from_stdin() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::runtime(format!("cannot read the password: {error}")))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Twice, without showing it.
fn ask() -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "standard input is no terminal: use --stdin to read the password from it",
        ));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map_err(|error| Failure::runtime(format!("cannot read the password: {error}")))
    };
    let password = ask("Password: ")?;
    if ask("Again: ")? == password {
        Ok(password)
    } else {
        Err(Failure::usage("the two passwords are not the same"))
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Failure {
        let message = error.to_string();
        match error {
            EditError::UserName(_) | EditError::NoPassword => Failure::usage(message),
            EditError::NoSuchUser { .. } | EditError::Hash(_) | EditError::Io { .. } => {
                Failure::runtime(message)
            }
        }
    }
}
