//! Keeping to `maxBytes` where the engine may choose: answers to questions, inbox messages, and who gets a tool's run. (Who gets a task is
//! a matter of `handoff`.)
//!
//! Sizes are those of whole packets, in the encoding that the reader has. What is larger all the same when it leaves is the desk's.

use std::cell::OnceCell;

use crate::wire::fit::packet_bytes;
use crate::wire::json::Json;
use crate::wire::message::Qos;
use crate::wire::name::Agent;
use crate::wire::presence::Encoding;
use crate::wire::reply::{Code, Rejection, Reply};
use crate::wire::topic::{RoomTopic, Topic};

use super::context::Context;
use super::member::Member;
use super::replies::{Call, Outcome, command_name};
use super::room::RoomState;
use super::tools::ToolCall;
use super::{Class, Engine};

impl Engine {
    /// The largest packet that an agent takes in a room, if it has said so.
    pub fn takes(&self, agent: &str, room: &str) -> Option<usize> {
        self.rooms.get(room)?.takes(agent)
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
        let Some(most) = most.filter(|_| !had_effect) else {
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
                room.take_back_if_unseen(cx, agent, key);
            }),
            Class::Run(key) => self.in_room(&key.room, |room, cx| {
                room.lose_run_too_large(cx, agent, key);
            }),
            _ => {}
        }
    }
}

impl Context {
    /// Bytes of a packet of QoS 1 on a topic.
    pub(super) fn packet_bytes(&self, topic: &RoomTopic, payload: usize) -> usize {
        let topic = topic.format("").len() + self.settings.root_bytes;
        packet_bytes(topic, payload, Qos::AtLeastOnce)
    }
}

impl RoomState {
    fn takes(&self, agent: &str) -> Option<usize> {
        let member = self.members.0.get(agent);
        member.and_then(Member::max_bytes).map(|most| most as usize)
    }

    /// Refuses an inbox message that its recipient cannot take.
    pub(super) fn expect_to_fit(
        &self,
        cx: &Context,
        call: &Call<'_>,
        to: &Agent,
    ) -> Result<(), Rejection> {
        let Some(most) = self.takes(to.as_str()) else {
            return Ok(());
        };
        let bytes = cx.packet_bytes(&call.command.topic, call.command.payload.len());
        if bytes <= most {
            return Ok(());
        }
        let reason = format!("{to} takes packets of at most {most} bytes, and this has {bytes}");
        Err(Rejection::new(Code::TooLarge, reason))
    }

    /// How large a call is as a packet, in whichever encoding it is larger.
    pub(super) fn run_bytes(&self, cx: &Context, call: &ToolCall, arguments: &Json) -> usize {
        let run = Encoding::greatest_length_of(&call.run(arguments), arguments.text());
        let topic = Topic::ToolsRun {
            tool: call.tool.clone(),
        };
        let topic = RoomTopic::new(self.name.clone(), topic);
        cx.packet_bytes(&topic, run)
    }

    /// Tells who takes a call. Nobody counts its bytes unless somebody has a limit.
    pub(super) fn takes_run(
        &self,
        cx: &Context,
        call: &ToolCall,
        arguments: &Json,
    ) -> impl Fn(&Agent) -> bool {
        let bytes = OnceCell::new();
        move |agent| {
            let most = self.takes(agent.as_str());
            most.is_none_or(|most| {
                *bytes.get_or_init(|| self.run_bytes(cx, call, arguments)) <= most
            })
        }
    }
}
