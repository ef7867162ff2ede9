//! Topics outside of rooms: what other clients of MQTT get of an agent.

use std::net::SocketAddr;

use hallward::agent::Error;

use super::{ALL, Stage, within};
use crate::harness::{Client, Connect, Publish};

/// Another client, that listens to these topics.
fn reader(stage: &Stage, name: &str, filter: &str) -> Client {
    let address = stage.gateway.url().trim_start_matches("mqtt://");
    let address: SocketAddr = address.parse().expect("an address");
    let mut reader = Client::connect(address, Connect::v5(name));
    assert_eq!(reader.subscribe(&[(filter, 1)]), [1]);
    reader
}

fn said(publish: Publish) -> (String, String, bool) {
    let text = String::from_utf8(publish.payload).expect("text");
    (publish.topic, text, publish.retain)
}

fn is(topic: &str, text: &str, is_retained: bool) -> (String, String, bool) {
    (topic.to_owned(), text.to_owned(), is_retained)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retained_waits_for_who_comes_later_and_nothing_else_does() {
    for speech in ALL.into_iter().take(2) {
        let mut stage = Stage::set().await;
        stage.speech = speech;
        let agent = stage.agent("editor").await;
        let mut early = reader(&stage, "early", "news/#");
        within(agent.retain("news/tides", "rising"))
            .await
            .expect("on disk");
        within(agent.publish("news/bell", "lunch"))
            .await
            .expect("taken");
        // One comes from the disk and one past it, in whichever order.
        let (tides, bell) = ("news/tides", "news/bell");
        assert_eq!(said(early.message_on(bell)), is(bell, "lunch", false));
        assert_eq!(said(early.message_on(tides)), is(tides, "rising", false));
        stage.gateway.restart().await.expect("up again");
        let mut late = reader(&stage, "late", "news/#");
        assert_eq!(said(late.message()), is(tides, "rising", true));
        within(agent.retain("news/tides", ""))
            .await
            .expect("on disk");
        assert_eq!(said(late.message()), is(tides, "", false));
        let mut last = reader(&stage, "last", "news/#");
        within(agent.publish("news/bell", "end"))
            .await
            .expect("taken");
        assert_eq!(said(last.message()), is(bell, "end", false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_none_is_refused_and_the_connection_goes_on() {
    let stage = Stage::set().await;
    let agent = stage.agent("editor").await;
    within(agent.publish("news/bell", "breakfast"))
        .await
        .expect("taken");
    let mut status = agent.status();
    for topic in ["", "news/+", "#"] {
        let refused = within(agent.publish(topic, "lunch")).await;
        assert!(matches!(refused, Err(Error::Malformed(_))), "{refused:?}");
    }
    within(agent.publish("news/bell", "lunch"))
        .await
        .expect("taken");
    assert!(status.try_recv().is_err(), "the connection is the same");
}
