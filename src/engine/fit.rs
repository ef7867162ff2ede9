//! Keeping to `maxBytes` where the engine may choose: answers to questions, inbox messages, and who gets a tool's run. (Who gets a task is
//! a matter of `handoff`.)
//!
//! Sizes are those of whole packets, in the encoding that the reader has. What is larger all the same when it leaves is the desk's.

use crate::wire::name::Agent;
use crate::wire::reply::{Code, Rejection, Reply};
use crate::wire::topic::{RoomTopic, Topic};

use super::Engine;
use super::effect::Class;
use super::replies::{Call, Outcome, command_name};

impl Engine {
    /// The largest packet that an agent takes in a room, if it has said so.
    pub fn takes(&self, agent: &str, room: &str) -> Option<usize> {
        self.rooms.get(room)?.core.takes(agent)
    }

    /// Turns an answer to a question that its asker cannot take into a refusal. A command that had an effect is never refused for that.
    pub(super) fn fit(&self, call: &Call<'_>, outcome: Outcome) -> Outcome {
        let accepted = outcome?;
        if accepted.data.is_none() {
            return Ok(accepted);
        }
        let room = &call.command.topic.room;
        let most = self.takes(call.from().as_str(), room.as_str());
        // The one command that tells of its effect where questions have their answer.
        let had_effect = matches!(call.command.topic.topic, Topic::MailboxPurge { .. });
        let Some(most) = most.filter(|_| !had_effect && !call.is_asked) else {
            return Ok(accepted);
        };
        let reply = Reply {
            id: call.id.clone(),
            correlation_id: call.correlation_id.clone(),
            ..accepted.clone().reply(command_name(call.command))
        };
        let payload = self.cx.encodings.of(call.from()).length_of(&reply);
        let topic = Topic::Reply {
            me: call.from().clone(),
            rest: call.command.mirrors.reply_rest.clone(),
        };
        let topic = RoomTopic::new(room.clone(), topic);
        let bytes = self.cx.packet_bytes(&topic, payload);
        if bytes <= most {
            return Ok(accepted);
        }
        let reason = format!("the answer has {bytes} bytes, you take {most}: ask for less");
        Err(Rejection::new(Code::TooLarge, reason))
    }

    /// Takes back what an agent was to get, and cannot any more.
    pub(super) fn take_back_too_large(&mut self, agent: &Agent, class: &Class) {
        match class {
            Class::Assignment(key) => self.in_room(&key.room, |room, cx| {
                let (mut tx, patterns) = room.lend(cx);
                patterns.handoff.take_back_if_unseen(&mut tx, agent, key);
            }),
            Class::Run(key) => self.in_room(&key.room, |room, cx| {
                let (mut tx, patterns) = room.lend(cx);
                patterns.tools.lose_run_too_large(&mut tx, agent, key);
            }),
            _ => {}
        }
    }
}
