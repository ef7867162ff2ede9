//! `examples/rust/pipeline.rs`, as it stands.

use serde_json::json;

use super::{Stage, within};

#[path = "../../../examples/rust/pipeline.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod example;

#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_publishes_what_the_chief_has_approved() {
    let stage = Stage::set().await;
    let url = stage.gateway.url().to_owned();
    let _worker = example::worker(&url, "writer").await.expect("at work");
    tokio::spawn(example::chief(url.clone()));
    let published = within(example::pipeline(&url, "How do tides work?")).await;
    let published = published.expect("published");
    assert_eq!(published["published"], json!(true));
    assert_eq!(published["article"]["reviewed"], json!(true));
    let room = stage
        .agent("reader")
        .await
        .join("content-pipeline")
        .await
        .expect("joined");
    let plan = room
        .blackboard()
        .fetch("plan")
        .await
        .expect("asked")
        .expect("there");
    assert_eq!(plan.version, 5);
}
