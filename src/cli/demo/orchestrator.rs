//! The orchestrator: keeps the plan, hands off stage after stage, and asks before it publishes.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::super::{Failure, say};
use super::editor::{self, Decides};
use super::gateway::{DemoAddresses, GatewayProcess};
use super::story::{SUBJECTS, Subject, TITLE};
use super::worker::Workers;
use super::{PATIENCE, enter, screen};
use crate::agent::{Gate, Room, Task, TaskHandle, WriteOptions};
use crate::wire::approve::Decision;
use crate::wire::handoff::TaskResult;
use crate::wire::json::Json;

const ID: &str = "orchestrator";
const APPROVAL: &str = "publish-agents-at-the-edge";

/// What happened, for the summary.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Whether it ended with a publication.
    pub(super) published: bool,
    /// How each task ended.
    pub(super) tasks: Vec<TaskResult>,
    /// The plan's last version.
    pub(super) plan_version: u64,
    /// How it was decided.
    pub(super) decision: Option<Decision>,
    /// How often the gateway was killed.
    pub(super) gateway_crashes: u32,
}

pub(super) struct Orchestrator {
    room: Room,
    places: DemoAddresses,
    decides: Decides,
    report: Report,
}

impl Orchestrator {
    pub(super) async fn start(
        places: DemoAddresses,
        decides: Decides,
    ) -> Result<Orchestrator, Failure> {
        let (_, room) = enter(places.mqtt, ID).await?;
        Ok(Orchestrator {
            room,
            places,
            decides,
            report: Report::default(),
        })
    }

    /// The whole pipeline.
    pub(super) async fn run(
        mut self,
        gateway: &mut GatewayProcess,
        workers: &Workers,
        chaos: bool,
    ) -> Result<Report, Failure> {
        self.write_plan("research").await?;
        let subjects = SUBJECTS.map(|title| Subject {
            title: title.to_owned(),
        });
        let tasks = self.dispatch("research", &subjects).await?;
        let notes = self.results(tasks).await?;
        self.write_plan("draft").await?;
        let tasks = self.dispatch("draft", &notes).await?;
        let pages = self.results(tasks).await?;
        if chaos && !workers.crashed() {
            return Err(Failure::runtime(
                "no worker crashed, though chaos was asked for",
            ));
        }
        self.write_plan("review").await?;
        let tasks = self.dispatch("review", &[pages]).await?;
        if chaos {
            say(format_args!(
                "  !! the gateway is killed with -9 while the review is under way, and started again\n"
            ));
            gateway.crash(self.places).await?;
            self.report.gateway_crashes += 1;
        }
        let reviewed = self.results(tasks).await?;
        self.write_plan("approve").await?;
        if !self.ask_approval(&reviewed[0]).await? {
            self.write_plan("rejected").await?;
            return Ok(self.report);
        }
        self.write_plan("publish").await?;
        let tasks = self.dispatch("publish", &reviewed).await?;
        self.results(tasks).await?;
        self.write_plan("done").await?;
        self.report.published = true;
        Ok(self.report)
    }

    /// Writes the plan's next version, only if nobody else did meanwhile.
    async fn write_plan(&mut self, stage: &str) -> Result<(), Failure> {
        let plan = json!({"story": TITLE, "stage": stage});
        let unchanged = WriteOptions {
            if_version: Some(self.report.plan_version),
            ..WriteOptions::default()
        };
        let board = self.room.blackboard();
        self.report.plan_version = board.set_with("plan", &plan, unchanged).await?.version;
        say(format_args!("\n{stage}\n"));
        Ok(())
    }

    /// One task per input, all at once: they are on disk now.
    async fn dispatch<T: Serialize>(
        &self,
        stage: &str,
        inputs: &[T],
    ) -> Result<Vec<TaskHandle>, Failure> {
        let mut tasks = Vec::new();
        for (number, input) in (1..).zip(inputs) {
            let task = Task::new(stage)
                .id(&format!("{stage}-{number}"))
                .payload(input);
            tasks.push(self.room.handoff().dispatch(task).await?);
        }
        Ok(tasks)
    }

    /// Shows each as it ends; what came of them, in their order.
    async fn results(&mut self, tasks: Vec<TaskHandle>) -> Result<Vec<Json>, Failure> {
        let mut ending: JoinSet<_> = tasks
            .into_iter()
            .map(|mut task| async move { task.result_within(PATIENCE).await })
            .collect();
        let mut outputs = BTreeMap::new();
        while let Some(ended) = ending.join_next().await {
            let result = ended.map_err(|error| Failure::runtime(error.to_string()))??;
            show(&result);
            outputs.insert(result.task.to_string(), result.value().clone());
            self.report.tasks.push(result);
        }
        Ok(outputs.into_values().collect())
    }

    /// The gate: whether the editor said yes.
    async fn ask_approval(&mut self, content: &Json) -> Result<bool, Failure> {
        let gate = Gate::new("publish this")
            .id(APPROVAL)
            .content(content)
            .approver(editor::ID);
        let approvals = self.room.approve();
        let decision = approvals.request(gate);
        tokio::pin!(decision);
        let asked = editor::decide(self.places.mqtt, APPROVAL, self.decides);
        let decision = tokio::select! {
            // Also by somebody else who speaks as the editor, or when its time is over.
            decision = &mut decision => decision?,
            asked = asked => {
                asked?;
                decision.await?
            }
        };
        let approved = decision.approved;
        self.report.decision = Some(decision);
        Ok(approved)
    }
}

/// From dispatch to result, in milliseconds, as the gateway says it.
pub(super) fn latency(result: &TaskResult) -> u64 {
    result.at.saturating_sub(result.created_at)
}

fn show(result: &TaskResult) {
    let worker = result.worker.as_ref();
    say(format_args!(
        "  {} by {}, {} ms:\n{}",
        result.task,
        worker.map_or("nobody", |worker| worker.as_str()),
        latency(result),
        screen::work(result.value())
    ));
}
