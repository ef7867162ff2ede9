//! What every message costs on the wire's side: its topic, its frame, its JSON. No I/O.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use hallward::wire::filter;
use hallward::wire::handoff::Task;
use hallward::wire::json;
use hallward::wire::message::{Message, Parts, Qos};
use hallward::wire::topic::admit;

const TOPIC: &str = "rooms/newsroom/handoff/dispatch/editor-1";
const TASK: &str = r#"{"id":"task-1","type":"draft","payload":{"title":"Tides","words":1200},"priority":"high","ttlMs":60000}"#;

fn topics(criterion: &mut Criterion) {
    criterion.bench_function("wire/admit a command's topic", |bencher| {
        bencher.iter(|| admit("rooms", "editor-1", black_box(TOPIC)));
    });
    criterion.bench_function("wire/match a wildcard filter", |bencher| {
        bencher.iter(|| filter::matches(black_box("rooms/+/handoff/#"), black_box(TOPIC)));
    });
}

fn messages(criterion: &mut Criterion) {
    let parts = Parts {
        topic: TOPIC,
        publisher: "editor-1",
        qos: Qos::AtLeastOnce,
        payload: TASK.as_bytes(),
        ..Parts::default()
    };
    criterion.bench_function("wire/encode a message", |bencher| {
        bencher.iter(|| Message::encode(black_box(&parts)));
    });
    let bytes: Bytes = Message::encode(&parts).as_bytes().clone();
    criterion.bench_function("wire/decode a message", |bencher| {
        bencher.iter(|| Message::decode(black_box(bytes.clone())).expect("sound"));
    });
}

fn bodies(criterion: &mut Criterion) {
    criterion.bench_function("wire/read a task", |bencher| {
        bencher.iter(|| json::decode::<Task>(black_box(TASK.as_bytes())).expect("a task"));
    });
    let task: Task = json::decode(TASK.as_bytes()).expect("a task");
    criterion.bench_function("wire/write a task", |bencher| {
        bencher.iter(|| json::encode(black_box(&task)));
    });
}

criterion_group!(benches, topics, messages, bodies);
criterion_main!(benches);
