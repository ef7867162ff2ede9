//! Requests that are the wire's messages almost as they are.

use std::time::Duration;

use hallward::agent::{Followed, KeyUpdate, PendingUpdate, PresenceUpdate, Room, Since};
use hallward::wire::approve::{ApprovalRequest, AuditQuery, Decide};
use hallward::wire::name::ApprovalId;
use serde_json::{Value, json};

use super::requests::{message, millis, text, write_options};
use super::{Driver, Trouble, event};

type Answer = Result<Value, Trouble>;

pub(super) async fn blackboard(driver: &Driver, room: &Room, request: &Value, op: &str) -> Answer {
    let board = room.blackboard();
    let prefix = request["prefix"].as_str();
    Ok(match op {
        "set" => {
            let options = write_options(request)?;
            let key = text(request, "key")?;
            let written = board.set_with(key, &request["value"], options).await?;
            json!({"version": written.version, "revision": written.revision})
        }
        "delete" => {
            let options = write_options(request)?;
            let written = board.delete(text(request, "key")?, options).await?;
            json!({"version": written.version, "revision": written.revision})
        }
        "fetch" => json!({"entry": board.fetch(text(request, "key")?).await?}),
        "snapshot" => json!(
            board
                .snapshot_at(prefix, request["revision"].as_u64())
                .await?
        ),
        "txn" => {
            let ops = serde_json::from_value(request["ops"].clone())?;
            let fence = write_options(request)?.fence;
            let done = board.txn(ops, fence).await?;
            json!({"revision": done.revision, "versions": done.versions})
        }
        "history" => {
            let limit = request["limit"].as_u64();
            json!({"versions": board.history(text(request, "key")?, limit).await?.versions})
        }
        "lock" => {
            let ttl = millis(request, "ttlMs").unwrap_or(Duration::from_secs(30));
            let name = text(request, "name")?;
            let held = board.lock(name, ttl, millis(request, "waitMs")).await?;
            let state = json!(held.state());
            driver.locks.borrow_mut().insert(name.to_owned(), held);
            state
        }
        "unlock" => {
            let name = text(request, "name")?;
            let held = driver.locks.borrow_mut().remove(name);
            match held {
                Some(held) => held.release().await?,
                None => board.unlock(name, request["token"].as_u64()).await?,
            }
            Value::Null
        }
        "watch" => {
            watch(&board, prefix).await?;
            Value::Null
        }
        _ => return Err(Trouble::Unsupported(format!("blackboard.{op}"))),
    })
}

async fn watch(
    board: &hallward::agent::RoomBlackboard,
    prefix: Option<&str>,
) -> Result<(), Trouble> {
    let mut feed = board.watch(prefix).await?;
    let (told, whole) = tokio::sync::oneshot::channel();
    let mut told = Some(told);
    tokio::task::spawn_local(async move {
        while let Some(Ok(update)) = feed.next().await {
            match update {
                KeyUpdate::Set(entry) => event("key", json!(entry)),
                KeyUpdate::Deleted(key) => event("key", json!({"key": key, "deleted": true})),
                _ => drop(told.take().map(|told| told.send(()))),
            }
        }
    });
    let _ = whole.await;
    Ok(())
}

pub(super) async fn approve(room: &Room, request: &Value, op: &str) -> Answer {
    let approve = room.within(Duration::from_secs(30)).approve();
    Ok(match op {
        "request" => {
            let message: ApprovalRequest = serde_json::from_value(message(request, &[]))?;
            json!(approve.request(message).await?)
        }
        "pending" => {
            let mut feed = approve.pending().await?;
            tokio::task::spawn_local(async move {
                while let Some(Ok(update)) = feed.next().await {
                    match update {
                        PendingUpdate::Pending(pending) => event("pending", json!(pending)),
                        PendingUpdate::Decided(id) => event("decided", json!({"id": id})),
                        _ => {}
                    }
                }
            });
            Value::Null
        }
        "decide" => {
            let decide: Decide = serde_json::from_value(message(request, &["approval"]))?;
            approve.decide(text(request, "approval")?, decide).await?;
            Value::Null
        }
        "cancel" => {
            let reason = request["reason"].as_str().unwrap_or_default();
            approve.cancel(text(request, "approval")?, reason).await?;
            Value::Null
        }
        "audit" => {
            let approval = request["approval"]
                .as_str()
                .map(ApprovalId::new)
                .transpose();
            let query = AuditQuery {
                approval: approval.map_err(hallward::agent::Error::from)?,
                ..AuditQuery::default()
            };
            json!(approve.audit(query).await?)
        }
        _ => return Err(Trouble::Unsupported(format!("approve.{op}"))),
    })
}

pub(super) async fn observe(room: &Room, request: &Value, op: &str) -> Answer {
    let observe = room.observe();
    let category = request["category"].as_str().unwrap_or("*").to_owned();
    match op {
        "emit" => {
            let severity = request["severity"].as_str().unwrap_or("info");
            let payload = &request["payload"];
            observe.emit(&category, severity, payload).await?;
        }
        "on" => {
            let mut feed = observe.on(&category).await?;
            tokio::task::spawn_local(async move {
                while let Some(Ok(heard)) = feed.next().await {
                    let fields = json!({
                        "source": heard.source,
                        "category": heard.category,
                        "payload": heard.body,
                    });
                    event("observed", fields);
                }
            });
        }
        "events" => {
            let since = match (request["fromSeq"].as_u64(), request["since"].as_u64()) {
                (Some(seq), _) => Since::Seq(seq),
                (_, Some(at)) => Since::At(at),
                _ => Since::Now,
            };
            let mut feed = observe.follow(since).await?;
            tokio::task::spawn_local(async move {
                while let Some(Ok(followed)) = feed.next().await {
                    match followed {
                        Followed::Event(one)
                            if category == "*"
                                || one.what.split('.').next() == Some(category.as_str()) =>
                        {
                            event("seen", json!(one));
                        }
                        Followed::Gap { from_seq, to_seq } => {
                            event("gap", json!({"fromSeq": from_seq, "toSeq": to_seq}));
                        }
                        _ => {}
                    }
                }
            });
        }
        _ => return Err(Trouble::Unsupported(format!("observe.{op}"))),
    }
    Ok(Value::Null)
}

pub(super) async fn presence(room: &Room, request: &Value, op: &str) -> Answer {
    let presence = room.presence();
    match op {
        "announce" => {
            let announcement = serde_json::from_value(request["announcement"].clone())?;
            presence.announce(announcement).await?;
        }
        "agents" => {
            let query = serde_json::from_value(message(request, &["timeoutMs"]))?;
            return Ok(json!({"agents": presence.list(query).await?.agents}));
        }
        _ => {
            let mut feed = presence.watch().await?;
            tokio::task::spawn_local(async move {
                while let Some(Ok(update)) = feed.next().await {
                    match update {
                        PresenceUpdate::Here(presence) => event("presence", json!(presence)),
                        PresenceUpdate::Left(agent) => {
                            event("presence", json!({"agent": agent, "gone": true}));
                        }
                        _ => {}
                    }
                }
            });
        }
    }
    Ok(Value::Null)
}
