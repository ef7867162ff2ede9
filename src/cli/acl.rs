//! `hallward acl test`: asks a configuration, and the files that it names, what a client may do
//! with a topic, and which rule says so.

use std::sync::Arc;

use super::layers::{FileArg, KeyArgs, load};
use super::{Failure, say};
use crate::auth::{AccessVerdict, Operation, Rights, list_problems};
use crate::config::Config;
use crate::runtime;
use crate::wire::filter::{check_filter, has_wildcard};
use crate::wire::name::Room;
use crate::wire::topic::{Admission, Offer, admit};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say whether a client may publish, subscribe to and receive a topic, and why; ends with 1 if
    /// it may do none of it
    Test(Test),
}

#[derive(Debug, clap::Args)]
struct Test {
    #[command(flatten)]
    file: FileArg,
    /// The user
    #[arg(value_name = "USER")]
    user: String,
    /// The client id
    #[arg(value_name = "CLIENT")]
    client: Arc<str>,
    /// The topic, or a filter
    #[arg(value_name = "TOPIC")]
    topic: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Command::Test(test) = &args.command;
    let config = load(&test.file, &KeyArgs::default())?.config;
    check_filter(&test.topic)
        .map_err(|rule| Failure::usage(format!("{:?}: {rule}", test.topic)))?;
    let Some(rules) =
        runtime::rules(&config).map_err(|problems| Failure::usage(list_problems(&problems)))?
    else {
        return Err(Failure::usage(
            "authentication is off (auth.enabled): everybody may do everything",
        ));
    };
    let user = rules.suppose(&test.user);
    let rights = rules.rights(&user, &test.client).map_err(|_| {
        let message = format!(
            "the client id {:?} is not one of {:?} (auth.client_ids): it could not connect",
            test.client, test.user
        );
        Failure::runtime(message)
    })?;
    answer(&config, test, &rights)
}

fn answer(config: &Config, test: &Test, rights: &Rights) -> Result<(), Failure> {
    let topic = &*test.topic;
    let mut any = false;
    let mut tell = |what: &str, allowed: bool, why: &dyn std::fmt::Display| {
        any |= allowed;
        let word = if allowed { "allow" } else { "deny" };
        say(format_args!("{what:<9}  {word:<5}  {why}\n"));
    };
    // Rights are looked at before the room is.
    let mut verdict = |what: &str, verdict: AccessVerdict<'_>, room: Option<&String>| match room
        .filter(|_| verdict.allows())
    {
        Some(refusal) => tell(what, false, refusal),
        None => tell(what, verdict.allows(), &verdict),
    };
    let root = &config.rooms.root;
    let refusal = |room: &Room| runtime::room_refusal(config, &test.client, room);
    let of_offer = Offer::of_filter(root, topic).and_then(|offer| refusal(offer.room()));
    verdict("subscribe", rights.of_filter(topic), of_offer.as_ref());
    if !has_wildcard(topic) && !topic.starts_with("$share/") {
        verdict("receive", rights.of_topic(Operation::Receive, topic), None);
        let of_command = match admit(root, &test.client, topic) {
            Admission::Desk(command) => refusal(&command.room),
            _ => None,
        };
        match refused_by_grammar(config, &test.client, topic) {
            Some(reason) => tell("publish", false, &reason),
            None => {
                let rights = rights.of_topic(Operation::Publish, topic);
                verdict("publish", rights, of_command.as_ref());
            }
        }
    }
    if any {
        Ok(())
    } else {
        Err(Failure::runtime(format!(
            "{:?} may do nothing with {topic}",
            test.user
        )))
    }
}

/// The topic grammar's own rule, which no role and no line can change.
fn refused_by_grammar(config: &Config, client: &str, topic: &str) -> Option<String> {
    if topic.starts_with('$') {
        return Some("clients do not write topics that begin with $".to_owned());
    }
    match admit(&config.rooms.root, client, topic) {
        Admission::Refused { rejection, .. } => Some(rejection.reason),
        _ => None,
    }
}
