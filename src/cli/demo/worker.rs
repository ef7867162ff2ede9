//! The workers: each offers one capability and does what it is assigned.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::Failure;
use super::agent::Agent;
use crate::wire::handoff::{Assignment, Update, UpdateStatus};
use crate::wire::json::Json;

/// The capabilities of the pipeline, in the order of its stages.
pub(super) const CAPABILITIES: [&str; 4] = ["research", "draft", "review", "publish"];

/// How long a piece of work takes; long enough to be seen.
const WORK: Duration = Duration::from_millis(150);

/// Everybody at work; dropping them disconnects them.
pub(super) struct Workers {
    _tasks: JoinSet<()>,
    /// Set by whoever is killed for chaos, so that it happens once.
    crashed: Arc<AtomicBool>,
}

impl Workers {
    /// Two for each capability.
    pub(super) async fn start(gateway: SocketAddr, chaos: bool) -> Result<Workers, Failure> {
        let crashed = Arc::new(AtomicBool::new(!chaos));
        let mut tasks = JoinSet::new();
        for capability in CAPABILITIES {
            for number in 1..=2 {
                let id = format!("{capability}-{number}");
                let agent = connect(gateway, &id, capability).await?;
                tasks.spawn(work(agent, gateway, capability, crashed.clone()));
            }
        }
        Ok(Workers {
            _tasks: tasks,
            crashed,
        })
    }

    /// Whether the worker that chaos takes has been taken.
    pub(super) fn crashed(&self) -> bool {
        self.crashed.load(Ordering::Acquire)
    }
}

async fn connect(gateway: SocketAddr, id: &str, capability: &str) -> Result<Agent, Failure> {
    Agent::connect(gateway, id, &[format!("handoff/work/{capability}")]).await
}

async fn work(
    mut agent: Agent,
    gateway: SocketAddr,
    capability: &'static str,
    crashed: Arc<AtomicBool>,
) {
    while let Ok(incoming) = agent.next().await {
        let Ok(assignment) = incoming.read::<Assignment>() else {
            continue;
        };
        if accept(&agent, &assignment).await.is_err() {
            return;
        }
        if capability == "draft" && !crashed.swap(true, Ordering::AcqRel) {
            // It drops everything in the middle of its work. The gateway keeps the task for it, and brings it again.
            let id = agent.id().to_owned();
            super::super::say(format_args!("  !! {id} dies at its desk, and comes back\n"));
            drop(agent);
            let Ok(again) = connect(gateway, &id, capability).await else {
                return;
            };
            agent = again;
            continue;
        }
        tokio::time::sleep(WORK).await;
        if finish(&agent, &assignment, capability).await.is_err() {
            return;
        }
    }
}

async fn accept(agent: &Agent, assignment: &Assignment) -> Result<(), Failure> {
    update(agent, assignment, UpdateStatus::Accepted, None).await
}

async fn finish(agent: &Agent, assignment: &Assignment, capability: &str) -> Result<(), Failure> {
    let subject = assignment.payload.as_ref().map_or("null", Json::text);
    let text = match capability {
        "research" => format!("three sources on {subject}"),
        "draft" => format!("a page from {subject}"),
        "review" => format!("approved wording of {subject}"),
        _ => "https://news.example/agents-at-the-edge".to_owned(),
    };
    update(
        agent,
        assignment,
        UpdateStatus::Success,
        Some(Json::of(&text)),
    )
    .await
}

async fn update(
    agent: &Agent,
    assignment: &Assignment,
    status: UpdateStatus,
    result: Option<Json>,
) -> Result<(), Failure> {
    let update = Update {
        task: assignment.task.clone(),
        attempt: assignment.attempt,
        status,
        result,
        error: None,
        id: None,
        correlation_id: None,
    };
    agent
        .publish(&format!("handoff/update/{}", agent.id()), &update)
        .await
}
