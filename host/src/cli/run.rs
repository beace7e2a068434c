//! `jackfield run`.

use super::args::ConfigArgs;
use super::descriptors::raise_limit;
use super::failure::{Failure, Outcome};
use super::loading::{load_plugins, searched};
use super::runtime::{LogControl, Signals, block_on, level, start_log};
use crate::admin::{AdminControls, AdminSockets};
use crate::config::{Loaded, Overrides, load};
use crate::manager::Manager;
use crate::reload::{ReloadCause, Reloader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

const EXAMPLES: &str = "\
It does not start when a folder of plugins that was named cannot be read or has none, or a file in it
was refused, unless host.refused_plugins is \"warn\"; the exit code is 1.

SIGINT or SIGTERM ends it: nothing new is accepted, and what runs may finish for
host.shutdown_timeout; within a second more it has ended, whatever plugins do. A second signal ends it at
once. SIGHUP has the configuration read again: what is different is taken over, what is not goes on, and
with a mistake anywhere nothing changes. SIGUSR1 and SIGUSR2 are logged and change nothing.

It answers `jackfield status` and its like, and any HTTP client, on the socket of [admin] in the configuration.

Every key can also be set by a variable: JACKFIELD__HOST__WORKER_THREADS=4.

Examples:
  jackfield run --config config/demo.toml
  jackfield run -c base.toml -c lab.toml --plugins target/release --set log.level=debug";

pub(super) fn run(args: &RunArgs, verbose: u8) -> Outcome {
    let (files, overrides) = args.config.parts()?;
    let loaded = load(&files, &overrides)?;
    let log = &loaded.config.log;
    let control = start_log(level(log.level, verbose), log)?;
    raise_limit(&loaded.config.host, true);
    block_on(&loaded.config, serve(&loaded, control, files, overrides))
}

async fn start(loaded: &Loaded) -> Outcome<Manager> {
    let plugins = load_plugins(loaded).await;
    let registry = plugins.registry();
    let running = registry.reports().iter().filter(|report| report.refusal.is_none()).count();
    tracing::info!(running, looked_in = searched(registry), "plugins");
    Ok(Manager::start_on(plugins, loaded).await?)
}

async fn serve(
    loaded: &Loaded,
    log: Arc<LogControl>,
    files: Vec<PathBuf>,
    overrides: Overrides,
) -> Outcome {
    let mut signals = Signals::of_run(loaded.config.host.shutdown_timeout.0)?;
    // Taken first: a host that cannot be looked at as its configuration says does not begin.
    let admin = AdminSockets::bind(loaded)?;
    let manager = tokio::select! {
        started = start(loaded) => started?,
        ended = signals.next() => {
            return Err(Failure::run(format!("{} before it had started", ended.name)));
        }
    };
    let listeners = manager.listeners().len();
    if listeners == 0 {
        tracing::warn!("nothing listens: the configuration has no routes");
    }
    let reloader = Reloader::new(manager.clone(), files, overrides, loaded.clone()).await;
    let controls = AdminControls { log: Some(log), reloader: Some(reloader.clone()) };
    let admin = admin.serve(manager.clone(), controls);
    tracing::info!(listeners, "ready");
    let ended = {
        let mut watching = std::pin::pin!(reloader.watch());
        loop {
            tokio::select! {
                ended = signals.next_or_reload() => match ended {
                    Some(ended) => break ended,
                    None => {
                        let reloader = reloader.clone();
                        // It writes what it came to. A signal to end does not wait for it.
                        tokio::spawn(async move { drop(reloader.reload(ReloadCause::Signal, false).await) });
                    }
                },
                () = &mut watching => {}
            }
        }
    };
    drop(reloader);
    admin.note_stopping();
    let outcome = stop(manager, ended.name, loaded).await;
    admin.stop().await;
    outcome
}

/// Ends a manager. A second signal, and the end of the time for all this, end the process elsewhere.
pub(super) async fn stop(manager: Manager, why: &str, loaded: &Loaded) -> Outcome {
    let connections = manager.count().accepted;
    let limit = loaded.config.host.shutdown_timeout.0;
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
