//! The workers: each offers one capability and does what it is assigned.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::{Failure, say};
use super::enter;
use super::story::{self, Article, Notes, Page, Published, Subject};
use crate::agent::{Fault, Work, WorkerRun};

/// The capabilities of the pipeline, in the order of its stages, and who has them.
const CAPABILITIES: [(&str, &str); 4] = [
    ("research", "researcher"),
    (DRAFT, "writer"),
    ("review", "reviewer"),
    ("publish", "publisher"),
];

/// Where chaos strikes.
const DRAFT: &str = "draft";

/// How long a piece of work takes; long enough to be seen.
const WORK: Duration = Duration::from_millis(150);

/// Everybody at work; dropping them disconnects them.
pub(super) struct Workers {
    _keeper: JoinSet<()>,
    accident: Accident,
}

/// The death of a worker, for chaos: it is due once, or never.
#[derive(Clone)]
struct Accident {
    is_due: Arc<AtomicBool>,
    fall: mpsc::Sender<String>,
}

impl Accident {
    /// If it is due it happens to this worker, which does nothing any more.
    async fn strike(&self, name: &str) {
        if self.is_due.swap(false, Ordering::AcqRel) {
            // Who would not hear of it has ended the demo.
            let _ = self.fall.send(name.to_owned()).await;
            std::future::pending().await
        }
    }
}

impl Workers {
    /// Two for each capability.
    pub(super) async fn start(gateway: SocketAddr, chaos: bool) -> Result<Workers, Failure> {
        let (fall, fallen) = mpsc::channel(1);
        let is_due = Arc::new(AtomicBool::new(chaos));
        let accident = Accident { is_due, fall };
        let mut runs = BTreeMap::new();
        for (capability, profession) in CAPABILITIES {
            for number in 1..=2 {
                let name = format!("{profession}-{number}");
                let run = hire(gateway, &name, capability, &accident).await?;
                runs.insert(name, run);
            }
        }
        let mut keeper = JoinSet::new();
        keeper.spawn(keep(gateway, runs, fallen, accident.clone()));
        Ok(Workers {
            _keeper: keeper,
            accident,
        })
    }

    /// Whether the worker that chaos takes has been taken.
    pub(super) fn crashed(&self) -> bool {
        !self.accident.is_due.load(Ordering::Acquire)
    }
}

/// Has somebody come back in the place of whoever falls.
async fn keep(
    gateway: SocketAddr,
    mut runs: BTreeMap<String, WorkerRun>,
    mut fallen: mpsc::Receiver<String>,
    accident: Accident,
) {
    while let Some(name) = fallen.recv().await {
        say(format_args!(
            "  !! {name} dies at its desk, and comes back\n"
        ));
        // Its connection goes, and all that it knew, in the middle of its work. The gateway keeps
        // the task for it, and brings it again.
        drop(runs.remove(&name));
        if let Ok(again) = hire(gateway, &name, DRAFT, &accident).await {
            runs.insert(name, again);
        }
    }
}

/// One worker, at work for as long as what is returned is held.
async fn hire(
    gateway: SocketAddr,
    name: &str,
    capability: &str,
    accident: &Accident,
) -> Result<WorkerRun, Failure> {
    let (me, room) = enter(gateway, name).await?;
    let worker = room.worker();
    let worker = match capability {
        "research" => worker.task(capability, |work: Work<Subject>| async move {
            sleep(WORK).await;
            story::research(work.payload()).map_err(Fault::fatal)
        }),
        DRAFT => {
            let accident = accident.clone();
            worker.task(capability, move |work: Work<Notes>| {
                let (me, accident) = (me.clone(), accident.clone());
                async move {
                    sleep(WORK / 2).await;
                    accident.strike(me.name()).await;
                    sleep(WORK / 2).await;
                    Ok(story::draft(work.payload()))
                }
            })
        }
        "review" => worker.task(capability, |work: Work<Vec<Page>>| async move {
            sleep(WORK).await;
            Ok(story::review(work.payload()))
        }),
        _ => worker.task(capability, move |work: Work<Article>| {
            let me = me.clone();
            async move {
                sleep(WORK).await;
                let Article { title, text, .. } = work.into_payload();
                me.retain(story::TOPIC, format!("{title}\n\n{text}\n"))
                    .await?;
                let topic = story::TOPIC.to_owned();
                Ok(Published { title, topic })
            }
        }),
    };
    Ok(worker.start().await?)
}
