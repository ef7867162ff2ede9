//! `hallward check`: says whether a configuration, the files that it names and its data directory
//! are good, and if not, everything that is wrong with them; shows what a gateway would run with.

use super::ephemeral::Ephemeral;
use super::layers::{FileArg, KeyArgs, load};
use super::{Failure, logging, say};
use crate::config::{Config, Loaded, Problems};
use crate::runtime;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    keys: KeyArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let loaded = match load(&args.file, &args.keys) {
        Ok(loaded) => loaded,
        Err(Problems(problems)) => return Err(refused(&problems)),
    };
    let config = &loaded.config;
    let mut problems = problems_of_files(&loaded);
    let warnings = match runtime::check_files(config) {
        Ok(warnings) => warnings,
        Err(error) => {
            problems.push(error.to_string());
            Vec::new()
        }
    };
    if !problems.is_empty() {
        return Err(refused(&problems));
    }
    say(format_args!(
        "configuration ok\n{}  http  {}\n  data  {}\n\n",
        mqtt_lines(config),
        config.http.listen,
        config.data.dir.display()
    ));
    say(format_args!(
        "# What the gateway would run with, and where from; {} not by default.\n{}",
        loaded.given(),
        loaded.effective()
    ));
    let ignored = ignored_level();
    for warning in warnings.iter().chain(&ignored) {
        say(format_args!("warning: {warning}\n"));
    }
    Ok(())
}

/// What only trying shows: files of users, rights and schemas, and the data directory.
fn problems_of_files(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let mut problems = Vec::new();
    if let Err(of_rules) = runtime::rules(config) {
        problems.extend(of_rules.iter().map(ToString::to_string));
    }
    if let Err(of_schemas) = runtime::key_schemas(config) {
        problems.extend(of_schemas.lines().map(str::to_owned));
    }
    if !Ephemeral::is_asked_for(config)
        && let Err(error) = runtime::check_data(config)
    {
        problems.push(loaded.problem("data.dir", error.to_string()).to_string());
    }
    problems
}

/// `log.level` has no effect beside the variable that logging libraries share.
fn ignored_level() -> Option<String> {
    let directives = logging::directives()?;
    Some(format!(
        "RUST_LOG is set ({directives}) and goes before log.level"
    ))
}

fn refused(problems: &[impl std::fmt::Display]) -> Failure {
    for problem in problems {
        say(format_args!("{problem}\n"));
    }
    Failure::usage(match problems {
        [one] => format!("the configuration has a problem: {one}"),
        many => format!("the configuration has {} problems", many.len()),
    })
}

/// Where MQTT clients will be listened for: `mqtt.listen` is called `mqtt`, the others by their
/// keys.
fn mqtt_lines(config: &Config) -> String {
    let line = |(key, address): (&str, _)| match key {
        "mqtt.listen" => format!("  mqtt  {address}\n"),
        other => format!("  {other}  {address}\n"),
    };
    config.listeners().map(line).collect()
}
