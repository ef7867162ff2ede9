//! The screen: an observer that shows who takes what, and how work is shown.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::task::JoinHandle;

use super::super::{Failure, say};
use super::enter;
use crate::agent::{Agent, Feed, Followed, Since};
use crate::wire::json::Json;
use crate::wire::observe::Event;

const ID: &str = "screen";

/// How many characters a line of text has at most.
const WIDTH: usize = 76;

pub(super) struct Screen {
    agent: Agent,
    shown: JoinHandle<usize>,
}

impl Screen {
    /// Follows everything that the gateway tells of the room.
    pub(super) async fn start(gateway: SocketAddr) -> Result<Screen, Failure> {
        let (agent, room) = enter(gateway, ID).await?;
        let events = room.observe().follow(Since::Now).await?;
        let shown = tokio::spawn(show(events));
        Ok(Screen { agent, shown })
    }

    /// Stops, and returns how many events were seen.
    pub(super) async fn finish(self) -> usize {
        self.agent.close().await;
        self.shown.await.unwrap_or_default()
    }
}

async fn show(mut events: Feed<Followed>) -> usize {
    let mut seen = 0;
    while let Some(Ok(followed)) = events.next().await {
        if let Followed::Event(event) = followed {
            show_one(&event);
            seen += 1;
        }
    }
    seen
}

/// Where work goes; all else is counted.
fn show_one(event: &Event) {
    let detail: Option<Value> = event
        .detail
        .as_ref()
        .and_then(|detail| serde_json::from_str(detail.text()).ok());
    let worker = detail.as_ref().and_then(|detail| detail["worker"].as_str());
    if let ("handoff.assigned", Some(worker)) = (event.what.as_str(), worker) {
        say(format_args!("  {} goes to {worker}\n", event.subject));
    }
}

/// A piece of work as people read it: its title, its notes or text, and what else is said of it.
pub(super) fn work(work: &Json) -> String {
    let mut out = String::new();
    match serde_json::from_str(work.text()) {
        Ok(Value::Object(mut fields)) => {
            for name in ["title", "notes", "text"] {
                match fields.remove(name) {
                    Some(Value::String(text)) => block(&mut out, "", &text),
                    Some(Value::Array(notes)) => notes
                        .iter()
                        .filter_map(Value::as_str)
                        .for_each(|note| block(&mut out, "- ", note)),
                    _ => {}
                }
            }
            for (name, value) in fields {
                let value = value.as_str().map_or(value.to_string(), str::to_owned);
                block(&mut out, "", &format!("{name}: {value}"));
            }
        }
        _ => block(&mut out, "", work.text()),
    }
    out
}

/// Paragraphs, broken into lines; the first begins with a mark.
fn block(out: &mut String, mark: &str, text: &str) {
    let mut lead = mark;
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let length = line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && length > WIDTH {
                push(out, &mut lead, mark, &line);
                line.clear();
            }
            let space = if line.is_empty() { "" } else { " " };
            // Writing to a String cannot fail.
            let _ = write!(line, "{space}{word}");
        }
        push(out, &mut lead, mark, &line);
    }
}

fn push<'a>(out: &mut String, lead: &mut &'a str, mark: &'a str, line: &str) {
    let indent = if lead.is_empty() { mark.len() } else { 0 };
    let line = format!("      {lead}{:indent$}{line}", "");
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", line.trim_end());
    *lead = "";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_shown_with_its_title_text_notes_and_figures() {
        let shown = work(&Json::of(&serde_json::json!({
            "title": "Tides",
            "notes": ["water rises", "w ".repeat(50)],
            "text": "One.\n\nTwo.",
            "words": 2,
        })));
        let expected = format!(
            "      Tides\n      - water rises\n      - {}\n        {}\n      One.\n\n      Two.\n      words: 2\n",
            "w ".repeat(38).trim_end(),
            "w ".repeat(12).trim_end()
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn work_that_is_no_object_is_shown_as_it_is() {
        assert_eq!(work(&Json::of("done")), "      \"done\"\n");
    }
}
