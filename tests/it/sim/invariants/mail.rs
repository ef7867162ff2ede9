//! Mailboxes: what is shown is what waits, and what is taken out is what was meant and is not on
//! its way.

use hallward::engine::Effect;
use hallward::wire::mailbox::{Mail, MailboxList, MailboxPage, MailboxPurge, Purged};
use hallward::wire::name::Agent;
use hallward::wire::reply::Code;
use hallward::wire::topic::Topic;

use super::super::agents::Participant;
use super::super::durable::{Durable, Fate, Letter};
use super::super::history::{Step, read};
use super::super::model::Model;
use super::{Check, ensure};

/// Messages that one purge takes out at most.
const AT_ONCE: usize = 1_000;

fn data<T: serde::de::DeserializeOwned>(step: &Step) -> Option<T> {
    let from = &step.command()?.from;
    let (_, reply) = step.replies_to(from).pop()?;
    Some(read(reply.data?.text().as_bytes()))
}

/// Mailboxes: a page shows what waits from the room behind where it begins, oldest first, and says
/// when there is more.
pub(super) fn lists(step: &Step, whose: &Agent) -> Check {
    let command = step.command().expect("a question");
    if step.refusal() == Some(Code::TooMany) && step.free_of(&command.from) == 0 {
        return Ok(());
    }
    let asked: MailboxList = read(&command.payload);
    let page: MailboxPage = data(step).ok_or("a list of mail got no page")?;
    let after = asked.after.unwrap_or(0);
    let wanted = |mail: &&Mail| mail.seq > after && asked.kind.is_none_or(|kind| kind == mail.kind);
    let all: Vec<&Mail> = step.mail.iter().filter(wanted).collect();
    let limit = asked.limit.map_or(100, |limit| limit as usize);
    let shown = &all[..all.len().min(limit)];
    let next = shown.last().filter(|_| all.len() > limit);
    ensure!(
        page.agent == *whose
            && page.mail.iter().eq(shown.iter().copied())
            && page.next == next.map(|last| last.seq),
        "of {all:?} {asked:?} shows {page:?}"
    );
    Ok(())
}

/// Mailboxes: a purge takes out what it names and nothing that is on its way, tells so, and says
/// how much it was.
pub(super) fn purges(step: &Step, whose: &Agent) -> Check {
    let command = step.command().expect("a purge");
    let purge: MailboxPurge = read(&command.payload);
    let says = [!purge.seqs.is_empty(), purge.kind.is_some(), purge.all];
    let is_clear = says.into_iter().filter(|said| *said).count() == 1;
    let expected = (!is_clear).then_some(Code::Invalid);
    ensure!(
        step.refusal() == expected,
        "{purge:?} got {:?}, expected {expected:?}",
        step.verdict
    );
    let meant = |mail: &&Mail| {
        is_clear
            && !mail.sent
            && (purge.all || purge.kind == Some(mail.kind) || purge.seqs.contains(&mail.seq))
    };
    let meant: Vec<u64> = step
        .mail
        .iter()
        .filter(meant)
        .map(|mail| mail.seq)
        .collect();
    let gone = &meant[..meant.len().min(AT_ONCE)];
    let discarded = step.effects.iter().filter_map(|effect| match effect {
        Effect::Discard { agent, seqs } => Some((agent, &seqs[..])),
        _ => None,
    });
    let told = step.events().filter(|event| event.what == "inbox.purged");
    let is_told = told
        .map(|event| event.subject.as_str())
        .eq((!gone.is_empty()).then_some(whose.as_str()));
    ensure!(
        discarded.eq((!gone.is_empty()).then_some((whose, gone))) && is_told,
        "{purge:?} of {:?} did {:?}",
        step.mail,
        step.effects
    );
    let told: Option<Purged> = data(step);
    let right = |told: Purged| told.purged == gone.len() && told.more == (meant.len() > gone.len());
    ensure!(
        told.is_none_or(right),
        "{purge:?} took out {gone:?} of {meant:?} and says otherwise: {:?}",
        step.effects
    );
    Ok(())
}

/// Mailboxes: nothing is taken out that nobody wants out.
pub(super) fn discards(step: &Step) -> Check {
    let purges = step
        .command()
        .is_some_and(|command| matches!(command.topic.topic, Topic::MailboxPurge { .. }));
    ensure!(purges && step.verdict.is_ok(), "nobody asked for that");
    Ok(())
}

/// What an agent has been told: what it has read, and what somebody took out of its mailbox before
/// it could.
pub(super) fn told<'a>(
    one: &'a Participant,
    durable: &'a Durable,
) -> impl Iterator<Item = &'a Letter> {
    let gone = durable.gone(&one.name);
    let purged = gone
        .filter(|(letter, fate)| *fate == Fate::Purged && !one.read.contains_key(&letter.number));
    one.read.values().chain(purged.map(|(letter, _)| letter))
}

/// Inbox: every message that was taken has been read, in the order in which they came, or was
/// dropped when its time was over, or somebody took it out.
pub(super) fn messages_were_read(model: &Model, one: &Participant, durable: &Durable) -> Check {
    let gone = durable
        .gone(&one.name)
        .filter(|(letter, _)| letter.class.is_none());
    let gone: Vec<&(Letter, Fate)> = gone.collect();
    let empty = Vec::new();
    let relayed = model.relayed.get(&one.name).unwrap_or(&empty);
    let mut sorted = gone.clone();
    sorted.sort_by_key(|(letter, _)| letter.number);
    let told = sorted
        .iter()
        .map(|(letter, _)| (&letter.topic, &letter.payload));
    ensure!(
        told.eq(relayed.iter().map(|(topic, payload)| (topic, payload))),
        "{} was sent {relayed:?}, and its mailbox had {sorted:?}",
        one.name
    );
    for (letter, fate) in gone {
        let is_over = letter.expires_at.is_some_and(|at| at <= model.now);
        let read = one.read.get(&letter.number);
        ensure!(
            match fate {
                Fate::Read => is_over || read.is_some(),
                Fate::Expired => is_over,
                Fate::Purged => true,
            },
            "{} has never read {letter:?}",
            one.name
        );
    }
    Ok(())
}
