//! `jackfield run`.

use super::args::ConfigArgs;
use super::descriptors::raise_limit;
use super::failure::{Failure, Outcome};
use super::loading::{load_plugins_with, searched};
use super::process::{LiveTime, ProcessSettings, live};
use super::runtime::{HostSignal, Signals, level, serve_on, start_log};
use super::service::ServiceManager;
use super::take_over::TakeOver;
use super::upgrade::{Upgrader, own_program};
use super::user::UserArgs;
use crate::admin::{AdminControls, AdminServer, AdminSockets};
use crate::config::model::AdminPlace;
use crate::config::{DrainOptions, Loaded, Overrides, load};
use crate::handover::{Handover, not_taken, received_from_service_manager};
use crate::lock::IgnorePoison;
use crate::manager::Manager;
use crate::reload::{ReloadCause, Reloader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    user: UserArgs,
    /// Take over from the process that has started this one, which sends its sockets over standard input
    #[arg(long, hide = true)]
    take_over: bool,
}

const EXAMPLES: &str = "\
It does not start when a folder of plugins that was named cannot be read or has none, or a file in it
was refused, unless host.refused_plugins is \"warn\"; the exit code is 1.

SIGINT or SIGTERM ends it: nothing new is accepted, and what runs may finish for
host.shutdown_timeout; within a second more it has ended, whatever plugins do. A second signal ends it at
once. SIGHUP has the configuration read again: what is different is taken over, what is not goes on, and
with a mistake anywhere nothing changes. SIGUSR2 has a new process of the program take over, as
`jackfield upgrade` does. SIGUSR1 is logged and changes nothing.

Started by systemd (Type=notify or notify-reload) it says when it is ready, reloads and stops, and that it is
alive (WatchdogSec=). Sockets that systemd has opened (FileDescriptorName=) are listened on by the key `socket`
of a route and \"socket:NAME\" in admin.listen.

It answers `jackfield status` and its like, and any HTTP client, on the socket of [admin] in the configuration.

Every key can also be set by a variable: JACKFIELD__HOST__WORKER_THREADS=4.

Examples:
  jackfield run --config config/demo.toml
  jackfield run --user jackfield
  jackfield run -c base.toml -c lab.toml --plugins target/release --set log.level=debug";

pub(super) fn run(args: &RunArgs, verbose: u8) -> Outcome {
    args.user.apply()?;
    let handover = Arc::new(Handover::default());
    if !args.take_over {
        received_from_service_manager(&handover).map_err(Failure::config)?;
        return run_with(args, verbose, &handover, None);
    }
    let take_over = Arc::new(TakeOver::begin(&handover)?);
    let outcome = run_with(args, verbose, &handover, Some(&take_over));
    if let Err(failure) = &outcome {
        take_over.failed(failure);
    }
    outcome
}

fn run_with(
    args: &RunArgs,
    verbose: u8,
    handover: &Arc<Handover>,
    take_over: Option<&Arc<TakeOver>>,
) -> Outcome {
    let program = own_program().map_err(|error| Failure::run(format!("own program: {error}")))?;
    let (files, overrides) = args.config.parts()?;
    let loaded = load(&files, &overrides)?;
    let log = &loaded.config.log;
    let control = start_log(level(log.level, verbose), log)?;
    if take_over.is_none() {
        check_sockets(&loaded, handover)?;
    }
    raise_limit(&loaded.config.host, true);
    let starting = Starting { loaded: &loaded, files, overrides, program, handover, take_over };
    let host = &loaded.config.host;
    let settings = ProcessSettings {
        log: control,
        verbose,
        shutdown: live(host.shutdown_timeout.0),
        upgrade: live(host.timeouts.upgrade.0),
    };
    serve_on(&loaded.config, starting.serve(settings))
}

/// Every socket of the service manager has something that listens on it.
fn check_sockets(loaded: &Loaded, handover: &Handover) -> Outcome<()> {
    let routes = loaded.config.routes.iter();
    let routes = routes.filter_map(|route| route.listener.socket.as_deref());
    let admin = loaded.config.admin.listen.iter().flatten();
    let admin = admin.filter_map(|place| match AdminPlace::of(place) {
        Some(AdminPlace::Named(name)) => Some(name),
        _ => None,
    });
    let names: Vec<&str> = routes.chain(admin).collect();
    let wrong = not_taken(handover, &names);
    if wrong.is_empty() { Ok(()) } else { Err(Failure::config_lines(wrong)) }
}

/// The state folder is the one that the service manager has made (`StateDirectory=`) where the configuration names
/// none.
fn with_state_folder(loaded: &Loaded) -> Loaded {
    let mut loaded = loaded.clone();
    let made = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    let made = made.split(':').next().filter(|made| made.starts_with('/'));
    if let Some(made) = made.filter(|_| loaded.config.host.state_dir.is_empty()) {
        made.clone_into(&mut loaded.config.host.state_dir);
    }
    loaded
}

/// What a host begins with.
struct Starting<'a> {
    loaded: &'a Loaded,
    files: Vec<PathBuf>,
    overrides: Overrides,
    program: PathBuf,
    handover: &'a Arc<Handover>,
    take_over: Option<&'a Arc<TakeOver>>,
}

impl Starting<'_> {
    async fn serve(self, settings: ProcessSettings) -> Outcome {
        let loaded = self.loaded;
        let mut signals = Signals::of_run(Arc::clone(&settings.shutdown))?;
        let service = Arc::new(Mutex::new(ServiceManager::default()));
        service.lock().ignore_poison().status("starting");
        // Taken first: a host that cannot be looked at as its configuration says does not begin.
        let admin = AdminSockets::bind_with(loaded, self.handover)?;
        let manager = tokio::select! {
            started = self.start() => started?,
            ended = signals.next() => {
                return Err(Failure::run(format!("{} before it had started", ended.name)));
            }
        };
        let listeners = manager.listeners().len();
        if listeners == 0 {
            tracing::warn!("nothing listens: the configuration has no routes");
        }
        let Starting { files, overrides, program, handover, take_over, .. } = self;
        let reloader = Reloader::new(manager.clone(), files, overrides, loaded.clone()).await;
        reloader.follow(Arc::new(settings.clone()));
        let limit = Arc::clone(&settings.upgrade);
        let upgrader = Upgrader::new(Arc::clone(handover), Arc::clone(&service), program, limit);
        let controls = AdminControls {
            log: Some(settings.log),
            reloader: Some(reloader.clone()),
            upgrade: Some(Arc::new(upgrader.clone())),
        };
        let admin = admin.serve(manager.clone(), controls);
        if let Some(take_over) = take_over {
            let (take_over, handover) = (Arc::clone(take_over), Arc::clone(handover));
            let ready = tokio::task::spawn_blocking(move || take_over.ready(&handover));
            ready.await.map_err(|error| Failure::run(format!("taking over: {error}")))?;
        }
        tracing::info!(listeners, "ready");
        service.lock().ignore_poison().ready(&format!("ready: {listeners} listeners"));
        let running = RunningHost { shutdown: settings.shutdown, manager, admin, service };
        match running.until_end(&mut signals, &reloader, &upgrader).await {
            HostEnd::Signal(name) => running.stop(name).await,
            HostEnd::Upgraded(pid) => {
                running.leave(pid, reloader.drain_options(), &mut signals).await
            }
        }
    }

    async fn start(&self) -> Outcome<Manager> {
        let plugins = load_plugins_with(self.loaded, self.handover).await;
        let registry = plugins.registry();
        let running = registry.reports().iter().filter(|report| report.refusal.is_none()).count();
        tracing::info!(running, looked_in = searched(registry), "plugins");
        Ok(Manager::start_on(plugins, &with_state_folder(self.loaded)).await?)
    }
}

/// Why a host ends.
enum HostEnd {
    Signal(&'static str),
    /// The process of this number has taken over.
    Upgraded(u32),
}

/// A host that runs.
struct RunningHost {
    /// How long its end may take.
    shutdown: LiveTime,
    manager: Manager,
    admin: AdminServer,
    service: Arc<Mutex<ServiceManager>>,
}

impl RunningHost {
    /// Does what signals ask for, until one of them, or another process, ends it.
    async fn until_end(
        &self,
        signals: &mut Signals,
        reloader: &Reloader,
        upgrader: &Upgrader,
    ) -> HostEnd {
        let mut watching = std::pin::pin!(reloader.watch());
        loop {
            tokio::select! {
                signal = signals.next_of_all() => match signal {
                    HostSignal::End(ended) => return HostEnd::Signal(ended.name),
                    HostSignal::Reload => self.reload(reloader.clone()),
                    HostSignal::Upgrade => {
                        let upgrader = upgrader.clone();
                        // It writes what it came to.
                        tokio::spawn(async move { drop(upgrader.run().await) });
                    }
                },
                pid = upgrader.upgraded() => return HostEnd::Upgraded(pid),
                () = &mut watching => {}
            }
        }
    }

    /// Reads the configuration again. It writes what it came to. A signal to end does not wait for it.
    fn reload(&self, reloader: Reloader) {
        let service = Arc::clone(&self.service);
        tokio::spawn(async move {
            service.lock().ignore_poison().reloading();
            let text = match reloader.reload(ReloadCause::Signal, false).await {
                Ok(report) => format!("ready: version {} of the configuration", report.version),
                Err(error) => format!("ready, but not reloaded: {error}"),
            };
            service.lock().ignore_poison().reloaded(&text);
        });
    }

    async fn stop(self, why: &str) -> Outcome {
        let limit = **self.shutdown.load();
        self.service.lock().ignore_poison().stopping(limit, &format!("stopping: {why}"));
        self.admin.note_stopping();
        let outcome = stop(self.manager, why, limit).await;
        self.admin.stop().await;
        outcome
    }

    /// Lets go of what another process has taken over, and ends with its last session.
    async fn leave(self, pid: u32, drain: DrainOptions, signals: &mut Signals) -> Outcome {
        self.admin.note_stopping();
        self.admin.stop().await;
        let sessions = self.manager.count().accepted;
        let DrainOptions { within, spread } = drain;
        tracing::info!(after = pid, sessions, within = ?within.0, spread = ?spread.0, "draining");
        let why = tokio::select! {
            () = self.manager.drain_listeners(drain) => "another process has taken over",
            ended = signals.next() => ended.name,
        };
        stop(self.manager, why, **self.shutdown.load()).await
    }
}

/// Ends a manager. A second signal, and the end of the time for all this, end the process elsewhere.
pub(super) async fn stop(manager: Manager, why: &str, limit: Duration) -> Outcome {
    let connections = manager.count().accepted;
    tracing::info!(why, connections, ?limit, "stopping; a second signal ends it at once");
    let cut = manager.shutdown().await;
    if cut > 0 {
        tracing::warn!(
            connections = cut,
            "shutdown_timeout has passed: open connections were ended"
        );
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
