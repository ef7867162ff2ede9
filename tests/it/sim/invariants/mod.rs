//! The invariants: what PROTOCOL promises, a function each, checked at every step, at every commit
//! and at the end.
//!
//! The checker walks through a step in the order of its effects: each is judged by what the model
//! held to be true just before it, and then becomes part of the model.

mod approve;
mod attempts;
mod audit;
mod blackboard;
mod board_past;
mod calls;
mod clock;
mod closing;
mod encodings;
mod gates;
mod handoff;
mod lists;
mod locks;
mod mail;
mod observe;
mod presence;
mod redrives;
mod replies;
mod results;
mod states;
mod tools;
mod txn;
mod work;

use hallward::engine::{DirectedKind, Effect};
use hallward::wire::name::{Agent, Room, TaskId};
use hallward::wire::reply::Code;
use hallward::wire::topic::Topic;

use super::agents::Participant;
use super::desk::Desk;
use super::durable::Durable;
use super::history::Step;
use super::model::Model;
use super::rules::Rules;
use states::States;

/// `Err` says which promise is broken, and how.
pub(super) type Check = Result<(), String>;

/// Breaks off with words unless it holds.
macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}
use ensure;

/// Commits from one look at everything that is retained to the next: reading it all is what costs
/// most.
const WHOLE_STORE_EVERY: u64 = 25;

/// Follows a run.
pub(super) struct Checker {
    pub(super) model: Model,
    states: States,
    commits: u64,
}

impl Checker {
    pub(super) fn new(rules: &Rules) -> Checker {
        Checker {
            model: Model::new(rules),
            states: States::default(),
            commits: 0,
        }
    }

    /// A step was committed.
    pub(super) fn step(&mut self, step: &Step) -> Check {
        encodings::everybody_is_understood(&mut self.model, step)?;
        self.plain_step(&step.plain())
    }

    /// The same when everybody speaks JSON.
    fn plain_step(&mut self, step: &Step) -> Check {
        let queue = work::Queue::before(&self.model, step);
        presence::places_end_for_a_reason(&self.model, step)?;
        self.model.begin(step);
        let turned_away = closing::turns_away(&self.model, step);
        let known = replies::first_outcome(&self.model, step).filter(|_| !turned_away);
        let (repeat, is_misused) = match known {
            Some((first, is_same)) => (is_same.then_some(first), !is_same),
            None => (None, false),
        };
        closing::offers(&self.model, step)?;
        replies::verdict_and_reply_agree(step)?;
        replies::trespassers_are_told(step)?;
        presence::the_end_of_a_batch_only_shows(step)?;
        replies::repeats_return_the_first_outcome(step, repeat.as_ref())?;
        approve::escalations(&mut self.model, step)?;
        let is_no_op = repeat.is_some() || handoff::is_an_echo(&self.model, step);
        if is_no_op {
            self.model.tally.repeats += 1;
        } else if is_misused {
            replies::ids_stand_for_what_was_said(step)?;
            self.model.tally.misused_ids += 1;
            self.await_lock(step);
        } else if turned_away {
            closing::refusals(step)?;
            self.model.tally.turned_away += 1;
            self.await_lock(step);
        } else {
            self.judge_command(step)?;
        }
        replies::remember(&mut self.model, step);
        replies::rejected_commands_change_nothing(&self.model, step, is_no_op)?;
        for effect in &step.effects {
            self.states.follow(effect)?;
            self.judge_effect(step, effect)?;
            self.model.apply(step, effect);
        }
        results::final_states_have_their_result(&self.model, step)?;
        results::complete_groups_are_gathered(&self.model)?;
        attempts::what_is_too_large_goes_back(&self.model, step)?;
        attempts::revocations_are_of_what_is_over(&self.model, step)?;
        calls::revocations_are_of_what_is_over(&self.model, step)?;
        results::what_was_given_back_is_held_no_more(&self.model, step)?;
        approve::decisions_clear_what_was_pending(&self.model, step)?;
        gates::what_is_decided_is_cleared(&self.model, step)?;
        gates::who_waits_has_been_asked_for(&self.model, step)?;
        if !is_no_op {
            blackboard::accepted_writes_are_seen(&self.model, step)?;
            approve::votes_that_suffice_decide(&self.model, step)?;
            handoff::cancelled_tasks_are_over(&self.model, step)?;
            results::what_a_worker_returns_reaches_the_dispatcher(&self.model, step)?;
            tools::what_is_taken_goes_on(&self.model, step)?;
            gates::replies_name_what_is_asked_for(step)?;
        }
        presence::workers_that_return_get_their_tasks_again(&self.model, step)?;
        match queue {
            Some(queue) => {
                work::priority_is_respected(&self.model, step, &queue)?;
                work::load_is_shared(&self.model, step, &queue)
            }
            None => Ok(()),
        }
    }

    /// A command that is no repeat: is the verdict right, and what does it make true?
    fn judge_command(&mut self, step: &Step) -> Check {
        let Some(command) = step.command() else {
            return Ok(());
        };
        let room = &command.topic.room;
        let asker = self.model.people.member_of(room, &command.from);
        let is_small = asker.is_some_and(|asker| asker.max_bytes().is_some());
        if is_small && step.refusal() == Some(Code::TooLarge) {
            // The answer is more than it takes.
            self.model.take_command(step);
            return Ok(());
        }
        match &command.topic.topic {
            Topic::HandoffDispatch { .. } => handoff::dispatches(&self.model, step, room)?,
            Topic::HandoffUpdate { me } => handoff::updates(&self.model, step, room, me)?,
            Topic::HandoffAnswer { .. } => handoff::answers(&self.model, step, room)?,
            Topic::HandoffCancel { .. } => handoff::cancels(&self.model, step, room)?,
            Topic::HandoffGet { .. } => handoff::questions(&self.model, step, room)?,
            Topic::HandoffList { .. } => lists::pages(&self.model, step, room)?,
            Topic::HandoffRedrive { .. } => redrives::commands(&mut self.model, step, room)?,
            Topic::BlackboardSet { key, .. } => blackboard::sets(&self.model, step, room, key)?,
            Topic::BlackboardDelete { key, .. } => {
                blackboard::deletes(&self.model, step, room, key)?;
            }
            Topic::BlackboardTxn { .. } => txn::transactions(&self.model, step, room)?,
            Topic::BlackboardLock { .. } => locks::commands(&self.model, step, room)?,
            Topic::BlackboardGet { .. } => blackboard::snapshots(&self.model, step, room)?,
            Topic::BlackboardList { .. } => board_past::lists(&self.model, step, room)?,
            Topic::BlackboardHistory { .. } => board_past::histories(&self.model, step, room)?,
            Topic::ApproveRequest { .. } => approve::requests(&self.model, step)?,
            Topic::ApproveDecide { me, id } => {
                approve::votes(&self.model, step, room, me, id)?;
            }
            Topic::ApproveCancel { .. } => approve::cancels(&self.model, step, room)?,
            Topic::ApproveAudit { .. } => audit::pages(&mut self.model, step, room)?,
            Topic::ToolsRegister { tool, .. } => {
                tools::registrations(&self.model, step, room, tool)?;
            }
            Topic::ToolsCall { tool, .. } => tools::calls(&self.model, step, room, tool)?,
            Topic::ToolsReturn { me } => tools::returns(&self.model, step, room, me)?,
            Topic::ToolsAnswer { .. } => tools::answers(&self.model, step, room)?,
            Topic::ToolsCancel { .. } => tools::cancels(&self.model, step, room)?,
            Topic::ToolsGet { .. } => tools::questions(&mut self.model, step, room)?,
            Topic::PresenceList { .. } => presence::lists(&self.model, step, room)?,
            Topic::ObserveReplay { .. } => observe::replays(&mut self.model, step, room)?,
            Topic::Inbox { to, .. } => replies::inbox_messages_wait(step, to)?,
            Topic::RoomClose { .. } | Topic::RoomOpen { .. } => {
                closing::commands(&self.model, step, room)?;
            }
            Topic::MailboxList { me, of } => mail::lists(step, of.as_ref().unwrap_or(me))?,
            Topic::MailboxPurge { me, of } => mail::purges(step, of.as_ref().unwrap_or(me))?,
            _ => {}
        }
        self.await_lock(step);
        self.model.take_command(step);
        Ok(())
    }

    /// A lock command is to be answered, now or later.
    fn await_lock(&mut self, step: &Step) {
        let topic = step.command().map(|command| &command.topic.topic);
        if matches!(topic, Some(Topic::BlackboardLock { .. })) {
            self.model.locks.unanswered.extend(locks::correlation(step));
        }
    }

    fn judge_effect(&self, step: &Step, effect: &Effect) -> Check {
        let model = &self.model;
        match effect {
            Effect::Event(event) => {
                observe::events_have_no_gap(model, step, event)?;
                locks::transitions(model, step, event)?;
                closing::transitions(model, step, event)?;
                calls::withdrawals(model, step, event)?;
                gates::decisions(model, step, event)?;
                attempts::transitions_are_legal(model, step, event)
            }
            Effect::Deliver(directed) => match &directed.class {
                DirectedKind::Assignment(key) => attempts::assignments(model, step, directed, key),
                DirectedKind::Result => results::results(model, step, directed),
                DirectedKind::Decision(id) => approve::decisions(model, step, directed, id),
                DirectedKind::Run(key) => calls::runs(model, step, directed, key),
                DirectedKind::ToolResult => calls::results(model, step, directed),
                DirectedKind::Notice => calls::notices(model, directed),
                DirectedKind::Reply | DirectedKind::Refusal => {
                    replies::replies_answer_their_command(model, step, directed)
                }
            },
            Effect::Retain { topic, payload } => match &topic.topic {
                Topic::BlackboardState { key } => {
                    blackboard::entries(model, step, &topic.room, key, payload.as_ref())
                }
                Topic::ApprovePending { id } => {
                    approve::pending(model, step, &topic.room, id, payload.as_ref())
                }
                Topic::HandoffAsking { task } => {
                    handoff::questions_are_shown(model, &topic.room, task, payload.as_ref())
                }
                Topic::PresenceAgent { .. } | Topic::ToolsCard { .. } => Ok(()),
                other => Err(format!("nothing is retained on {other:?}")),
            },
            Effect::Relay { to, expires_at } => replies::relays(model, step, to, *expires_at),
            // Judged when the step is over.
            Effect::Revoke { .. } => Ok(()),
            Effect::Discard { .. } => mail::discards(step),
        }
    }

    /// A batch was committed: what waits in the stores is what the model says.
    pub(super) fn committed(&mut self, desk: &Desk) -> Check {
        self.commits += 1;
        let model = &self.model;
        attempts::one_holder_and_no_overload(model)?;
        handoff::who_asks_waits_for_something(model)?;
        attempts::timers_have_fired(model)?;
        attempts::no_stale_assignment_waits(model, &desk.durable)?;
        calls::no_stale_run_waits(model, &desk.durable)?;
        calls::calls_end_in_time(model)?;
        presence::silent_sessions_are_out(model)?;
        blackboard::lapsed_keys_are_gone(model)?;
        locks::leases_have_ended(model)?;
        approve::silence_has_ended(model)?;
        clock::the_engine_wakes_in_time(model, desk)?;
        closing::closed_rooms_are_empty(model)?;
        replies::mailboxes_keep_their_bounds(model, &desk.durable)?;
        work::nobody_idles_while_work_waits(model, desk)?;
        if self.commits.is_multiple_of(WHOLE_STORE_EVERY) {
            return self.whole_store(desk);
        }
        Ok(())
    }

    /// What is retained, all of it, is what the model says.
    fn whole_store(&self, desk: &Desk) -> Check {
        blackboard::retained_entries_are_the_board(&self.model, &desk.durable)?;
        observe::the_journal_is_the_past(&self.model, &desk.journal)?;
        approve::retained_pending_is_what_is_open(&self.model, &desk.durable)?;
        calls::cards_are_the_truth(&self.model, &desk.durable)?;
        presence::retained_presence_is_the_truth(&self.model, &desk.durable)
    }

    /// Calm has had its time: everything has ended and everybody knows.
    pub(super) fn finished(&self, everybody: &[Participant], durable: &Durable) -> Check {
        results::every_task_has_ended(&self.model)?;
        redrives::walks_have_ended(everybody)?;
        calls::every_call_is_over(&self.model)?;
        for one in everybody {
            results::results_were_read_once(&self.model, one, durable)?;
            approve::decisions_were_read_once(&self.model, one, durable)?;
            calls::results_were_read_once(&self.model, one, durable)?;
            mail::messages_were_read(&self.model, one, durable)?;
        }
        approve::every_approval_was_decided(&self.model)
    }

    /// The tasks that wait because nobody can do them, with room and dispatcher; that anything else
    /// waits is an error.
    pub(super) fn waiting_for_nobody(&self) -> Result<Vec<(Room, TaskId, Agent)>, String> {
        results::waiting_for_nobody(&self.model)
    }

    /// Longer than anything is remembered has passed and everybody has left.
    pub(super) fn forgotten(&mut self, desk: &Desk) -> Check {
        observe::nothing_is_kept_for_ever(&self.model, desk)?;
        locks::nothing_is_held(&self.model, desk.stats().locks)?;
        for board in self.model.boards.values_mut() {
            board.everybody_is_gone();
        }
        Ok(())
    }
}
