//! The workers: each offers one capability and does what it is assigned.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use super::super::Failure;
use super::agent::DemoAgent;
use super::story::{self, Article, Page, Published};
use crate::wire::handoff::{Assignment, TaskError, Update, UpdateStatus};
use crate::wire::json::Json;

/// The capabilities of the pipeline, in the order of its stages, and who has them.
const CAPABILITIES: [(&str, &str); 4] = [
    ("research", "researcher"),
    ("draft", "writer"),
    ("review", "reviewer"),
    ("publish", "publisher"),
];

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
        for (capability, profession) in CAPABILITIES {
            for number in 1..=2 {
                let id = format!("{profession}-{number}");
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

async fn connect(gateway: SocketAddr, id: &str, capability: &str) -> Result<DemoAgent, Failure> {
    DemoAgent::connect(gateway, id, &[format!("handoff/work/{capability}")]).await
}

async fn work(
    mut agent: DemoAgent,
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
            // It drops everything in the middle of its work. The gateway keeps the task for it, and
            // brings it again.
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
        let Ok(outcome) = perform(&agent, capability, &assignment).await else {
            return;
        };
        let (status, result, error) = match outcome {
            Ok(result) => (UpdateStatus::Success, Some(result), None),
            Err(message) => (UpdateStatus::Error, None, Some(unable(message))),
        };
        if update(&agent, &assignment, status, result, error)
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Does the work. The outer failure is the connection's, the inner one the work's.
async fn perform(
    agent: &DemoAgent,
    capability: &str,
    assignment: &Assignment,
) -> Result<Result<Json, String>, Failure> {
    let payload = assignment.payload.as_ref().map_or("null", Json::text);
    Ok(match capability {
        "research" => read(payload).and_then(|subject| Ok(Json::of(&story::research(&subject)?))),
        "draft" => read(payload).map(|notes| Json::of(&story::draft(&notes))),
        "review" => read(payload).map(|pages: Vec<Page>| Json::of(&story::review(&pages))),
        _ => match read::<Article>(payload) {
            Ok(article) => {
                let text = format!("{}\n\n{}\n", article.title, article.text);
                agent.post(story::TOPIC, text).await?;
                Ok(Json::of(&Published {
                    title: article.title,
                    topic: story::TOPIC.to_owned(),
                }))
            }
            Err(why) => Err(why),
        },
    })
}

fn read<T: DeserializeOwned>(payload: &str) -> Result<T, String> {
    serde_json::from_str(payload).map_err(|error| format!("cannot work on this: {error}"))
}

fn unable(message: String) -> TaskError {
    TaskError {
        code: None,
        message,
        retryable: Some(false),
    }
}

async fn accept(agent: &DemoAgent, assignment: &Assignment) -> Result<(), Failure> {
    update(agent, assignment, UpdateStatus::Accepted, None, None).await
}

async fn update(
    agent: &DemoAgent,
    assignment: &Assignment,
    status: UpdateStatus,
    result: Option<Json>,
    error: Option<TaskError>,
) -> Result<(), Failure> {
    let update = Update {
        result,
        error,
        ..Update::new(assignment.task.clone(), assignment.attempt, status)
    };
    agent
        .publish(&format!("handoff/update/{}", agent.id()), &update)
        .await
}
