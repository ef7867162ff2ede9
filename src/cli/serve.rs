//! `hallward serve`: runs the gateway until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ephemeral::Ephemeral;
use super::layers::{FileArg, KeyArgs, load, log_of};
use super::logging::{self, SetLevel};
use super::ready_file::ReadyFile;
use super::{Failure, say};
use crate::config::{Config, LogFormat, Problems};
use crate::runtime::{Gateway, MqttPlaces, Places};

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    keys: KeyArgs,
    /// Write where the gateway is found (JSON) to FILE once it is up, and remove FILE at its end
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let loaded = load(&args.file, &args.keys);
    let mut config = loaded.map_err(|problems| refuse(args, problems))?.config;
    let ephemeral = Arc::new(Ephemeral::prepare(&mut config)?);
    let (_settled, set_level) = logging::start(&config.log)?;
    let ready_file = args.ready_file.as_deref().map(ReadyFile::prepare);
    let ready_file = ready_file.transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::try_again(format!("cannot start threads: {error}")))?;
    runtime.block_on(serve(
        config,
        args,
        ready_file.as_ref(),
        set_level,
        &ephemeral,
    ))
}

/// Whoever wants JSON reads also in JSON why there is no more than that.
fn refuse(args: &Args, problems: Problems) -> Failure {
    let log = log_of(&args.file, &args.keys);
    if log.format == LogFormat::Json {
        // Without a log the words go to standard error as they are.
        let _ = logging::start(&log);
    }
    problems.into()
}

async fn serve(
    config: Config,
    args: &Args,
    ready_file: Option<&ReadyFile>,
    set_level: SetLevel,
    ephemeral: &Arc<Ephemeral>,
) -> Result<(), Failure> {
    let for_people = config.log.format == LogFormat::Human;
    // Before anything starts: a signal that comes early must find the way out, too.
    let mut stop = Stop::listen()?;
    let mut hangup = listen(SignalKind::hangup())?;
    let gateway = tokio::select! {
        gateway = Gateway::start(config) => gateway?,
        name = stop.wait() => return Err(Failure::runtime(format!("{name} before the gateway was up"))),
    };
    if let Some(file) = ready_file {
        file.write(gateway.places())?;
    }
    if for_people {
        say(format_args!("{}", banner(gateway.places())));
    }
    tell_where(gateway.places());
    let (told, tell) = tokio::sync::oneshot::channel::<()>();
    let reload = gateway.reload();
    reload.register_setting("log", move |config| set_level(&config.log));
    let running = gateway.run(async {
        // An error means that nobody will tell any more, which is as good as being told.
        let _ = tell.await;
    });
    tokio::pin!(running);
    let name = loop {
        tokio::select! {
            outcome = &mut running => return Ok(outcome?),
            name = stop.wait() => break name,
            // On its own: a file that is slow to read must not keep the gateway from stopping.
            Some(()) = hangup.recv() => {
                let (reload, args) = (reload.clone(), args.clone());
                let ephemeral = Arc::clone(ephemeral);
                let read = move || {
                    let mut config = load(&args.file, &args.keys)?.config;
                    ephemeral.apply(&mut config);
                    Ok(config)
                };
                tokio::spawn(async move { reload.run(read).await });
            }
        }
    };
    tracing::info!(signal = name, "draining");
    drop(told);
    tokio::select! {
        outcome = &mut running => {
            outcome?;
            tracing::info!("stopped");
            Ok(())
        }
        () = stop.hurry() => Err(Failure::runtime("Ctrl-C again: stopped without draining")),
    }
}

pub(super) fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::runtime(format!("cannot listen for signals: {error}")))
}

/// The same as the banner, as a line of the log.
fn tell_where(places: &Places) {
    let shown = |address: Option<SocketAddr>| address.map(tracing::field::display);
    let MqttPlaces {
        tcp,
        tls,
        websocket,
        secure_websocket,
    } = places.mqtt;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        mqtt = shown(tcp),
        mqtts = shown(tls),
        ws = shown(websocket),
        wss = shown(secure_websocket),
        http = %places.http,
        data = %places.data.display(),
        "up"
    );
}

/// One screen: where to find what.
fn banner(places: &Places) -> String {
    format!(
        "Hallward {} is up\n{}  http  http://{}  (/livez /readyz /metrics)\n  data  {}\n\
         Stop it with Ctrl-C.\n",
        env!("CARGO_PKG_VERSION"),
        mqtt_lines(&places.mqtt),
        places.http,
        places.data.display()
    )
}

fn mqtt_lines(places: &MqttPlaces) -> String {
    let lines = mqtt_addresses(places);
    let line = |(name, address, words)| format!("  {name:<5} {address}  {words}\n");
    lines.map(line).collect()
}

/// Where MQTT clients are served, each with its name and what it is.
pub(super) fn mqtt_addresses(
    places: &MqttPlaces,
) -> impl Iterator<Item = (&'static str, String, &'static str)> {
    let all = [
        ("mqtt", "", places.tcp, "(3.1.1 and 5.0)"),
        ("mqtts", "", places.tls, "(3.1.1 and 5.0 over TLS)"),
        ("ws", "ws://", places.websocket, "(WebSocket)"),
        (
            "wss",
            "wss://",
            places.secure_websocket,
            "(WebSocket over TLS)",
        ),
    ];
    all.into_iter()
        .filter_map(|(name, scheme, address, words)| {
            Some((name, format!("{scheme}{}", address?), words))
        })
}

/// The signals that end a command which runs until then.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    pub(super) fn listen() -> Result<Stop, Failure> {
        Ok(Stop {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The name of the next one.
    pub(super) async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Somebody presses Ctrl-C once more. Another SIGTERM is no hurry: who stops programs may send
    /// one to the process and one to its group.
    async fn hurry(&mut self) {
        self.interrupt.recv().await;
    }
}
