//! Questions in the middle of work, which tasks and calls have alike: what is open, and what came
//! of those before.
//!
//! Whoever asks may do so several times. The answers stay with the work, in their order: who begins
//! with it anew is told them again, and need not ask twice.

use serde::{Deserialize, Serialize};

use crate::schema::Schema;
use crate::wire::Millis;
use crate::wire::json::Json;
use crate::wire::question::GivenAnswer;
use crate::wire::reply::{Code, Rejection};

use super::context::Context;
use super::replies::{between, entries_at_most, json_at_most};
use super::tx::expect_agents_or_roles;

/// What came with status `input`.
pub(super) struct Inquiry {
    pub(super) question: Option<Json>,
    pub(super) schema: Option<Json>,
    pub(super) answerers: Vec<String>,
    pub(super) ttl_ms: Option<u64>,
}

/// A question that awaits its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) question: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<Json>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) answerers: Vec<String>,
    pub(super) asked_at: Millis,
    pub(super) expires_at: Millis,
}

/// What was asked of one task or call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Questions {
    /// How many were asked: no number is used twice, not even one that was taken back.
    #[serde(default)]
    asked: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<Question>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    answers: Vec<GivenAnswer>,
}

impl Inquiry {
    /// The question, if it may be asked; `usual_ms` is how long it waits where it does not say.
    pub(super) fn check(self, cx: &Context, usual_ms: u64) -> Result<Question, Rejection> {
        let settings = &cx.settings;
        let Some(question) = self.question else {
            let reason = "expected a question: what the answer is to say";
            return Err(Rejection::new(Code::Invalid, reason).at("question"));
        };
        json_at_most("question", Some(&question), settings.handoff.max_payload.0)?;
        json_at_most("schema", self.schema.as_ref(), settings.tools.max_schema.0)?;
        if let Some(schema) = &self.schema {
            compile(schema)?;
        }
        let most = settings.approve.max_approvers;
        entries_at_most("answerers", self.answerers.len(), most)?;
        expect_agents_or_roles("answerers", &self.answerers)?;
        let ttl_ms = self.ttl_ms.unwrap_or(usual_ms);
        between("ttlMs", ttl_ms, 1, settings.commands.max_ttl.ms())?;
        Ok(Question {
            question,
            schema: self.schema,
            answerers: self.answerers,
            asked_at: cx.now,
            expires_at: cx.after(ttl_ms),
        })
    }
}

fn compile(schema: &Json) -> Result<Schema, Rejection> {
    Schema::compile(schema.text())
        .map_err(|error| Rejection::new(Code::Invalid, error.to_string()).at("schema"))
}

impl Questions {
    pub(super) fn is_empty(&self) -> bool {
        self.asked == 0
    }

    /// The one that is open, with its number.
    pub(super) fn open(&self) -> Option<(u32, &Question)> {
        self.open.as_ref().map(|open| (self.asked, open))
    }

    pub(super) fn answers(&self) -> &[GivenAnswer] {
        &self.answers
    }

    /// How many are over, and were not taken back.
    pub(super) fn answered(&self) -> u32 {
        u32::try_from(self.answers.len()).unwrap_or(u32::MAX)
    }

    /// Bytes of what is kept.
    pub(super) fn bytes(&self) -> usize {
        let open = self.open.as_ref().map_or(0, Question::bytes);
        let given = self.answers.iter().map(given_bytes).sum::<usize>();
        open + given
    }

    /// Refuses one more than may be.
    pub(super) fn expect_fewer_than(&self, limit: u32) -> Result<(), Rejection> {
        if self.asked >= limit {
            let reason = format!("{limit} questions were asked already, which is all that may be");
            return Err(Rejection::new(Code::TooMany, reason));
        }
        Ok(())
    }

    pub(super) fn ask(&mut self, question: Question) {
        self.asked += 1;
        self.open = Some(question);
    }

    /// Refuses what is no answer to the one that is open.
    pub(super) fn check_answer(
        &self,
        cx: &Context,
        ask: Option<u32>,
        answer: &Json,
    ) -> Result<(), Rejection> {
        json_at_most("answer", Some(answer), cx.settings.handoff.max_payload.0)?;
        let Some((no, open)) = self.open() else {
            return Err(Rejection::new(Code::Conflict, "no question is open"));
        };
        if let Some(other) = ask.filter(|ask| *ask != no) {
            let reason = format!("question {other} is not open, but question {no} is");
            return Err(Rejection::new(Code::Conflict, reason).at("ask"));
        }
        let Some(schema) = &open.schema else {
            return Ok(());
        };
        let checked = compile(schema)?.check(answer.text());
        checked.map_err(|violation| {
            let path = format!("/answer{}", violation.path);
            Rejection::new(Code::Invalid, violation.reason).at(path)
        })
    }

    /// The one that is open has its answer, or none in time.
    pub(super) fn close(&mut self, answer: Option<Json>) {
        let ask = self.asked;
        if self.open.take().is_some() {
            let timed_out = answer.is_none();
            self.answers.push(GivenAnswer {
                ask,
                answer,
                timed_out,
            });
        }
    }

    /// Nobody needs the one that is open any more; whether there was one.
    pub(super) fn withdraw(&mut self) -> bool {
        self.open.take().is_some()
    }
}

impl Question {
    pub(super) fn bytes(&self) -> usize {
        let schema = self.schema.as_ref().map_or(0, |schema| schema.text().len());
        self.question.text().len() + schema
    }
}

fn given_bytes(given: &GivenAnswer) -> usize {
    given
        .answer
        .as_ref()
        .map_or(0, |answer| answer.text().len())
}
