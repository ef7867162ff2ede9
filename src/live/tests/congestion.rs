//! Readers that do not keep up: what they miss, and whom they hold back.

use super::*;

fn smallest_logs() -> LiveConfig {
    LiveConfig {
        segment: Size(LEAST_LOG_BYTES),
        segments: 2,
        ..LiveConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flat_out_every_frame_arrives_or_is_counted_as_missed() {
    let plane = LivePlane::start(smallest_logs(), 20_000).unwrap();
    let subscriber = subscribed(&plane, &["flat/out"]).await;
    let reader = tokio::spawn(receive_to_the_end(subscriber));
    publish_flat_out(plane.publisher(), false).await;
    let (numbers, missed) = reader.await.unwrap();
    assert_eq!(numbers.len() as u64 + missed, FLAT_OUT as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_sleeps_misses_frames_and_is_told_how_many() {
    let plane = LivePlane::start(smallest_logs(), 20_000).unwrap();
    let subscriber = subscribed(&plane, &["flat/out"]).await;
    publish_flat_out(plane.publisher(), false).await;
    let (numbers, missed) = receive_to_the_end(subscriber).await;
    assert!(missed > 0);
    assert_eq!(numbers.len() as u64 + missed, FLAT_OUT as u64);
    assert_eq!(plane.stats().missed.value(), missed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flat_out_no_reliable_frame_is_missed_by_a_reliable_reader() {
    let plane = LivePlane::start(smallest_logs(), 20_000).unwrap();
    let mut subscriber = plane.subscriber();
    subscriber.subscribe("flat/out", true).await;
    let reader = tokio::spawn(receive_to_the_end(subscriber));
    publish_flat_out(plane.publisher(), true).await;
    let (numbers, missed) = reader.await.unwrap();
    assert_eq!((numbers.len(), missed), (FLAT_OUT, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reliable_reader_that_sleeps_holds_publishers_back_and_then_misses_nothing() {
    let plane = LivePlane::start(smallest_logs(), 20_000).unwrap();
    let mut subscriber = plane.subscriber();
    subscriber.subscribe("flat/#", true).await;
    let publishers: Vec<_> = (0..2)
        .map(|_| tokio::spawn(publish_flat_out(plane.publisher(), true)))
        .collect();
    while !subscriber.is_behind() {
        tokio::task::yield_now().await;
    }
    assert!(publishers.iter().all(|publisher| !publisher.is_finished()));
    let (mut out, mut missed) = (Vec::new(), 0);
    while out.len() < 2 * FLAT_OUT {
        missed += subscriber.recv(&mut out, 100).await.missed;
    }
    assert_eq!((missed, plane.stats().too_slow.value()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reliable_reader_that_never_wakes_is_given_up() {
    let config = LiveConfig {
        patience: ms(0),
        ..smallest_logs()
    };
    let plane = LivePlane::start(config, 20_000).unwrap();
    let mut subscriber = plane.subscriber();
    subscriber.subscribe("flat/out", true).await;
    publish_flat_out(plane.publisher(), true).await;
    assert!(subscriber.recv(&mut Vec::new(), 1).await.too_slow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_congested_subscriber_holds_back_reliable_frames_of_its_topics_only() {
    let plane = plane();
    let mut congested = subscribed(&plane, &["a/#"]).await;
    let mut other = subscribed(&plane, &["b", "a/x"]).await;
    congested.set_congested(true);
    let mut publisher = plane.publisher();
    publisher.push_reliable("b", Bytes::from_static(b"elsewhere"));
    publisher.flush().await;
    publish(&mut publisher, "a/x", "best effort").await;
    assert_eq!(receive(&mut other).await, "elsewhere");
    assert_eq!(receive(&mut other).await, "best effort");
    publisher.push_reliable("a/x", Bytes::from_static(b"reliable"));
    assert!(poll_once(publisher.flush()).is_none());
    assert_eq!(publisher.len(), 1, "a cancelled flush keeps its frames");
    let flush = tokio::spawn(async move { publisher.flush().await });
    congested.set_congested(false);
    flush.await.unwrap();
    assert_eq!(receive(&mut other).await, "reliable");
}

#[tokio::test]
async fn a_subscriber_congested_beyond_patience_is_told_and_left_behind() {
    let plane = LivePlane::start(
        LiveConfig {
            patience: ms(0),
            ..LiveConfig::default()
        },
        20_000,
    )
    .unwrap();
    let mut slow = subscribed(&plane, &["a"]).await;
    slow.set_congested(true);
    let mut publisher = plane.publisher();
    publisher.push_reliable("a", Bytes::from_static(b"x"));
    publisher.flush().await;
    assert!(slow.recv(&mut Vec::new(), 1).await.too_slow);
    assert_eq!(plane.stats().too_slow.value(), 1);
}

#[tokio::test]
async fn a_dropped_subscriber_holds_nobody_back() {
    let plane = plane();
    let mut slow = subscribed(&plane, &["a"]).await;
    slow.set_congested(true);
    drop(slow);
    let mut publisher = plane.publisher();
    publisher.push_reliable("a", Bytes::from_static(b"x"));
    publisher.flush().await;
    assert_eq!(plane.stats().filters.value(), 0);
}
