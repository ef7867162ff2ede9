//! What the log says, and that nothing else depends on whether it can be written.

use crate::harness::{Client, Connect, Gateway, Setup};

/// Starts a gateway whose standard error is what these words of a shell make of it.
fn with_standard_error(words: &str) -> Gateway {
    let script = format!("{words}; exec \"$@\"");
    Setup::new()
        .with("log.level", "debug")
        .with("log.max_waiting", "4KiB")
        .through(&["sh", "-c", &script, "sh"])
        .start()
}

/// Comes and goes until the log has lost a line for this reason, and then some.
fn log_until_lost(gateway: &Gateway, reason: &str) {
    let metric = format!("hallward_log_lines_lost_total{{reason=\"{reason}\"}}");
    let visit = || {
        let mut client = Client::connect(gateway.mqtt, Connect::v5("visitor"));
        client.ping();
        client.disconnect();
    };
    // A pipe takes 64 KiB before it is full.
    let mut visits = 0;
    while gateway.metric(&metric) == 0 {
        (0..50).for_each(|_| visit());
        visits += 50;
        assert!(visits < 5000, "nothing lost: {metric}");
    }
    (0..50).for_each(|_| visit());
}

#[test]
fn a_log_that_cannot_be_written_costs_log_lines_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    let pipe = pipe.to_str().expect("UTF-8");
    for (words, reason) in [
        ("exec 2>/dev/full".to_owned(), "failed"),
        // Its only reader is gone before the gateway begins.
        (
            format!("mkfifo {pipe}; exec 3<>{pipe}; exec 2>{pipe}; exec 3<&-"),
            "failed",
        ),
        // The descriptor is a reader, too, and never reads.
        (format!("rm {pipe}; mkfifo {pipe}; exec 2<>{pipe}"), "full"),
    ] {
        let mut gateway = with_standard_error(&words);
        log_until_lost(&gateway, reason);
        assert!(gateway.stop().success(), "{words}");
    }
}
