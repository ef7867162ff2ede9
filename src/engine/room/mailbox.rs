//! Mailboxes: what waits for an agent from a room, and taking some of it out.
//!
//! It looks at what the desk keeps and says what is to go; the desk takes it out. Whose mailbox it
//! may be is a matter of the topic, so that roles decide it.

use std::ops::ControlFlow;

use crate::wire::json;
use crate::wire::mailbox::{Mail, MailboxList, MailboxPage, MailboxPurge, Purged};
use crate::wire::name::Agent;
use crate::wire::reply::{Code, Rejection};

use crate::engine::effect::Effect;
use crate::engine::event::{Detail, RoomEvent};
use crate::engine::replies::{Accepted, Call, Outcome, entries_at_most, page_limit};
use crate::engine::tx::RoomTx;

/// Messages in a page where the question does not say.
const USUAL_PAGE: u32 = 100;
/// Messages that a page shows, or that one purge takes out, at most.
const AT_ONCE: u32 = 1_000;

pub(in crate::engine) fn list_mail(
    tx: &mut RoomTx<'_>,
    call: &mut Call<'_>,
    whose: &Agent,
) -> Outcome {
    let asked: MailboxList = call.read_or_default(&tx.cx.settings)?;
    let limit = page_limit(asked.limit, USUAL_PAGE, AT_ONCE)?;
    let most_bytes = tx.page_bytes(call)?;
    let (mut mail, mut bytes, mut next) = (Vec::new(), 0, None);
    let after = asked.after.unwrap_or(0);
    call.mailboxes
        .mail(whose, &tx.room.name, after, &mut |letter: Mail| {
            if asked.kind.is_some_and(|kind| kind != letter.kind) {
                return ControlFlow::Continue(());
            }
            bytes += json::length(&letter) + 1;
            let is_full = mail.len() == limit || (bytes > most_bytes && !mail.is_empty());
            if is_full {
                next = mail.last().map(|last: &Mail| last.seq);
                return ControlFlow::Break(());
            }
            mail.push(letter);
            ControlFlow::Continue(())
        });
    let agent = whose.clone();
    Ok(Accepted::found(tx.cx, MailboxPage { agent, mail, next }))
}

pub(in crate::engine) fn purge_mail(
    tx: &mut RoomTx<'_>,
    call: &mut Call<'_>,
    whose: &Agent,
) -> Outcome {
    let purge: MailboxPurge = call.read(&tx.cx.settings)?;
    check(&purge)?;
    let mailboxes = call.mailboxes;
    tx.once(call, |tx| {
        let (mut seqs, mut more) = (Vec::new(), false);
        mailboxes.mail(whose, &tx.room.name, 0, &mut |letter: Mail| {
            let meant =
                purge.all || purge.kind == Some(letter.kind) || purge.seqs.contains(&letter.seq);
            if letter.sent || !meant {
                return ControlFlow::Continue(());
            }
            if seqs.len() == AT_ONCE as usize {
                more = true;
                return ControlFlow::Break(());
            }
            seqs.push(letter.seq);
            ControlFlow::Continue(())
        });
        let purged = Purged {
            purged: seqs.len(),
            more,
        };
        if purged.purged > 0 {
            tell_purge(tx, call.from(), whose, purged.purged);
            let agent = whose.clone();
            tx.cx.emit(Effect::Discard { agent, seqs });
        }
        Ok(Accepted::found(tx.cx, purged))
    })
}

fn tell_purge(tx: &mut RoomTx<'_>, by: &Agent, whose: &Agent, count: usize) {
    let reason = format!("{count} messages");
    let detail = Detail {
        reason: Some(&reason),
        ..Detail::default()
    };
    let happened = RoomEvent::new("inbox.purged", whose.as_str(), by);
    tx.record_event(&RoomEvent { detail, ..happened });
}

fn check(purge: &MailboxPurge) -> Result<(), Rejection> {
    entries_at_most("seqs", purge.seqs.len(), AT_ONCE as usize)?;
    let said = [!purge.seqs.is_empty(), purge.kind.is_some(), purge.all];
    if said.iter().filter(|said| **said).count() == 1 {
        return Ok(());
    }
    let reason = "one of seqs, kind and all says what is to go";
    Err(Rejection::new(Code::Invalid, reason).at("seqs"))
}
