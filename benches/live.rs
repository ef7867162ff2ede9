//! The live plane in one process: deliveries per second from one publisher to one and to a hundred
//! subscribers, and the time of one hop. `cargo bench --bench live`.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hallward::live::{
    LiveConfig, LivePlane, LivePublisher, LiveSubscriber, Plane, Publisher, Subscriber,
};
use tokio::runtime::Runtime;

const FRAME: [u8; 256] = [7; 256];
const TOPIC: &str = "rooms/bench/observe/events/a/speed";
const BATCH: usize = 64;

async fn subscribers(plane: &LivePlane, count: usize) -> Vec<LiveSubscriber> {
    let mut subscribers = Vec::new();
    for _ in 0..count {
        let mut subscriber = plane.subscriber();
        subscriber.subscribe(TOPIC, true).await;
        subscribers.push(subscriber);
    }
    subscribers
}

async fn publish(publisher: &mut LivePublisher, frames: usize) {
    for n in 1..=frames {
        publisher.push_reliable(TOPIC, Bytes::from_static(&FRAME));
        if n % BATCH == 0 {
            publisher.flush().await;
        }
    }
    publisher.flush().await;
}

/// Receives `frames` frames, none of which may be missing; gives the subscriber back for the next
/// round.
async fn receive(mut subscriber: LiveSubscriber, frames: usize) -> LiveSubscriber {
    let (mut out, mut received) = (Vec::new(), 0);
    while received < frames {
        let news = subscriber.recv(&mut out, 256).await;
        assert_eq!(news.missed, 0, "a reliable reader misses nothing");
        received += out.len();
        out.clear();
    }
    subscriber
}

async fn round(publisher: &mut LivePublisher, readers: &mut Vec<LiveSubscriber>, frames: usize) {
    let receiving: Vec<_> = readers
        .drain(..)
        .map(|reader| tokio::spawn(receive(reader, frames)))
        .collect();
    publish(publisher, frames).await;
    for reader in receiving {
        readers.push(reader.await.expect("a reader does not panic"));
    }
}

fn fan_out(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("live/deliveries");
    group.sample_size(20);
    for (readers, frames) in [(1, 50_000), (100, 2_000)] {
        let plane = runtime.block_on(async {
            LivePlane::start(LiveConfig::default(), 20_000).expect("limits that work")
        });
        let mut subscribers = runtime.block_on(subscribers(&plane, readers));
        let mut publisher = plane.publisher();
        group.throughput(Throughput::Elements((readers * frames) as u64));
        group.bench_function(format!("1 to {readers}, 256 B"), |bencher| {
            bencher.iter(|| runtime.block_on(round(&mut publisher, &mut subscribers, frames)));
        });
    }
    group.finish();
}

fn hop(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let plane = runtime.block_on(async {
        LivePlane::start(LiveConfig::default(), 20_000).expect("limits that work")
    });
    let mut subscriber = runtime.block_on(subscribers(&plane, 1)).remove(0);
    let mut publisher = plane.publisher();
    let mut out = Vec::new();
    criterion.bench_function("live/hop", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                publish(&mut publisher, 1).await;
                subscriber.recv(&mut out, 1).await;
                out.clear();
            });
        });
    });
}

criterion_group!(benches, fan_out, hop);
criterion_main!(benches);
