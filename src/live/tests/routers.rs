//! Routers that die or are replaced.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_dies_in_a_quiet_moment_loses_nothing() {
    let plane = plane();
    let mut subscribers = Vec::new();
    for n in 0..50 {
        subscribers.push(subscribed(&plane, &["all", &format!("own/{n}")]).await);
    }
    let mut publisher = plane.publisher();
    for round in 1..=5 {
        plane.crash_router();
        publish(&mut publisher, "all", &round.to_string()).await;
        for (n, subscriber) in subscribers.iter_mut().enumerate() {
            publish(&mut publisher, &format!("own/{n}"), "own").await;
            assert_eq!(receive(subscriber).await, round.to_string());
            assert_eq!(receive(subscriber).await, "own");
        }
    }
    let stats = plane.stats();
    assert_eq!(
        (
            stats.routers_died.value(),
            stats.routers_started.value(),
            stats.missed.value(),
            stats.lost.value()
        ),
        (5, 6, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_goes_on_across_a_crash_under_load() {
    let plane = plane();
    let mut subscriber = subscribed(&plane, &["load/#"]).await;
    let done = tokio::sync::watch::Sender::new(false);
    let publishers: Vec<_> = (0..4)
        .map(|p| {
            let (mut publisher, finish) = (plane.publisher(), done.subscribe());
            tokio::spawn(async move {
                let mut n = 0;
                while !*finish.borrow() {
                    for _ in 0..20 {
                        publisher.push_reliable(&format!("load/{p}"), number(n));
                        n += 1;
                    }
                    publisher.flush().await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut out = Vec::new();
    for crashes in 1..=5 {
        subscriber.recv(&mut out, 100).await;
        plane.crash_router();
        while plane.stats().routers_died.value() < crashes
            || plane.shared.current.borrow().phase != Phase::Open
        {
            subscriber.recv(&mut out, 100).await;
        }
    }
    let reader = tokio::spawn(async move {
        let mut out = Vec::new();
        // The other publishers' frames ride on other publisher links and may come later.
        while !out.iter().any(|frame: &Bytes| &frame[..] == b"the end") {
            out.clear();
            subscriber.recv(&mut out, 100).await;
        }
    });
    done.send_replace(true);
    for publisher in publishers {
        publisher.await.unwrap();
    }
    publish(&mut plane.publisher(), "load/end", "the end").await;
    reader.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_after_both_sides_are_linked_again_all_arrive() {
    let plane = plane();
    let mut subscriber = subscribed(&plane, &["a"]).await;
    let mut publisher = plane.publisher();
    for round in 1..=10 {
        for n in 0..1000 {
            publisher.push("a", number(n));
        }
        publisher.flush().await;
        plane.crash_router();
        replaced(&plane, round).await;
        let mut out = Vec::new();
        publisher.push("a", number(usize::MAX));
        for n in 0..1000 {
            publisher.push("a", number(n));
        }
        publisher.flush().await;
        let mut marks = 0;
        while marks < 1001 {
            out.clear();
            subscriber.recv(&mut out, 100).await;
            for n in numbers(&out) {
                marks = if n == usize::MAX {
                    1
                } else if marks > 0 {
                    marks + 1
                } else {
                    0
                };
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_is_replaced_in_good_order_without_losing_a_frame() {
    let config = LiveConfig {
        topics_per_router: 500,
        ..LiveConfig::default()
    };
    let plane = LivePlane::start(config, 20_000).unwrap();
    let mut subscriber = subscribed(&plane, &["many/#"]).await;
    let mut publisher = plane.publisher();
    let reader = tokio::spawn(async move {
        let mut out = Vec::new();
        while out.len() < 20_000 {
            assert_eq!(subscriber.recv(&mut out, 100).await, Received::default());
        }
        numbers(&out)
    });
    for n in 0..20_000 {
        publisher.push_reliable(&format!("many/{n}"), number(n));
        if n % 20 == 0 {
            publisher.flush().await;
        }
    }
    publisher.flush().await;
    assert_eq!(reader.await.unwrap(), (0..20_000).collect::<Vec<_>>());
    let stats = plane.stats();
    assert!(stats.routers_started.value() > 1, "{stats:?}");
    assert_eq!((stats.routers_died.value(), stats.lost.value()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_subscribers_free_their_links_in_the_router() {
    // The router refuses links beyond its limit, so this only ends if every slot is given back.
    let plane = LivePlane::start(LiveConfig::default(), 1).unwrap();
    let mut publisher = plane.publisher();
    publish(&mut publisher, "a", "opens its lane").await;
    let before = plane.stats().links_open.value();
    for n in 0..300 {
        let mut subscriber = subscribed(&plane, &["a", "b"]).await;
        publish(&mut publisher, "a", &n.to_string()).await;
        assert_eq!(receive(&mut subscriber).await, n.to_string());
    }
    let stats = plane.stats();
    assert!(
        stats.links_open.value() <= before + 1,
        "the lane's, the supervisor's: {stats:?}"
    );
    assert_eq!(
        (stats.filters.value(), stats.routers_started.value()),
        (0, 1)
    );
}

/// Also those that wait already, and though a reader that does not read holds up its old router.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_subscribers_can_be_let_in_while_it_runs() {
    let plane = LivePlane::start(LiveConfig::default(), 1).unwrap();
    let mut first = subscribed(&plane, &["a"]).await;
    let waiting = {
        let plane = plane.clone();
        tokio::spawn(async move { subscribed(&plane, &["a"]).await })
    };
    plane.set_max_links(200);
    let mut others = vec![waiting.await.unwrap()];
    for _ in 0..198 {
        others.push(subscribed(&plane, &["a"]).await);
    }
    publish(&mut plane.publisher(), "a", "x").await;
    for subscriber in others.iter_mut().chain([&mut first]) {
        assert_eq!(receive(subscriber).await, "x");
    }
    plane.set_max_links(1);
    let stats = plane.stats();
    assert_eq!(
        (stats.routers_started.value(), stats.routers_died.value()),
        (2, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_unsubscribe_gives_the_link_back() {
    let plane = plane();
    let before = plane.stats().links_open.value();
    let mut subscriber = subscribed(&plane, &["a"]).await;
    assert_eq!(plane.stats().links_open.value(), before + 1);
    subscriber.unsubscribe("a").await;
    assert_eq!(plane.stats().links_open.value(), before);
    assert!(poll_once(subscriber.recv(&mut Vec::new(), 1)).is_none());
    subscriber.subscribe("a", false).await;
    publish(&mut plane.publisher(), "a", "x").await;
    assert_eq!(receive(&mut subscriber).await, "x");
}
