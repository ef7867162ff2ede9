//! The handoff round trip over Redis Streams: tasks on one stream read by a consumer group, results
//! on another. Every connection pipelines what Redis lets it, so that the comparison is with Redis
//! at its best. Called by `handoff`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result};

use super::handoff::{self, Book, Crew, TaskResult};
use crate::brokers::Running;
use crate::client;
use crate::resp::{Redis, Value};

const TASKS: &[u8] = b"tasks";
const RESULTS: &[u8] = b"results";
const GROUP: &[u8] = b"workers";
/// Longest wait of a reader inside Redis, in milliseconds, so that it can look at its clock.
const BLOCK_MS: &[u8] = b"200";

pub(super) fn hand_off(server: &Running, crew: Crew, book: &mut Book) -> Result<()> {
    Redis::connect(server.addr)?.call(&[b"XGROUP", b"CREATE", TASKS, GROUP, b"$", b"MKSTREAM"])?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::with_capacity(crew.workers);
    for index in 0..crew.workers {
        workers.push(start_worker(server.addr, index, crew.capacity, &stop)?);
    }
    let submitted = submit(server.addr, crew.in_flight, book);
    stop.store(true, Ordering::Release);
    for worker in workers {
        client::join(worker)?;
    }
    submitted
}

/// Two connections: XADD on one, blocking XREAD on the other. Replies to XADD are read once they
/// must have come.
fn submit(addr: SocketAddr, in_flight: usize, book: &mut Book) -> Result<()> {
    let mut writer = Redis::connect(addr)?;
    let mut reader = Redis::connect(addr)?;
    let mut unread = 0;
    let mut last = b"0".to_vec();
    let mut heard = Instant::now();
    while book.wants_more() || !book.settled(heard.elapsed()) {
        while book.wants_more() && book.in_flight.len() < in_flight {
            let number = book.start();
            writer.queue(&[
                b"XADD",
                TASKS,
                b"*",
                b"p",
                handoff::payload(number).as_bytes(),
            ]);
            unread += 1;
        }
        writer.flush()?;
        let results = reader.call(&[
            b"XREAD", b"COUNT", b"64", b"BLOCK", BLOCK_MS, b"STREAMS", RESULTS, &last,
        ])?;
        for entry in entries(&results) {
            let (id, payload) = entry?;
            book.finish(&TaskResult::of_payload(payload)?)?;
            last = id.to_vec();
            heard = Instant::now();
        }
        while unread > book.in_flight.len() {
            writer.reply()?;
            unread -= 1;
        }
    }
    Ok(())
}

fn start_worker(
    addr: SocketAddr,
    index: usize,
    capacity: usize,
    stop: &Arc<AtomicBool>,
) -> Result<JoinHandle<Result<()>>> {
    let mut redis = Redis::connect(addr)?;
    let stop = Arc::clone(stop);
    let name = format!("worker-{index}");
    let count = capacity.to_string();
    Ok(thread::spawn(move || {
        let read: [&[u8]; 11] = [
            b"XREADGROUP",
            b"GROUP",
            GROUP,
            name.as_bytes(),
            b"COUNT",
            count.as_bytes(),
            b"BLOCK",
            BLOCK_MS,
            b"STREAMS",
            TASKS,
            b">",
        ];
        redis.queue(&read);
        redis.flush()?;
        while !stop.load(Ordering::Acquire) {
            let tasks = redis.reply()?;
            let mut taken = 0;
            for entry in entries(&tasks) {
                let (id, payload) = entry?;
                redis.queue(&[b"XADD", RESULTS, b"*", b"p", payload]);
                redis.queue(&[b"XACK", TASKS, GROUP, id]);
                taken += 2;
            }
            redis.queue(&read);
            redis.flush()?;
            for _ in 0..taken {
                redis.reply()?;
            }
        }
        Ok(())
    }))
}

/// Id and first field value of each entry in the reply to a read of one stream.
fn entries(reply: &Value) -> impl Iterator<Item = Result<(&[u8], &[u8])>> {
    let stream = reply
        .items()
        .first()
        .and_then(|stream| stream.items().get(1));
    stream
        .map(Value::items)
        .unwrap_or_default()
        .iter()
        .map(|entry| {
            let [id, fields] = entry.items() else {
                anyhow::bail!("expected an id and fields, came {entry:?}");
            };
            let value = fields
                .items()
                .get(1)
                .context("expected a field with a value")?;
            Ok((id.text()?, value.text()?))
        })
}
