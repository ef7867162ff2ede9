//! `/metrics` as Prometheus and people read it, and the page that lists what is there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::{Agent, Client, Connect, Gateway, Publish, Setup};
use crate::tools::Tools;
use crate::transport::everywhere;

/// Every kind of metric that there is only with TLS or authentication is there, too.
fn with_everything() -> Gateway {
    // Nobody listens there.
    let bridge = r#"[{"name": "cloud", "addresses": ["127.0.0.1:9"], "rule": [{"filter": "x"}]}]"#;
    let setup = Setup::new()
        .with("auth.enabled", "true")
        .with("bridge", bridge);
    everywhere(setup.with("auth.anonymous", "guest"))
}

#[test]
fn the_parsers_of_prometheus_read_both_formats_and_find_the_same() {
    let busy = Gateway::start();
    let mut ann = Agent::join(&busy, "lab", "ann");
    ann.set("plan", json!(1));
    for gateway in [busy, with_everything()] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/metrics/check.py");
        let port = gateway.http.port().to_string();
        let output = Tools::get()
            .python()
            .arg("-B")
            .args([script.as_os_str(), port.as_ref()])
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{complained}");
        assert!(said.starts_with("ok "), "{said}");
    }
}

/// One row of the page for each family, in the order of their names.
fn table(metrics: &str) -> String {
    let mut families: Vec<(&str, &str, &str)> = Vec::new();
    let mut help = "";
    for line in metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').expect("a name and words").1;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            families.push((name, kind, help));
        }
    }
    families.sort_unstable();
    let mut text = "| Metric | Type | Label | What it says |\n|---|---|---|---|\n".to_owned();
    for (name, kind, help) in families {
        let of_it = metrics.lines().filter_map(|line| {
            let labels = line.strip_prefix(name)?.split_once('{')?;
            ["", "_sum"].contains(&labels.0).then_some(labels.1)
        });
        let labels: BTreeSet<&str> = of_it
            .filter_map(|labels| Some(labels.split_once('=')?.0))
            .collect();
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        writeln!(text, "| `{name}` | {kind} | {labels} | {help} |").expect("memory");
    }
    text
}

#[test]
fn the_page_lists_what_is_there() {
    const BEGIN: &str = "<!-- table of metrics -->\n";
    const END: &str = "<!-- end of table -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = fs::read_to_string(&path).expect("docs/operations.md");
    let from = text.find(BEGIN).expect("a table") + BEGIN.len();
    let len = text[from..].find(END).expect("an end of the table");
    let (status, metrics) = with_everything().get("/metrics");
    assert_eq!(status, 200);
    let mut written = text.clone();
    written.replace_range(from..from + len, &format!("\n{}\n", table(&metrics)));
    if std::env::var_os("HALLWARD_BLESS").is_some() {
        fs::write(&path, written).expect("writable");
        return;
    }
    assert_eq!(
        text, written,
        "if the change is meant: HALLWARD_BLESS=1 cargo test --test it metrics::"
    );
}

#[test]
fn a_commit_and_what_it_takes_on_the_disk_are_seen() {
    let gateway = Gateway::start();
    let commits = || gateway.metric("hallward_ledger_commit_seconds_count");
    let before = commits();
    let mut keeper = Client::connect(gateway.mqtt, Connect::v311("keeper"));
    keeper.publish(Publish::new("kept", "x", 1).retained());
    assert!(commits() > before);
    assert_eq!(commits(), gateway.metric("hallward_ledger_commits_total"));
    // Two files of 4 MiB are set aside from the start.
    assert!(gateway.metric("hallward_data_bytes{part=\"log\"}") >= 8 << 20);
    assert!(gateway.metric("hallward_data_bytes{part=\"database\"}") > 0);
    let resident = gateway.metric("process_resident_memory_bytes");
    let twice = 2 * gateway.resident();
    assert!(resident > 1 << 20 && resident < twice, "{resident} {twice}");
}

#[test]
fn how_long_acknowledgements_and_work_take_is_counted() {
    let gateway = Gateway::start();
    let mut boss = Agent::join(&gateway, "lab", "boss");
    boss.listen("handoff/result/boss");
    let mut worker = Agent::worker(&gateway, "lab", "worker", "draft");
    let count = |name: &str, label: &str| gateway.metric(&format!("hallward_{name}_count{label}"));
    let acks = |qos: u8| count("mqtt_ack_seconds", &format!("{{qos=\"{qos}\"}}"));
    let before = [acks(1), acks(2)];
    boss.dispatch(json!({"type": "draft"}));
    let assignment = worker.assignment("draft");
    worker.succeed(&assignment, json!(1));
    boss.result();
    assert_eq!(acks(1), before[0] + 2, "the dispatch and the update");
    // To whoever listens now, and to be kept: one without the desk, one with it.
    for publish in [
        Publish::new("live", "x", 2),
        Publish::new("kept", "x", 2).retained(),
    ] {
        assert_eq!(boss.publish(publish), 0);
    }
    assert_eq!(acks(2), before[1] + 2);
    // Presence and the result leave with the commit, and the figures are those of the last one.
    boss.set("done", json!(true));
    assert_eq!(count("handoff_wait_seconds", ""), 1);
    let ended = |how: &str| count("handoff_result_seconds", &format!("{{outcome=\"{how}\"}}"));
    assert_eq!((ended("succeeded"), ended("dead")), (1, 0));
}
