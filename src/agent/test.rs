//! Gateways for the tests of agents: the real one, as a process on ports of its own, that can be
//! killed and started again.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use hallward::agent::{Agent, test::TestGateway};
//!
//! let mut gateway = TestGateway::start().await?;
//! let agent = Agent::connect(gateway.url(), "editor").await?;
//! gateway.kill().await?;
//! gateway.restart().await?; // the agent connects again by itself
//! # Ok(())
//! # }
//! ```

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::command::fresh_id;

/// For a gateway to be up.
const PATIENCE: Duration = Duration::from_secs(30);
/// The last line of what it says when it is up.
const UP: &str = "Stop it with Ctrl-C.";

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestGatewayError {
    /// There is no `hallward` to be run.
    #[error(
        "no hallward program: give TestGateway::builder().program(…), set HALLWARD_BIN, or put \
         hallward on the PATH (cargo install hallward)"
    )]
    NoProgram,
    /// It did not come up.
    #[error("the gateway does not start: {0}")]
    NotUp(String),
    /// Whatever the system says.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A gateway with a data directory of its own, both gone when this is dropped.
#[derive(Debug)]
pub struct TestGateway {
    setup: TestGatewayBuilder,
    folder: PathBuf,
    places: Option<GatewayPlaces>,
    child: Option<Child>,
}

/// How it is to be started.
#[derive(Debug, Clone, Default)]
pub struct TestGatewayBuilder {
    program: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    arguments: Vec<OsString>,
}

/// What a ready file says.
#[derive(Debug, Clone, Deserialize)]
struct GatewayPlaces {
    mqtt: String,
    http: String,
    #[serde(skip)]
    url: String,
}

impl TestGatewayBuilder {
    /// The program to run; else `HALLWARD_BIN`, else `hallward` of the `PATH`.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> TestGatewayBuilder {
        self.program = Some(program.into());
        self
    }

    /// Sets `section.key` of its configuration: `("rooms.reconnect_grace", "1s")`.
    #[must_use]
    pub fn setting(mut self, key: &str, value: &str) -> TestGatewayBuilder {
        let name = format!("HALLWARD__{}", key.to_uppercase().replace('.', "__"));
        self.environment.push((name.into(), value.into()));
        self
    }

    /// One more argument of `hallward serve`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> TestGatewayBuilder {
        self.arguments.push(argument.into());
        self
    }

    /// Starts it; returns when it can be connected to.
    ///
    /// # Errors
    /// If there is no program, or it does not come up.
    pub async fn start(self) -> Result<TestGateway, TestGatewayError> {
        let folder = env::temp_dir().join(format!("hallward-test-{}", fresh_id()));
        std::fs::create_dir(&folder)?;
        let mut gateway = TestGateway {
            setup: self,
            folder,
            places: None,
            child: None,
        };
        gateway.launch().await?;
        Ok(gateway)
    }
}

impl TestGateway {
    /// Starts one with the defaults.
    ///
    /// # Errors
    /// If there is no program, or it does not come up.
    pub async fn start() -> Result<TestGateway, TestGatewayError> {
        TestGateway::builder().start().await
    }

    /// One with more to say.
    pub fn builder() -> TestGatewayBuilder {
        TestGatewayBuilder::default()
    }

    /// Where agents connect: `mqtt://127.0.0.1:…`, the same after a restart.
    pub fn url(&self) -> &str {
        self.places.as_ref().map_or("", |places| &places.url)
    }

    /// Where it tells how it is.
    pub fn http(&self) -> &str {
        self.places.as_ref().map_or("", |places| &places.http)
    }

    /// Kills it as a power cut would (SIGKILL).
    ///
    /// # Errors
    /// Whatever the system says.
    pub async fn kill(&mut self) -> Result<(), TestGatewayError> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Starts it again, on the same ports and data.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn restart(&mut self) -> Result<(), TestGatewayError> {
        self.kill().await?;
        self.launch().await
    }

    async fn launch(&mut self) -> Result<(), TestGatewayError> {
        let ready = self.folder.join("ready.json");
        let mut child = self.command(&ready)?.spawn()?;
        let up = tokio::time::timeout(PATIENCE, is_up(&mut child)).await;
        match up {
            Ok(Ok(())) => {}
            Ok(Err(words)) => return Err(TestGatewayError::NotUp(words)),
            Err(_) => {
                let words = format!("not within {PATIENCE:?}");
                return Err(TestGatewayError::NotUp(words));
            }
        }
        let said = std::fs::read(&ready)?;
        let mut places: GatewayPlaces = serde_json::from_slice(&said)
            .map_err(|error| TestGatewayError::NotUp(format!("its ready file: {error}")))?;
        places.url = format!("mqtt://{}", places.mqtt);
        self.places = Some(places);
        self.child = Some(child);
        Ok(())
    }

    fn command(&self, ready: &Path) -> Result<Command, TestGatewayError> {
        let any = "127.0.0.1:0";
        let places = self.places.as_ref();
        let http = places.map_or(any, |places| places.http.trim_start_matches("http://"));
        let mut command = Command::new(self.program()?);
        // What the caller has set is for another gateway.
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("HALLWARD_") {
                command.env_remove(name);
            }
        }
        command
            .arg("serve")
            .args(["--mqtt", places.map_or(any, |places| &places.mqtt)])
            .args(["--http", http, "--data"])
            .arg(self.folder.join("data"))
            .arg("--ready-file")
            .arg(ready)
            .args(&self.setup.arguments)
            .env("HALLWARD__LOG__FORMAT", "human")
            .env("HALLWARD__LOG__LEVEL", "warn")
            .envs(self.setup.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }

    fn program(&self) -> Result<PathBuf, TestGatewayError> {
        if let Some(program) = &self.setup.program {
            return Ok(program.clone());
        }
        if let Some(program) = env::var_os("HALLWARD_BIN") {
            return Ok(program.into());
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let name = format!("hallward{}", env::consts::EXE_SUFFIX);
        let found = env::split_paths(&path).map(|folder| folder.join(&name));
        found
            .into_iter()
            .find(|program| program.is_file())
            .ok_or(TestGatewayError::NoProgram)
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Before its data goes.
            let _ = child.start_kill();
        }
        // Best effort: it is a temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits for the banner; what is said afterwards is read and dropped, so that nobody waits for us.
async fn is_up(child: &mut Child) -> Result<(), String> {
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("it has no output".to_owned());
    };
    let mut lines = BufReader::new(stdout).lines();
    loop {
        match lines.next_line().await {
            Ok(Some(line)) if line == UP => break,
            Ok(Some(_)) => {}
            _ => {
                let mut words = String::new();
                // Whatever could be read is better than nothing.
                let _ = stderr.read_to_string(&mut words).await;
                return Err(words.trim().to_owned());
            }
        }
    }
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    tokio::spawn(async move {
        let mut stderr = BufReader::new(stderr).lines();
        while let Ok(Some(_)) = stderr.next_line().await {}
    });
    Ok(())
}
