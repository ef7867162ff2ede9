//! The runtime: builds every part from the configuration, connects them, and takes them down again
//! in order.
//!
//! The only module that knows all the others. `cli` starts it and tells it when to stop.

mod authenticator;
mod control;
mod limits;
mod listeners;
mod log;
mod process;
mod rehearsal;
mod reload;
mod schemas;
mod settings;
mod sys;
mod timekeeping;
pub mod upkeep;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::auth::Authenticator;
use crate::bridge::{self, BridgeParts, Bridges};
use crate::clock::Clock;
use crate::config::Config;
use crate::desk::port::Authorizers;
use crate::desk::{
    self, Desk, DeskStats, ForwardPort, InterestIndex, MemoryBudget, RecoverError, RunningDesk,
};
use crate::engine::Engine;
use crate::http;
use crate::ledger::{
    CommitHealth, CommitOptions, CommitState, DiskUse, LoggedStore, SqliteStore, Store, StoreError,
};
use crate::live::LivePlane;
use crate::log_limiter::LogLimiter;
use crate::metrics::{MetricSet as _, Scrape};
use crate::mqtt::{self, ServerContext};

pub use crate::bridge::probe as probe_bridge;
pub use authenticator::{room_refusal, rules};
use control::Control;
pub use listeners::{MqttPlaces, check_files};
pub use log::{LogOutlet, LostLines};
pub use reload::{Reload, ReloadStats};
pub use schemas::key_schemas;

/// Why the gateway could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Something configured cannot be had; trying again will not help.
    #[error("{0}")]
    Configuration(String),
    /// Something is in use by others; it may be free later.
    #[error("{0}")]
    Busy(String),
    /// It ran, and could not go on.
    #[error("{0}")]
    Failed(String),
}

impl From<StoreError> for GatewayError {
    fn from(error: StoreError) -> GatewayError {
        let words = error.to_string();
        match error {
            StoreError::Locked { .. } | StoreError::Full { .. } | StoreError::Busy { .. } => {
                GatewayError::Busy(words)
            }
            StoreError::NotWritable { .. }
            | StoreError::NotADirectory { .. }
            | StoreError::NotEmpty { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::Foreign { .. } => GatewayError::Configuration(words),
            StoreError::Corrupt { .. } | StoreError::Missing { .. } | StoreError::Other { .. } => {
                GatewayError::Failed(words)
            }
        }
    }
}

impl From<RecoverError> for GatewayError {
    fn from(error: RecoverError) -> GatewayError {
        match error {
            RecoverError::Store(error) => error.into(),
            RecoverError::OtherRoot { .. } => GatewayError::Configuration(error.to_string()),
            RecoverError::Record(_) | RecoverError::Engine(_) => {
                GatewayError::Failed(error.to_string())
            }
        }
    }
}

/// Where a gateway can be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// For MQTT clients.
    pub mqtt: MqttPlaces,
    /// For health checks and metrics.
    pub http: SocketAddr,
    /// The ledger's directory.
    pub data: PathBuf,
}

/// A gateway that has everything it needs and listens.
pub struct Gateway {
    places: Places,
    config: Config,
    http: TcpListener,
    mqtt: Vec<mqtt::Listener>,
    plane: LivePlane,
    desk: RunningDesk,
    door: Arc<ServerContext<LivePlane>>,
    metrics: Arc<http::MetricsRegistry>,
    status: sys::Status,
    control: Option<Control>,
    reload: Reload,
    log_limiter: Arc<LogLimiter>,
    bridges: Bridges,
}

impl Gateway {
    /// Listens, opens the data directory, and recovers.
    ///
    /// # Errors
    /// If an address cannot be had or the directory cannot be used.
    #[expect(
        clippy::too_many_lines,
        reason = "every part is made here, in the order in which they need one another"
    )]
    pub async fn start(config: Config) -> Result<Gateway, GatewayError> {
        let reload = Reload::new(config.clone());
        let log_limiter = Arc::new(LogLimiter::new(config.log.max_lines));
        let authenticator = authenticator::build(&config, &reload, &log_limiter).await?;
        let tls = listeners::certificates(&config, &reload).await?;
        let (mqtt, mqtt_places) = listeners::bind(&config, tls.as_ref(), &reload).await?;
        let http = listen("HTTP", "--http", config.http.listen.0).await?;
        let places = Places {
            mqtt: mqtt_places,
            http: local_address(&http)?,
            data: config.data.dir.clone(),
        };
        let store = open_store(&config).await?;
        let log = store.stats();
        let control = Control::listen(&config.data.dir, store.snapshots());
        let plane = LivePlane::start(config.live.clone(), config.mqtt.max_connections)
            .map_err(|error| GatewayError::Failed(error.to_string()))?;
        let interest = Arc::new(InterestIndex::default());
        let memory = MemoryBudget::new(config.memory.max_queued.0);
        let (desk, store, clock, ports) = recover(
            &config,
            Box::new(store),
            interest.clone(),
            memory.clone(),
            authenticator.as_ref(),
            &log_limiter,
        )
        .await?;
        let desk_stats = desk.stats();
        let running = desk::start(
            desk,
            store,
            CommitOptions::default(),
            &plane,
            config.desk.clone(),
            Arc::clone(&clock),
        )
        .map_err(|error| GatewayError::Busy(format!("cannot start the desk's thread: {error}")))?;
        let parts = BridgeParts {
            clock: Arc::clone(&clock),
            log_limiter: Arc::clone(&log_limiter),
        };
        let bridges = Bridges::new(&config.bridge, ports, parts);
        let front_door = Arc::new(mqtt::Metrics::default());
        let mut metrics = metrics_of_process(config.data.dir.clone());
        metrics.register(Arc::clone(&front_door));
        metrics.register(Arc::clone(&desk_stats));
        metrics.register(Arc::clone(&memory));
        metrics.register(running.health());
        metrics.register(Arc::new(plane.clone()));
        metrics.register(log);
        metrics.register(Arc::clone(&log_limiter));
        metrics.register(Arc::new(bridges.metrics()));
        metrics.register(reload.stats());
        if let Some(tls) = tls {
            metrics.register(tls);
        }
        if let Some(authenticator) = &authenticator {
            metrics.register(authenticator.stats());
        }
        let door = ServerContext::new(
            settings::mqtt(&config),
            running.requests(),
            interest,
            plane.clone(),
            mqtt::ServerParts {
                metrics: Arc::clone(&front_door),
                memory,
                authenticator,
                log_limiter: Arc::clone(&log_limiter),
                clock,
            },
        );
        limits::register(
            &config,
            &reload,
            limits::Listeners {
                desk: running.requests().downgrade(),
                door: Arc::downgrade(&door),
                plane: plane.clone(),
                log_limiter: Arc::clone(&log_limiter),
            },
        );
        let status = sys::Status::new(front_door, desk_stats, Instant::now());
        Ok(Gateway {
            places,
            config,
            http,
            mqtt,
            plane,
            desk: running,
            door,
            metrics: Arc::new(metrics),
            status,
            control,
            reload,
            log_limiter,
            bridges,
        })
    }

    /// Where it can be found, with the ports that it really has.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// What can be read again while it runs.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// The live plane, for tests of its supervision.
    #[doc(hidden)]
    pub fn live_plane(&self) -> LivePlane {
        self.plane.clone()
    }

    /// Runs until `stop` resolves, then drains: clients are told, what they sent is made durable.
    ///
    /// # Errors
    /// If it could not go on.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), GatewayError> {
        let health = self.desk.health();
        let (stopping, stopped) = watch::channel(false);
        let http = tokio::spawn(serve_http(
            &self.config,
            self.http,
            health.clone(),
            self.status.desk(),
            self.metrics,
            stopped.clone(),
        ));
        let sys = self.config.mqtt.sys_interval;
        if !sys.0.is_zero() {
            tokio::spawn(sys::run(
                sys.0,
                self.desk.requests(),
                self.status,
                stopped.clone(),
            ));
        }
        let control = stopped.clone();
        let control = tokio::spawn(async move {
            if let Some(listening) = self.control {
                listening.run(control).await;
            }
        });
        let minutes = tokio::spawn(log::sum_up(Arc::clone(&self.log_limiter)));
        let bridges = self.bridges.run(self.desk.requests(), stopped.clone());
        let bridges = tokio::spawn(bridges);
        let front_door = tokio::spawn(mqtt::serve(self.door, self.mqtt, stopped));
        let failure = tokio::select! {
            () = stop => None,
            error = health.failed() => Some(error),
        };
        // Nobody listens only if both servers are gone already.
        let _ = stopping.send(true);
        let _ = tokio::join!(front_door, bridges, http, control);
        let desk = self.desk;
        let outcome = blocking(move || desk.join()).await?;
        minutes.abort();
        self.log_limiter.sum_up();
        self.plane.shutdown().await;
        match failure {
            Some(error) => Err(GatewayError::Failed(error)),
            None => Ok(outcome?),
        }
    }
}

/// Whether the data directory can be used, as far as that shows without starting.
///
/// # Errors
/// What a start would say.
pub fn check_data(config: &Config) -> Result<(), GatewayError> {
    Ok(crate::ledger::check_directory(&config.data.dir)?)
}

/// Rebuilds the desk from the ledger, on a thread that may block.
async fn recover(
    config: &Config,
    store: Box<dyn Store>,
    interest: Arc<InterestIndex>,
    memory: Arc<MemoryBudget>,
    authenticator: Option<&Arc<Authenticator>>,
    log_limiter: &Arc<LogLimiter>,
) -> Result<(Desk, Box<dyn Store>, Arc<Clock>, Vec<ForwardPort>), GatewayError> {
    let authorizers = authenticator.map(|authenticator| {
        Arc::new(mqtt::AbsentClients(Arc::clone(authenticator))) as Arc<dyn Authorizers>
    });
    let mut engine_settings = config.engine();
    let desk_settings = settings::desk(config, memory, authorizers, Arc::clone(log_limiter));
    let max_step = config.clock.max_step;
    let for_thread = config.clone();
    blocking(move || {
        engine_settings.key_schemas =
            key_schemas(&for_thread).map_err(GatewayError::Configuration)?;
        desk::check_root(&*store, &for_thread.rooms.root)?;
        let records = desk::engine_records(&*store)?;
        let engine =
            Engine::recover(engine_settings, seed(), records).map_err(RecoverError::from)?;
        let last = desk::last_mark(&*store)?;
        let clock = timekeeping::start(last.as_ref(), engine.latest(), max_step.0);
        let mut desk = Desk::new(desk_settings, engine, interest);
        desk.keep_time(clock.reading());
        let queues = bridge::forwards(&for_thread.bridge).map_err(GatewayError::Configuration)?;
        let ports = desk.forward_to(queues, &*store)?;
        desk.recover(clock.now(), &*store)?;
        if let Some(last) = last {
            let by = clock.reading().ahead.saturating_sub(last.reading.ahead);
            desk.step_found(clock.now(), by);
        }
        Ok((desk, store, Arc::new(clock), ports))
    })
    .await?
}

/// A seed that no earlier start of this process had: ids must be new.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, GatewayError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| GatewayError::Failed(format!("a start-up step failed: {error}")))
}

/// Listens where the flag or the key says.
async fn listen(
    what: &str,
    told_by: &str,
    address: SocketAddr,
) -> Result<TcpListener, GatewayError> {
    TcpListener::bind(address).await.map_err(|error| {
        let words = format!("cannot listen for {what} on {address}: {error}");
        match error.kind() {
            std::io::ErrorKind::AddrInUse => GatewayError::Busy(format!(
                "{words}: end what listens there, or choose another address ({told_by})"
            )),
            _ => GatewayError::Configuration(words),
        }
    })
}

fn local_address(listener: &TcpListener) -> Result<SocketAddr, GatewayError> {
    listener
        .local_addr()
        .map_err(|error| GatewayError::Failed(error.to_string()))
}

async fn open_store(config: &Config) -> Result<LoggedStore<SqliteStore>, GatewayError> {
    let (dir, limits) = (config.data.dir.clone(), config.data.log());
    Ok(blocking(move || crate::ledger::open(&dir, limits)).await??)
}

/// What this process counts as such: its memory and descriptors, the disk that its data takes, and
/// the lines that its log lost.
fn metrics_of_process(data: PathBuf) -> http::MetricsRegistry {
    let mut metrics = http::MetricsRegistry::new();
    let own = |scrape: &mut Scrape<'_>| process::read().encode(scrape);
    metrics.register_common(Arc::new(own));
    let disk = move |scrape: &mut Scrape<'_>| DiskUse::of(&data).encode(scrape);
    metrics.register(Arc::new(disk));
    metrics.register(Arc::new(log::encode_lost_lines));
    metrics
}

/// The HTTP server, ready as long as the ledger takes commits.
fn serve_http(
    config: &Config,
    listener: TcpListener,
    ledger: Arc<CommitHealth>,
    desk: Arc<DeskStats>,
    metrics: Arc<http::MetricsRegistry>,
    mut stopped: watch::Receiver<bool>,
) -> impl Future<Output = std::io::Result<()>> + use<> {
    let limits = config.http.clone();
    let health = Arc::new(move || match ledger.state() {
        CommitState::Ok => Ok(desk.budgets.warnings()),
        CommitState::Stalled { error, .. } | CommitState::Failed { error } => Err(error),
    });
    let stop = async move {
        // An error means that the sender is gone, which is as good as a stop.
        let _ = stopped.wait_for(|&stopped| stopped).await;
    };
    http::serve(listener, limits, health, metrics, stop)
}
