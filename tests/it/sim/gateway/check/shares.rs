//! Shared subscriptions: what is acknowledged reaches one of the group, at QoS 2 exactly one.

use std::collections::{BTreeMap, BTreeSet};

use super::super::history::{Counts, Event, What};

/// One job.
#[derive(Debug, Default)]
struct Job {
    place: usize,
    qos: u8,
    /// How often it left as a message of its own.
    left: u64,
    taken: bool,
    times: u64,
    /// Not as a repeat.
    fresh: u64,
    /// By members whose session ended with their connection.
    clean: u64,
}

/// Who shares the jobs.
#[derive(Debug, Default)]
struct Group<'a> {
    /// Those whose session lasts, and where the first of them was there.
    lasting: BTreeSet<&'a str>,
    since: Option<usize>,
    /// Those whose session does not: of all, and of those that take jobs at QoS 2.
    passing: BTreeSet<&'a str>,
    careless: BTreeSet<&'a str>,
    /// Whether some take them at QoS 1, where repeats are allowed.
    repeats: bool,
}

/// A job that was acknowledged while a session that lasts was in the group is had by somebody.
/// Excused is what MQTT lets go with a session: at QoS 2 what was sent to one that ended
/// (MQTT-4.8.2-5); and what a crash takes with sessions that end with it.
pub(super) fn check(history: &[Event], counts: &mut Counts) -> Result<(), String> {
    let mut group = Group::default();
    let mut jobs: BTreeMap<(&str, u64), Job> = BTreeMap::new();
    let mut last_crash = 0;
    for (place, event) in history.iter().enumerate() {
        let who = event.who.as_str();
        match &event.what {
            What::Joins { qos, clean: false } => {
                group.lasting.insert(who);
                group.since.get_or_insert(place);
                group.repeats |= *qos == 1;
            }
            What::Joins { qos, .. } => {
                group.passing.insert(who);
                group.careless.extend((*qos == 2).then_some(who));
            }
            What::Posts { n, qos, dup } => {
                let job = jobs.entry((who, *n)).or_default();
                if job.left == 0 {
                    (job.place, job.qos) = (place, *qos);
                }
                // At QoS 1 every copy is a message.
                job.left += u64::from(*qos == 1 || !dup);
            }
            What::Posted { n } => jobs.entry((who, *n)).or_default().taken = true,
            What::Works { whose, n, how } => {
                let job = jobs.get_mut(&(whose.as_str(), *n));
                let job = job.ok_or_else(|| format!("nobody posted it: {event:?}"))?;
                job.times += 1;
                job.fresh += u64::from(!how.dup);
                job.clean += u64::from(how.clean);
            }
            What::Crashed => last_crash = place,
            _ => {}
        }
    }
    for (name, job) in &jobs {
        judge(job, &group, last_crash, counts)
            .map_err(|why| format!("{name:?}: {why}: {job:?}"))?;
    }
    Ok(())
}

fn judge(
    job: &Job,
    group: &Group<'_>,
    last_crash: usize,
    counts: &mut Counts,
) -> Result<(), String> {
    let mut count = |name| *counts.entry(name).or_default() += 1;
    let somebody = group.since.is_some_and(|since| since < job.place);
    let with_its_session = job.qos == 2 && !group.careless.is_empty();
    // What a member had at QoS 2 whose session ended by a crash of the gateway nobody inherits.
    let with_the_gateway = job.qos == 2 && !group.passing.is_empty() && job.place < last_crash;
    if job.taken && job.times == 0 && somebody && !with_its_session && !with_the_gateway {
        return Err("acknowledged, and nobody has it".to_owned());
    }
    if job.clean > 0 && job.times > job.clean {
        count("job of a session that ended");
    }
    if !group.passing.is_empty() {
        return Ok(());
    }
    if job.fresh > job.left {
        return Err("too many have it".to_owned());
    }
    if job.qos == 2 && !group.repeats && job.left == 1 {
        if job.times > 1 {
            return Err("it came more than once".to_owned());
        }
        count("job once");
    }
    Ok(())
}
