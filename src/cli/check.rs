//! `hallward check`: says whether a configuration is good, and if not, everything that is wrong with it.

use super::layers::{FileArg, KeyArgs, load};
use super::{Failure, say};
use crate::config::Problems;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArg,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match load(&args.file, &KeyArgs::default()) {
        Ok(config) => {
            say(format_args!(
                "configuration ok\n  mqtt  {}\n  http  {}\n  data  {}\n",
                config.mqtt.listen,
                config.http.listen,
                config.data.dir.display()
            ));
            Ok(())
        }
        Err(Problems(problems)) => {
            for problem in &problems {
                say(format_args!("{problem}\n"));
            }
            Err(Failure::usage(match problems.len() {
                1 => "the configuration has a problem".to_owned(),
                many => format!("the configuration has {many} problems"),
            }))
        }
    }
}
