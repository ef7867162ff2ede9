//! `hallward check`: says whether a configuration, and the files of users and rights that it names, are good, and if not,
//! everything that is wrong with them.

use super::layers::{FileArg, KeyArgs, load};
use super::{Failure, say};
use crate::config::{Config, Problems};
use crate::runtime;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArg,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match load(&args.file, &KeyArgs::default()) {
        Ok(config) => {
            let files = runtime::rules(&config);
            if let Err(problems) = &files {
                for problem in problems {
                    say(format_args!("{problem}\n"));
                }
                return Err(refusal(problems.len()));
            }
            runtime::key_schemas(&config).map_err(Failure::usage)?;
            let warnings = runtime::check_files(&config)?;
            say(format_args!(
                "configuration ok\n{}  http  {}\n  data  {}\n",
                mqtt_lines(&config),
                config.http.listen,
                config.data.dir.display()
            ));
            for warning in warnings {
                say(format_args!("warning: {warning}\n"));
            }
            Ok(())
        }
        Err(Problems(problems)) => {
            for problem in &problems {
                say(format_args!("{problem}\n"));
            }
            Err(refusal(problems.len()))
        }
    }
}

fn refusal(problems: usize) -> Failure {
    Failure::usage(match problems {
        1 => "the configuration has a problem".to_owned(),
        many => format!("the configuration has {many} problems"),
    })
}

/// Where MQTT clients will be listened for: `mqtt.listen` is called `mqtt`, the others by their keys.
fn mqtt_lines(config: &Config) -> String {
    let line = |(key, address): (&str, _)| match key {
        "mqtt.listen" => format!("  mqtt  {address}\n"),
        other => format!("  {other}  {address}\n"),
    };
    config.listeners().map(line).collect()
}
