//! The orchestrator: keeps the plan, hands off stage after stage, and asks before it publishes.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::{Failure, say};
use super::PATIENCE;
use super::agent::DemoAgent;
use super::editor::{self, Decides};
use super::gateway::{DemoAddresses, GatewayProcess};
use super::screen;
use super::story::{SUBJECTS, TITLE};
use super::worker::Workers;
use crate::wire::approve::Decision;
use crate::wire::handoff::{ResultStatus, TaskResult};
use crate::wire::json::Json;
use crate::wire::reply::{Reply, ReplyStatus};

const ID: &str = "orchestrator";
const APPROVAL: &str = "publish-agents-at-the-edge";

/// What happened, for the summary.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Whether it ended with a publication.
    pub(super) published: bool,
    /// How each task ended.
    pub(super) tasks: BTreeMap<String, TaskResult>,
    /// The plan's last version.
    pub(super) plan_version: u64,
    /// How it was decided.
    pub(super) decision: Option<Decision>,
    /// How often the gateway was killed.
    pub(super) gateway_crashes: u32,
}

pub(super) struct Orchestrator {
    agent: DemoAgent,
    places: DemoAddresses,
    decides: Decides,
    report: Report,
}

impl Orchestrator {
    pub(super) async fn start(
        places: DemoAddresses,
        decides: Decides,
    ) -> Result<Orchestrator, Failure> {
        let topics =
            ["handoff/result", "approve/decision", "reply"].map(|topic| format!("{topic}/{ID}"));
        let agent = DemoAgent::connect(places.mqtt, ID, &topics).await?;
        Ok(Orchestrator {
            agent,
            places,
            decides,
            report: Report::default(),
        })
    }

    /// The whole pipeline.
    pub(super) async fn run(
        &mut self,
        gateway: &mut GatewayProcess,
        workers: &Workers,
        chaos: bool,
    ) -> Result<Report, Failure> {
        self.write_plan("research").await?;
        let subjects = SUBJECTS.map(|title| json!({"title": title}));
        let notes = self.stage("research", &subjects).await?;
        self.write_plan("draft").await?;
        let pages = self.stage("draft", &notes).await?;
        if chaos && !workers.crashed() {
            return Err(Failure::runtime(
                "no worker crashed, though chaos was asked for",
            ));
        }
        self.write_plan("review").await?;
        self.dispatch("review", 1, &json!(pages)).await?;
        if chaos {
            self.taken("review-1").await?;
            say(format_args!(
                "  !! the gateway is killed with -9 while the review is under way, and started again\n"
            ));
            gateway.crash(self.places).await?;
            self.report.gateway_crashes += 1;
        }
        let reviewed = self.results("review", 1).await?;
        self.write_plan("approve").await?;
        if !self.ask_approval(&reviewed[0]).await? {
            self.write_plan("rejected").await?;
            return Ok(std::mem::take(&mut self.report));
        }
        self.write_plan("publish").await?;
        self.stage("publish", &reviewed).await?;
        self.write_plan("done").await?;
        self.report.published = true;
        Ok(std::mem::take(&mut self.report))
    }

    /// Writes the plan's next version, only if nobody else did meanwhile.
    async fn write_plan(&mut self, stage: &str) -> Result<(), Failure> {
        let version = self.report.plan_version;
        let correlation = format!("plan-{stage}");
        let set = json!({
            "value": {"story": TITLE, "stage": stage},
            "ifVersion": version,
            "id": format!("plan-{version}"),
            "correlationId": correlation,
        });
        self.agent
            .publish(&format!("blackboard/set/{ID}/plan"), &set)
            .await?;
        let reply = self.reply(&correlation).await?;
        say(format_args!("\n{stage}\n"));
        self.report.plan_version = reply.version.unwrap_or(version);
        Ok(())
    }

    /// One task per input, all at once; their results in order.
    async fn stage(
        &mut self,
        stage: &str,
        inputs: &[serde_json::Value],
    ) -> Result<Vec<serde_json::Value>, Failure> {
        for (number, input) in (1..).zip(inputs) {
            self.dispatch(stage, number, input).await?;
        }
        self.results(stage, inputs.len()).await
    }

    async fn dispatch(
        &mut self,
        stage: &str,
        number: usize,
        input: &serde_json::Value,
    ) -> Result<(), Failure> {
        let task = json!({"id": format!("{stage}-{number}"), "type": stage, "payload": input});
        self.agent
            .publish(&format!("handoff/dispatch/{ID}"), &task)
            .await
    }

    async fn results(
        &mut self,
        stage: &str,
        count: usize,
    ) -> Result<Vec<serde_json::Value>, Failure> {
        let names: Vec<String> = (1..=count)
            .map(|number| format!("{stage}-{number}"))
            .collect();
        while !names
            .iter()
            .all(|name| self.report.tasks.contains_key(name))
        {
            let result: TaskResult = self.expect("handoff/result").await?;
            if result.is_final {
                show(&result);
                self.report.tasks.insert(result.task.to_string(), result);
            }
        }
        names.iter().map(|name| self.succeeded(name)).collect()
    }

    fn succeeded(&self, name: &str) -> Result<serde_json::Value, Failure> {
        let result = &self.report.tasks[name];
        if result.status != ResultStatus::Succeeded {
            return Err(Failure::runtime(format!(
                "task {name} ended as {:?}: {:?}",
                result.status, result.error
            )));
        }
        let text = result.result.as_ref().map_or("null", Json::text);
        serde_json::from_str(text)
            .map_err(|error| Failure::runtime(format!("task {name} returned no JSON: {error}")))
    }

    /// The gate: whether the editor said yes.
    async fn ask_approval(&mut self, content: &serde_json::Value) -> Result<bool, Failure> {
        let request = json!({"id": APPROVAL, "action": "publish this", "content": content, "approvers": [editor::ID]});
        self.agent
            .publish(&format!("approve/request/{ID}"), &request)
            .await?;
        let reply = self.accepted().await?;
        debug_assert!(reply.approval.is_some());
        let asked = editor::decide(self.places.mqtt, APPROVAL, self.decides);
        let decision = tokio::select! {
            // Also by somebody else who speaks as the editor, or when its time is over.
            decision = decision(&mut self.agent) => decision?,
            asked = asked => {
                asked?;
                decision(&mut self.agent).await?
            }
        };
        let approved = decision.approved;
        self.report.decision = Some(decision);
        Ok(approved)
    }

    async fn reply(&mut self, correlation: &str) -> Result<Reply, Failure> {
        loop {
            let reply = self.accepted().await?;
            if reply.correlation_id.as_deref() == Some(correlation) {
                return Ok(reply);
            }
        }
    }

    /// Waits until the gateway has said that it has a task.
    async fn taken(&mut self, task: &str) -> Result<(), Failure> {
        loop {
            let reply = self.accepted().await?;
            if reply.task.is_some_and(|taken| taken.as_str() == task) {
                return Ok(());
            }
        }
    }

    async fn accepted(&mut self) -> Result<Reply, Failure> {
        accept(self.expect("reply").await?)
    }

    /// The next message of one kind; results that come meanwhile are kept.
    async fn expect<T: serde::de::DeserializeOwned>(&mut self, kind: &str) -> Result<T, Failure> {
        loop {
            let incoming = within_patience(self.agent.next()).await?;
            if incoming.is_empty() {
                continue;
            }
            if incoming.topic.starts_with(kind) {
                return incoming.read();
            }
            if incoming.topic.starts_with("reply/") {
                accept(incoming.read()?)?;
            }
        }
    }
}

/// A person takes as long as they like.
async fn decision(agent: &mut DemoAgent) -> Result<Decision, Failure> {
    loop {
        let incoming = agent.next().await?;
        if incoming.topic.starts_with("approve/decision/") {
            return incoming.read();
        }
    }
}

/// From dispatch to result, in milliseconds, as the gateway says it.
pub(super) fn latency(result: &TaskResult) -> u64 {
    result.at.saturating_sub(result.created_at)
}

fn show(result: &TaskResult) {
    let worker = result
        .worker
        .as_ref()
        .map_or("nobody", |worker| worker.as_str());
    say(format_args!(
        "  {} by {worker}, {} ms:\n{}",
        result.task,
        latency(result),
        result
            .result
            .as_ref()
            .map_or_else(String::new, screen::work)
    ));
}

pub(super) fn accept(reply: Reply) -> Result<Reply, Failure> {
    match reply.status {
        ReplyStatus::Accepted => Ok(reply),
        ReplyStatus::Rejected => {
            let code = u16::from(reply.code);
            let reason = reply.reason.unwrap_or_default();
            Err(Failure::runtime(format!(
                "{} was rejected: {code} {reason}",
                reply.command
            )))
        }
    }
}

pub(super) async fn within_patience<T>(
    wait: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| {
        Err(Failure::runtime(format!(
            "nothing came within {PATIENCE:?}"
        )))
    })
}
