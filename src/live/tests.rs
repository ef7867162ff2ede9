//! Scenarios over the whole plane. They wait for frames and counters, never for time.

mod congestion;
mod routers;

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::*;
use crate::setting::{Size, ms};

fn plane() -> LivePlane {
    LivePlane::start(LiveConfig::default(), 20_000).unwrap()
}

async fn publish(publisher: &mut LivePublisher, topic: &str, frame: &str) {
    publisher.push(topic, Bytes::copy_from_slice(frame.as_bytes()));
    publisher.flush().await;
}

async fn receive(subscriber: &mut LiveSubscriber) -> String {
    let mut out = Vec::new();
    let received = subscriber.recv(&mut out, 1).await;
    assert_eq!(received, Received::default());
    String::from_utf8(out.remove(0).to_vec()).unwrap()
}

async fn subscribed(plane: &LivePlane, filters: &[&str]) -> LiveSubscriber {
    let mut subscriber = plane.subscriber();
    for filter in filters {
        subscriber.subscribe(filter, false).await;
    }
    subscriber
}

fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn number(n: usize) -> Bytes {
    Bytes::copy_from_slice(&n.to_be_bytes())
}

fn numbers(frames: &[Bytes]) -> Vec<usize> {
    frames
        .iter()
        .map(|frame| usize::from_be_bytes(frame[..].try_into().unwrap()))
        .collect()
}

/// Routers seen dead by the supervisor so far; waits until it has replaced that many and publishers
/// may go on.
async fn replaced(plane: &LivePlane, routers: u64) {
    let mut changes = plane.shared.current.subscribe();
    changes
        .wait_for(|current| current.generation > routers && current.phase == Phase::Open)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_reaches_every_subscriber_of_its_topic_and_no_other() {
    let plane = plane();
    let mut exact = subscribed(&plane, &["a/b"]).await;
    let mut single = subscribed(&plane, &["a/+"]).await;
    let mut multi = subscribed(&plane, &["#"]).await;
    let mut other = subscribed(&plane, &["a/c"]).await;
    let mut publisher = plane.publisher();
    publish(&mut publisher, "a/b", "one").await;
    publish(&mut publisher, "a/c", "two").await;
    assert_eq!(receive(&mut exact).await, "one");
    assert_eq!(receive(&mut single).await, "one");
    assert_eq!(receive(&mut single).await, "two");
    assert_eq!(receive(&mut multi).await, "one");
    assert_eq!(receive(&mut multi).await, "two");
    assert_eq!(receive(&mut other).await, "two");
    let stats = plane.stats();
    assert_eq!(
        (
            stats.published.value(),
            stats.delivered.value(),
            stats.missed.value(),
            stats.filters.value()
        ),
        (2, 6, 0, 4)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_a_flush_that_was_dropped_go_with_the_next() {
    let plane = plane();
    let mut subscriber = subscribed(&plane, &["a"]).await;
    let mut publisher = plane.publisher();
    publisher.push("a", Bytes::from_static(b"one"));
    // A publisher link's first flush waits for its link, unless that was very quick.
    let dropped = poll_once(publisher.flush()).is_none();
    assert_eq!(publisher.is_empty(), !dropped);
    publisher.flush().await;
    assert!(publisher.is_empty());
    assert_eq!(receive(&mut subscriber).await, "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_lets_a_subscription_that_came_first_go_first() {
    let plane = plane();
    let mut publisher = plane.publisher();
    publish(&mut publisher, "a/b", "the lane has its link").await;
    let mut subscriber = plane.subscriber();
    // Under way, unless the router was very quick.
    let _ = poll_once(subscriber.subscribe("a/+", false));
    publisher.push("a/b", Bytes::from_static(b"one"));
    let publishing = tokio::spawn(async move { publisher.flush().await });
    subscriber.subscribe("a/+", false).await;
    publishing.await.unwrap();
    assert_eq!(receive(&mut subscriber).await, "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscribe_that_was_dropped_while_its_link_opened_can_be_called_again() {
    let plane = plane();
    let mut subscriber = plane.subscriber();
    assert_eq!(poll_once(subscriber.subscribe("a", false)), None);
    subscriber.subscribe("a", false).await;
    publish(&mut plane.publisher(), "a", "one").await;
    assert_eq!(receive(&mut subscriber).await, "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_filters_hand_a_frame_over_once() {
    let plane = plane();
    let mut subscriber = subscribed(&plane, &["a/b", "a/+", "#", "c/#"]).await;
    let mut publisher = plane.publisher();
    let topics = ["a/b", "a/x", "c/d", "z", "a/b"];
    for round in 0..500 {
        for (n, topic) in topics.iter().enumerate() {
            publisher.push(topic, number(round * topics.len() + n));
        }
        publisher.flush().await;
    }
    let (mut out, expected) = (Vec::new(), 500 * topics.len());
    while out.len() < expected {
        assert_eq!(subscriber.recv(&mut out, 64).await, Received::default());
    }
    let distinct: HashSet<_> = numbers(&out).into_iter().collect();
    assert_eq!((out.len(), distinct.len()), (expected, expected));
    publish(&mut publisher, "z", "end").await;
    assert_eq!(receive(&mut subscriber).await, "end");
    assert_eq!(plane.stats().overlaps_forgotten.value(), 0);
}

#[tokio::test]
async fn a_leading_wildcard_leaves_dollar_topics_alone() {
    let plane = plane();
    let mut wild = subscribed(&plane, &["#", "+/x"]).await;
    let mut system = subscribed(&plane, &["$SYS/#"]).await;
    let mut publisher = plane.publisher();
    publish(&mut publisher, "$SYS/x", "system").await;
    publish(&mut publisher, "a/x", "ordinary").await;
    assert_eq!(receive(&mut wild).await, "ordinary");
    assert_eq!(receive(&mut system).await, "system");
}

#[tokio::test]
async fn topics_may_begin_with_any_character() {
    let plane = plane();
    let mut subscriber = subscribed(&plane, &["é/+", "/", "日本/#"]).await;
    let mut publisher = plane.publisher();
    for topic in ["é/ü", "/", "日本", "日本/語"] {
        publish(&mut publisher, topic, topic).await;
        assert_eq!(receive(&mut subscriber).await, topic);
    }
    assert_eq!(plane.stats().routers_died.value(), 0);
}

#[tokio::test]
async fn empty_frames_are_frames() {
    let plane = plane();
    let mut subscriber = subscribed(&plane, &["a"]).await;
    publish(&mut plane.publisher(), "a", "").await;
    assert_eq!(receive(&mut subscriber).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_flushed_after_subscribe_returned_is_received() {
    let plane = plane();
    let mut keeper = subscribed(&plane, &["t/#"]).await;
    let mut publisher = plane.publisher();
    for n in 0..1000 {
        let topic = format!("t/{}", n % 50);
        let mut subscriber = subscribed(&plane, &[&topic]).await;
        publish(&mut publisher, &topic, &n.to_string()).await;
        assert_eq!(receive(&mut subscriber).await, n.to_string());
        assert_eq!(receive(&mut keeper).await, n.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_after_unsubscribe() {
    let plane = plane();
    let mut subscriber = subscribed(&plane, &["a", "b"]).await;
    let mut publisher = plane.publisher();
    subscriber.unsubscribe("a").await;
    publish(&mut publisher, "a", "unwanted").await;
    publish(&mut publisher, "b", "wanted").await;
    assert_eq!(receive(&mut subscriber).await, "wanted");
    subscriber.subscribe("a", false).await;
    publish(&mut publisher, "a", "again").await;
    assert_eq!(receive(&mut subscriber).await, "again");
    assert_eq!(plane.stats().unwanted.value(), 1);
}

const FLAT_OUT: usize = 100_000;

/// Publishes as fast as it goes, in batches.
async fn publish_flat_out(mut publisher: LivePublisher, reliable: bool) {
    for n in 0..FLAT_OUT {
        if reliable {
            publisher.push_reliable("flat/out", number(n));
        } else {
            publisher.push("flat/out", number(n));
        }
        if publisher.len() == 50 {
            publisher.flush().await;
        }
    }
}

/// Receives up to the last number; returns all of them and how many were missed.
async fn receive_to_the_end(mut subscriber: LiveSubscriber) -> (Vec<usize>, u64) {
    let (mut out, mut missed) = (Vec::new(), 0);
    while out
        .last()
        .is_none_or(|last| numbers(std::slice::from_ref(last)) != [FLAT_OUT - 1])
    {
        missed += subscriber.recv(&mut out, 100).await.missed;
    }
    let numbers = numbers(&out);
    assert!(
        numbers.is_sorted_by(|a, b| a < b),
        "in order, without repeats"
    );
    (numbers, missed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receive_that_is_cancelled_loses_nothing() {
    const FRAMES: usize = 20_000;
    let plane = plane();
    let mut subscriber = subscribed(&plane, &["a"]).await;
    let mut publisher = plane.publisher();
    let sender = tokio::spawn(async move {
        for n in 0..FRAMES {
            publisher.push_reliable("a", number(n));
            if n % 7 == 0 {
                publisher.flush().await;
            }
        }
        publisher.flush().await;
    });
    let mut out = Vec::new();
    while out.len() < FRAMES {
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            _ = subscriber.recv(&mut out, 3) => {}
        }
        poll_once(subscriber.recv(&mut out, 3));
    }
    sender.await.unwrap();
    assert_eq!(numbers(&out), (0..FRAMES).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_thread_publishes_by_blocking() {
    let plane = plane();
    let mut subscriber = subscribed(&plane, &["a"]).await;
    let mut publisher = plane.publisher();
    let thread = std::thread::spawn(move || {
        for n in 0..100 {
            publisher.push("a", number(n));
            publisher.flush_blocking();
        }
    });
    let mut out = Vec::new();
    while out.len() < 100 {
        subscriber.recv(&mut out, 10).await;
    }
    thread.join().unwrap();
    assert_eq!(numbers(&out), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn nothing_hangs_on_a_plane_that_was_shut_down() {
    let plane = plane();
    let mut publisher = plane.publisher();
    let mut subscriber = subscribed(&plane, &["a"]).await;
    plane.shutdown().await;
    publish(&mut publisher, "a", "x").await;
    subscriber.subscribe("b", false).await;
    subscriber.unsubscribe("a").await;
}

#[tokio::test]
async fn limits_that_cannot_work_are_refused() {
    let refused = LivePlane::start(
        LiveConfig {
            segment: Size(10),
            ..LiveConfig::default()
        },
        20_000,
    )
    .err();
    assert_eq!(
        refused,
        Some(LiveError::TooSmall {
            key: "segment_bytes",
            value: 10,
            least: 1024
        })
    );
}
