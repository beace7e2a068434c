//! `jackfield cp`: files between this machine and devices, and from device to device.
//!
//! ```text
//! args ──▶ place ──▶ walk (what there is) ──▶ goal (each destination) ──▶ files (one copy) ──▶ local, remote
//! ```

mod entry;
mod files;
mod goal;
mod local;
mod passing;
mod place;
mod progress;
mod remote;
mod walk;

use super::args::ConfigArgs;
use super::assign;
use super::client::{parse_assignments, parse_options};
use super::failure::{Failure, Outcome, one_line};
use super::loading::load_plugins;
use super::output::complain;
use super::runtime::{Signals, block_on, start_client_log};
use crate::config::{Loaded, Reference};
use crate::connection::Target;
use crate::manager::Manager;
use crate::parallel::in_order;
use crate::route::Destination;
use crate::session::POLITE_CLOSE;
use files::{CopySettings, Files};
use goal::Goal;
use jackfield_plugin_api::{Result, Role};
use place::{CopyPlace, RemotePlace};
use progress::Progress;
use remote::RemoteFiles;
use serde_json::Map;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::OnceCell;
use walk::CopySource;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CpArgs {
    /// What is copied, then where to: paths, URIs such as ssh://lab@10.0.0.7/tmp/, connections.NAME:PATH,
    /// devices.NAME.PATH:PATH, upstreams.NAME:PATH (each of its targets), or USER@HOST:PATH
    #[arg(required = true, value_name = "SRC… DST")]
    paths: Vec<String>,
    /// A destination; may be repeated, and all of SRC… DST are sources then
    #[arg(short, long, value_name = "DST")]
    to: Vec<String>,
    /// Copy folders with all that is in them
    #[arg(short, long)]
    recursive: bool,
    /// Keep permissions and the time of the last change
    #[arg(short, long)]
    preserve: bool,
    /// Go on with what an earlier attempt has left, and keep what this one leaves
    #[arg(long)]
    resume: bool,
    /// Write into the file itself, as a device wants it that is no file, not beside it under a temporary name
    #[arg(long, conflicts_with = "resume")]
    in_place: bool,
    /// Have each file written to the medium before it gets its name
    #[arg(long)]
    sync: bool,
    /// Destinations at a time
    #[arg(short, long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// Option of each URI's stack, as in key_file=~/.ssh/id_ed25519; may be repeated
    #[arg(short, long = "option", value_name = "KEY=VALUE")]
    option: Vec<String>,
    /// Options of each URI's stack as one JSON object
    #[arg(long, value_name = "JSON")]
    options: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

const EXAMPLES: &str = "\
A destination that ends with / or is a folder gets the copies by their names; another one is the name of
the copy. Paths of a device begin at its root in a URI (/~/ where the account begins), and where the account
begins in the other forms. They may have *, ? and [a-z] in a source.

A file gets its name when it is whole: what is cut off never looks like a copy. With -r, links to files are
copied as files, and what is neither file nor folder is told and left out.

Exit code 0 if all is copied, 1 if something is not, with one line for each, 2 for a wrong command.

Examples:
  jackfield cp firmware.bin ssh://lab@10.0.0.7/tmp/
  jackfield cp 'ssh://lab@10.0.0.7/var/log/*.log' logs/
  jackfield cp -rp configs connections.bastion:backup --config lab.toml
  jackfield cp firmware.bin --to ssh://lab@10.0.0.7/tmp/ --to ssh://lab@10.0.0.8/tmp/ --resume
  jackfield cp firmware.bin upstreams.switches:/flash/ --jobs 4 --config lab.toml
  jackfield cp ssh://lab@10.0.0.7/etc/motd ssh://lab@10.0.0.8/etc/motd";

pub(super) fn cp(args: &CpArgs, verbose: u8) -> Outcome {
    start_client_log(verbose)?;
    let mut sources = places(&args.paths)?;
    let destinations = match (args.to.is_empty(), sources.len()) {
        (false, _) => places(&args.to)?,
        (true, 2..) => sources.split_off(sources.len() - 1),
        (true, _) => return Err(Failure::config("expected SRC… and DST, or --to DST")),
    };
    let loaded = load(args, sources.iter().chain(&destinations))?;
    block_on(&loaded.config, run(args, &sources, &destinations, &loaded))
}

fn places(texts: &[String]) -> Outcome<Vec<CopyPlace>> {
    texts.iter().map(|text| CopyPlace::parse(text)).collect()
}

/// The configuration without parts that nothing is copied from or to, so that mistakes in them do not matter.
fn load<'a>(args: &CpArgs, places: impl Iterator<Item = &'a CopyPlace>) -> Outcome<Loaded> {
    let mut loaded = args.config.load_any(|_| ())?;
    loaded.config.routes.clear();
    loaded.config.handlers.clear();
    let remote = places.filter_map(|place| match place {
        CopyPlace::Remote(remote) => Some(&remote.to),
        CopyPlace::Local(_) => None,
    });
    if remote.into_iter().all(|to| matches!(to, Reference::Uri(_))) {
        loaded.config.upstreams.clear();
        loaded.config.connections.clear();
        loaded.config.devices.clear();
    }
    loaded.config.retain_used_interceptors();
    Ok(loaded)
}

/// A device: how it is reached, and its session once it is needed.
struct CopyDevice {
    to: Reference,
    name: String,
    target: Arc<Target>,
    limit: Duration,
    session: OnceCell<Arc<RemoteFiles>>,
}

impl CopyDevice {
    /// # Errors
    /// What opening says, to each that asks.
    async fn files(&self) -> Result<Files> {
        let open = || async {
            RemoteFiles::open(&self.name, &self.target, self.limit).await.map(Arc::new)
        };
        self.session.get_or_try_init(open).await.map(|files| Files::Remote(Arc::clone(files)))
    }
}

/// What a command works with.
struct Work<'a> {
    args: &'a CpArgs,
    manager: Manager,
    devices: Vec<CopyDevice>,
    progress: Arc<Progress>,
    failed: AtomicBool,
}

/// How long opening a session of an upstream's target may take.
const OPENING: Duration = Duration::from_secs(30);

async fn run(
    args: &CpArgs,
    sources: &[CopyPlace],
    destinations: &[CopyPlace],
    loaded: &Loaded,
) -> Outcome {
    let mut signals = Signals::of_command()?;
    let plugins = load_plugins(loaded).await;
    let manager = Manager::build(plugins, loaded).await?;
    let (progress, failed) = (Arc::default(), AtomicBool::new(false));
    let mut work = Work { args, manager, devices: Vec::new(), progress, failed };
    for place in sources.iter().chain(destinations) {
        if let CopyPlace::Remote(remote) = place {
            work.reach(remote).await?;
        }
    }
    let copied = tokio::select! {
        copied = work.copy(sources, destinations) => copied.map(|()| None),
        () = work.show() => Ok(None),
        ended = signals.next() => Ok(Some(ended)),
    };
    let code = if work.failed.load(Relaxed) { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    work.close().await;
    Ok(copied?.map_or(code, |ended| ExitCode::from(ended.code)))
}

impl Work<'_> {
    /// The devices of a place, which are opened when they are needed.
    async fn reach(&mut self, place: &RemotePlace) -> Outcome<()> {
        if self.devices.iter().any(|device| device.to == place.to) {
            return Ok(());
        }
        let options = match &place.to {
            Reference::Uri(uri) => {
                let json = parse_options("--options", self.args.options.as_deref())?;
                let assignments = parse_assignments("-o", &self.args.option)?;
                assign::options(&self.manager.registry(), uri, Role::Client, json, &assignments)?
            }
            _ => Map::new(),
        };
        let destination =
            self.manager.destination(&place.to, &options).await.map_err(Failure::config)?;
        let limit = match &destination {
            Destination::Connection(managed) => managed.policy().connect_limit(),
            _ => OPENING,
        };
        let targets = destination.targets(&place.to.to_string());
        if targets.is_empty() {
            return Err(Failure::config(format!("{}: nothing can be copied there", place.to)));
        }
        self.devices.extend(targets.into_iter().map(|(name, target)| CopyDevice {
            to: place.to.clone(),
            name,
            target,
            limit,
            session: OnceCell::new(),
        }));
        Ok(())
    }

    async fn show(&self) {
        if self.args.quiet {
            std::future::pending::<()>().await;
        }
        self.progress.show().await;
    }

    async fn copy(&self, sources: &[CopyPlace], destinations: &[CopyPlace]) -> Outcome<()> {
        let sources = self.look(sources).await?;
        let goals = self.goals(destinations)?;
        let several = sources.len() > 1;
        let jobs = goals.iter().map(|goal| self.copy_to(goal, &sources, several));
        in_order(jobs, usize::from(self.args.jobs)).await;
        Ok(())
    }

    /// All that the sources name.
    async fn look(&self, places: &[CopyPlace]) -> Outcome<Vec<CopySource>> {
        let mut found = Vec::new();
        for place in places {
            match place {
                CopyPlace::Local(path) => {
                    let path = utf8(path)?;
                    self.look_at(&Files::Local, path, path.to_owned(), &mut found).await;
                }
                CopyPlace::Remote(place) => {
                    for device in self.devices.iter().filter(|device| device.to == place.to) {
                        match paths(device, place).await {
                            Err(error) => {
                                self.fail(&format!("{}:{}: {error}", device.name, place.path));
                            }
                            Ok((files, paths)) => {
                                for path in paths {
                                    self.look_at(&files, &place.path, path, &mut found).await;
                                }
                            }
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    async fn look_at(&self, files: &Files, asked: &str, path: String, found: &mut Vec<CopySource>) {
        let mut complain_of = |line: String| {
            self.failed.store(true, Relaxed);
            complain(&line);
        };
        // `a/` is the folder itself, whatever stands behind it.
        let path = if path.is_empty() { ".".to_owned() } else { path };
        match walk::look(files, &path, self.args.recursive, &mut complain_of).await {
            Ok(source) => found.push(source),
            Err(error) => self.fail(&format!("{}: {error}", files.shown(asked))),
        }
    }

    fn goals(&self, places: &[CopyPlace]) -> Outcome<Vec<Goal<'_>>> {
        let mut goals = Vec::new();
        for place in places {
            match place {
                CopyPlace::Local(path) => {
                    goals.push(Goal { device: None, path: utf8(path)?.to_owned() });
                }
                CopyPlace::Remote(place) => {
                    let devices = self.devices.iter().filter(|device| device.to == place.to);
                    let path = if place.path.is_empty() { "." } else { &place.path };
                    goals.extend(
                        devices.map(|device| Goal { device: Some(device), path: path.to_owned() }),
                    );
                }
            }
        }
        Ok(goals)
    }

    fn settings(&self) -> CopySettings {
        let CpArgs { preserve, resume, in_place, sync, .. } = *self.args;
        CopySettings { preserve, resume, in_place, sync }
    }

    /// Tells of something that is not copied, in one line.
    fn fail(&self, text: &str) {
        self.failed.store(true, Relaxed);
        complain(&one_line(&format!("error: {text}")));
    }

    async fn close(self) {
        let sessions = self.devices.into_iter().filter_map(|device| device.session.into_inner());
        // None is used any more.
        let closings = sessions.filter_map(Arc::into_inner).map(RemoteFiles::close);
        in_order(closings, usize::from(self.args.jobs)).await;
        self.manager.registry().common().stop();
        self.manager.close_all(POLITE_CLOSE).await;
        self.manager.registry().drain(POLITE_CLOSE).await;
    }
}

/// A device's files and the paths that a source means there.
async fn paths(device: &CopyDevice, place: &RemotePlace) -> Result<(Files, Vec<String>)> {
    let files = device.files().await?;
    let paths = match &files {
        Files::Remote(remote)
            if place.is_pattern() && remote.stat(&place.path).await?.is_none() =>
        {
            let found = remote.matching(&place.path).await?;
            // That nothing is found is told for the pattern.
            if found.is_empty() { vec![place.path.clone()] } else { found }
        }
        _ => vec![place.path.clone()],
    };
    Ok((files, paths))
}

fn utf8(path: &std::path::Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| Failure::config("a path is not UTF-8"))
}
