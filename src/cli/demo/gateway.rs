//! The gateway of the demo: this same program as a process of its own, so that it can be killed and
//! restarted.

use std::net::SocketAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::super::Failure;
use super::PATIENCE;

/// Where it listens if nobody says, and if that is free.
const USUAL: &str = "127.0.0.1:1883";
/// Where it listens then if it is not.
const ANY: &str = "127.0.0.1:0";

/// Where a gateway listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct DemoAddresses {
    pub(super) mqtt: SocketAddr,
    pub(super) http: SocketAddr,
}

/// A gateway process with a data directory that goes with it.
pub(super) struct GatewayProcess {
    data: TempDir,
    child: Option<Child>,
}

impl GatewayProcess {
    /// Makes the directory; nothing runs yet.
    pub(super) fn prepare() -> Result<GatewayProcess, Failure> {
        let data = tempfile::Builder::new()
            .prefix("hallward-demo-")
            .tempdir()
            .map_err(|error| {
                Failure::runtime(format!("cannot make a temporary directory: {error}"))
            })?;
        Ok(GatewayProcess { data, child: None })
    }

    /// Starts it on these addresses; where none is given, MQTT is at the usual place if that is
    /// free, and HTTP anywhere.
    pub(super) async fn start(
        &mut self,
        mqtt: Option<&str>,
        http: Option<&str>,
    ) -> Result<DemoAddresses, Failure> {
        let http = http.unwrap_or(ANY);
        match self.launch(mqtt.unwrap_or(USUAL), http).await {
            Err(failure) if failure.code == Failure::TRY_AGAIN && mqtt.is_none() => {
                self.launch(ANY, http).await
            }
            outcome => outcome,
        }
    }

    /// Kills it as a power cut would, and starts it again on the same data.
    pub(super) async fn crash(&mut self, places: DemoAddresses) -> Result<(), Failure> {
        self.kill().await?;
        let (mqtt, http) = (places.mqtt.to_string(), places.http.to_string());
        self.launch(&mqtt, &http).await.map(drop)
    }

    /// Ends it and removes its data.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        self.kill().await?;
        let path = self.data.path().display().to_string();
        self.data
            .close()
            .map_err(|error| Failure::runtime(format!("cannot remove {path}: {error}")))
    }

    /// Starts the process and waits until it says that it listens.
    async fn launch(&mut self, mqtt: &str, http: &str) -> Result<DemoAddresses, Failure> {
        self.kill().await?;
        let child = spawn(mqtt, http, self.data.path())
            .map_err(|error| Failure::runtime(format!("cannot start the gateway: {error}")))?;
        // Kept before anything is waited for: whatever happens, it is ended before its data goes.
        let child = self.child.insert(child);
        let up = tokio::time::timeout(PATIENCE, listening(child)).await;
        match up {
            Ok(Some(places)) => Ok(places),
            Ok(None) => Err(last_words(child).await),
            Err(_) => Err(Failure::runtime(format!(
                "the gateway did not start within {PATIENCE:?}"
            ))),
        }
    }

    async fn kill(&mut self) -> Result<(), Failure> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child
            .kill()
            .await
            .map_err(|error| Failure::runtime(format!("cannot kill the gateway: {error}")))
    }
}

fn spawn(mqtt: &str, http: &str, data: &std::path::Path) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    // What the caller has set is for another gateway.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HALLWARD_") {
            command.env_remove(name);
        }
    }
    command
        .args(["serve", "--mqtt", mqtt, "--http", http, "--data"])
        .arg(data)
        // A worker that is gone should be missed within the demo's time.
        .env("HALLWARD__ROOMS__RECONNECT_GRACE", "2s")
        .env("HALLWARD__LOG__LEVEL", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// Reads where it listens, and then the rest of its output, so that it never waits for us. Nothing
/// if it ends before.
async fn listening(child: &mut Child) -> Option<DemoAddresses> {
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    let places = places(&mut lines).await?;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    }
    Some(places)
}

async fn places(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<DemoAddresses> {
    let (mut mqtt, mut http) = (None, None);
    loop {
        if let (Some(mqtt), Some(http)) = (mqtt, http) {
            return Some(DemoAddresses { mqtt, http });
        }
        let line = lines.next_line().await.ok()??;
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("mqtt"), Some(address)) => mqtt = address.parse().ok(),
            (Some("http"), Some(url)) => http = url.trim_start_matches("http://").parse().ok(),
            _ => {}
        }
    }
}

/// Why it ended: the last line that it said, and its exit code.
async fn last_words(child: &mut Child) -> Failure {
    let mut text = String::new();
    if let Some(stderr) = &mut child.stderr {
        // Whatever could be read is better than nothing.
        let _ = stderr.read_to_string(&mut text).await;
    }
    let code = child.wait().await.ok().and_then(|status| status.code());
    let line = text.lines().last().unwrap_or("hallward: it said nothing");
    Failure {
        code: code
            .and_then(|code| u8::try_from(code).ok())
            .filter(|code| *code > 0)
            .unwrap_or(Failure::RUNTIME),
        message: format!(
            "the gateway did not start: {}",
            line.trim_start_matches("hallward: ")
        ),
    }
}
