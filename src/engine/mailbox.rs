//! Mailboxes: what waits for an agent from a room, and taking some of it out.
//!
//! It looks at what the desk keeps and says what is to go; the desk takes it out. Whose mailbox it may be is a matter of the topic, so
//! that roles decide it.

use std::ops::ControlFlow;

use crate::wire::json;
use crate::wire::mailbox::{Mail, MailboxList, MailboxPage, MailboxPurge, Purged};
use crate::wire::name::{Agent, Room};
use crate::wire::reply::{Code, Rejection};

use super::context::Context;
use super::event::{Detail, Happened};
use super::past::{NoPast, Past};
use super::replies::{Accepted, Call, Outcome, entries_at_most, page_limit};
use super::room::RoomState;
use super::{Class, Effect};

/// Sees a message that waits; breaking ends the visit.
pub type VisitMail<'a> = &'a mut (dyn FnMut(Mail) -> ControlFlow<()> + 'a);

/// What the desk keeps and the engine may ask about: how much room an agent's mailbox has, and what happened before.
pub trait Mailboxes {
    /// Directed messages (replies, and what [is promised](Class::is_promised), aside) that still fit.
    fn free_messages(&self, agent: &Agent) -> usize;
    /// Bytes of them that still fit.
    fn free_bytes(&self, agent: &Agent) -> usize;
    /// Messages that [are promised](Class::is_promised) of which there may be more, those included that are promised by now.
    fn free_results(&self, agent: &Agent) -> usize;
    /// Bytes of them that still fit.
    fn free_result_bytes(&self, agent: &Agent) -> usize;
    /// Bytes that the gateway may store for all agents together.
    fn free_memory(&self) -> usize {
        usize::MAX
    }
    /// Whether an assignment or a run waits for an agent, or for its acknowledgement: a class that [is unique](Class::is_unique).
    fn holds(&self, _agent: &Agent, _class: &Class) -> bool {
        false
    }
    /// Visits what waits for an agent from a room, from behind a message on, oldest first, until `visit` breaks.
    fn mail(&self, _agent: &Agent, _room: &Room, _after: u64, _visit: VisitMail<'_>) {}
    /// The events that were told before; nothing, where nobody keeps them.
    fn past(&self) -> &dyn Past {
        &NoPast
    }
}

/// Messages in a page where the question does not say.
const USUAL_PAGE: u32 = 100;
/// Messages that a page shows, or that one purge takes out, at most.
const AT_ONCE: u32 = 1_000;

impl RoomState {
    pub(super) fn list_mail(
        &mut self,
        cx: &Context,
        call: &mut Call<'_>,
        whose: &Agent,
    ) -> Outcome {
        let asked: MailboxList = call.read_or_default(&cx.settings)?;
        let limit = page_limit(asked.limit, USUAL_PAGE, AT_ONCE)?;
        let most_bytes = self.page_bytes(cx, call)?;
        let (mut mail, mut bytes, mut next) = (Vec::new(), 0, None);
        let after = asked.after.unwrap_or(0);
        call.mailboxes
            .mail(whose, &self.name, after, &mut |letter: Mail| {
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
        Ok(Accepted::found(cx, MailboxPage { agent, mail, next }))
    }

    pub(super) fn purge_mail(
        &mut self,
        cx: &mut Context,
        call: &mut Call<'_>,
        whose: &Agent,
    ) -> Outcome {
        let purge: MailboxPurge = call.read(&cx.settings)?;
        check(&purge)?;
        let mailboxes = call.mailboxes;
        self.once(cx, call, |room, cx| {
            let (mut seqs, mut more) = (Vec::new(), false);
            mailboxes.mail(whose, &room.name, 0, &mut |letter: Mail| {
                let meant = purge.all
                    || purge.kind == Some(letter.kind)
                    || purge.seqs.contains(&letter.seq);
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
                room.tell_purge(cx, call.from(), whose, purged.purged);
                let agent = whose.clone();
                cx.emit(Effect::Discard { agent, seqs });
            }
            Ok(Accepted::found(cx, purged))
        })
    }

    fn tell_purge(&mut self, cx: &mut Context, by: &Agent, whose: &Agent, count: usize) {
        let reason = format!("{count} messages");
        let detail = Detail {
            reason: Some(&reason),
            ..Detail::default()
        };
        let happened = Happened::new("inbox.purged", whose.as_str(), by);
        self.tell(cx, &Happened { detail, ..happened });
    }
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
