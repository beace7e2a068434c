//! Where the admin API listens: places that are taken, served, and added and left while it runs.

use super::AdminControls;
use super::roles::RoleTable;
use super::server::{self, AdminApi, AdminSettings, ConnectionRoom};
use super::socket::{AdminSocket, usual_place};
use super::tokens::TokenTable;
use crate::config::diff::{Changes, ObjectId, ObjectKind};
use crate::config::model::AdminPlace;
use crate::config::{ConfigError, ConfigErrors, KeyPath, Loaded, Reference};
use crate::handover::Handover;
use crate::lock::IgnorePoison;
use crate::manager::Manager;
use crate::reload::{Adoption, ConfigFollower};
use jackfield_timers::timeout;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long answers that are under way may take when the host has stopped.
const END: Duration = Duration::from_secs(1);

/// What is wrong with an address where nobody could show who he is.
const WITHOUT_TOKENS: &str =
    "expected the key admin.tokens, with the file of those who may ask over TCP";

/// What is wrong with a route that leads here and would let nobody in.
const WITHOUT_ANYBODY: &str = "expected the key admin.tokens, or a certificate in admin.admin, admin.operator or \
                               admin.viewer, such as \"certificate:CN=ops\": nobody else could ask over a route";

/// The place that is taken where the configuration names none.
const USUAL: &str = "";

/// Sockets by what `admin.listen` says of them.
type Sockets = BTreeMap<String, Arc<AdminSocket>>;

/// What the admin API is to be, with the places that are not taken yet.
struct PlannedAdmin {
    settings: AdminSettings,
    /// All places where it is to listen.
    wanted: BTreeSet<String>,
    new: Sockets,
}

/// Checks `[admin]`, and takes the places that it names and `known` has not.
///
/// # Errors
/// A place that is named and cannot be taken, and users, groups and tokens that are not as they should be.
fn plan(
    loaded: &Loaded,
    handover: &Handover,
    (known, takes): (&BTreeSet<String>, bool),
) -> Result<PlannedAdmin, ConfigErrors> {
    let config = loaded.config.admin.clone();
    let at = KeyPath::from_iter(["admin"]);
    let wrong = |key: KeyPath, message: String| {
        let error = ConfigError::new(loaded.sources.locate(&key), key, message);
        ConfigErrors::new(vec![error])
    };
    let roles = RoleTable::of(&config)
        .map_err(|(key, index, expected)| wrong(at.key(key).index(index), expected))?;
    let tokens = config.tokens.as_ref().map(|file| loaded.file_name(&at.key("tokens"), file));
    if let Some(file) = &tokens {
        TokenTable::read(file).map_err(|why| wrong(at.key("tokens"), why))?;
    }
    let nobody = tokens.is_none() && !roles.has_certificates();
    let mut routes = loaded.config.routes.iter();
    if let Some(index) = routes.position(|route| route.to == Reference::Admin).filter(|_| nobody) {
        let key = KeyPath::from_iter(["routes"]).index(index).key("to");
        return Err(wrong(key, WITHOUT_ANYBODY.to_owned()));
    }
    let settings = AdminSettings { config, roles, tokens };
    let (mut wanted, mut new) = (BTreeSet::new(), Sockets::new());
    let usual = vec![USUAL.to_owned()];
    let places = settings.config.listen.as_ref().unwrap_or(&usual);
    for (index, place) in places.iter().enumerate() {
        wanted.insert(place.clone());
        if settings.tokens.is_none() && matches!(AdminPlace::of(place), Some(AdminPlace::Tcp(_))) {
            return Err(wrong(at.key("listen").index(index), WITHOUT_TOKENS.to_owned()));
        }
        if !takes || known.contains(place) || new.contains_key(place) {
            continue;
        }
        match take(place, &settings, handover) {
            Ok(socket) => drop(new.insert(place.clone(), socket)),
            Err(why) if place == USUAL => {
                tracing::info!(why, "no admin API: its usual place cannot be taken");
            }
            Err(why) => return Err(wrong(at.key("listen").index(index), why)),
        }
    }
    Ok(PlannedAdmin { settings, wanted, new })
}

fn take(
    place: &str,
    settings: &AdminSettings,
    handover: &Handover,
) -> Result<Arc<AdminSocket>, String> {
    let for_all = settings.roles.lets_others_in();
    if place == USUAL {
        return AdminSocket::bind(&usual_place(), for_all, handover);
    }
    match AdminPlace::of(place) {
        Some(AdminPlace::Named(name)) => AdminSocket::named(name, handover),
        Some(AdminPlace::Path(path)) => AdminSocket::bind(Path::new(path), for_all, handover),
        Some(AdminPlace::Tcp(address)) => AdminSocket::tcp(address, handover),
        None => Err("expected \"unix:PATH\" or \"socket:NAME\"".to_owned()),
    }
}

/// Places that are taken, and not served yet: who connects waits.
pub struct AdminSockets(PlannedAdmin);

impl std::fmt::Debug for AdminSockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.places()).finish()
    }
}

impl AdminSockets {
    /// Takes the places that `[admin] listen` of a configuration names. Where it names none, the usual one is taken;
    /// if that cannot be, the log says so and there is none. Has to be called inside a runtime.
    ///
    /// # Errors
    /// A place that is named and cannot be taken, and users and groups that this machine does not have.
    pub fn bind(loaded: &Loaded) -> Result<Self, ConfigErrors> {
        Self::bind_with(loaded, &Handover::default())
    }

    /// As [`AdminSockets::bind`]; what was handed over is taken in place of what would be bound.
    pub(crate) fn bind_with(loaded: &Loaded, handover: &Handover) -> Result<Self, ConfigErrors> {
        plan(loaded, handover, (&BTreeSet::new(), true)).map(AdminSockets)
    }

    /// Checks `[admin]` and the routes that lead there; nothing is taken.
    ///
    /// # Errors
    /// As [`AdminSockets::bind`], but for places that cannot be taken.
    pub fn check(loaded: &Loaded) -> Result<(), ConfigErrors> {
        plan(loaded, &Handover::default(), (&BTreeSet::new(), false)).map(drop)
    }

    /// Where they are.
    pub fn places(&self) -> Vec<String> {
        self.0.new.values().map(|socket| socket.place.clone()).collect()
    }

    /// Answers there for `manager`, until the end of what this gives, with what `controls` change. With a reloader among
    /// them it takes over changes of `[admin]`.
    pub fn serve(self, manager: Manager, controls: AdminControls) -> AdminServer {
        let PlannedAdmin { settings, new, .. } = self.0;
        let reloader = controls.reloader.clone();
        let api = AdminApi::new(manager, settings, controls);
        let open = OpenPlaces { api, room: ConnectionRoom::default(), open: Mutex::default() };
        let open = Arc::new(open);
        open.add(new);
        let service: Weak<OpenPlaces> = Arc::downgrade(&open);
        open.api.manager.admin_slot().fill(service);
        if let Some(reloader) = reloader {
            reloader.follow(Arc::new(AdminFollower(Arc::downgrade(&open))));
        }
        AdminServer { open }
    }
}

/// The places where an admin API answers.
pub(super) struct OpenPlaces {
    api: Arc<AdminApi>,
    room: ConnectionRoom,
    open: Mutex<HashMap<String, OpenPlace>>,
}

struct OpenPlace {
    /// With the last handle its socket is closed.
    socket: Weak<AdminSocket>,
    stop: watch::Sender<bool>,
    /// Ends with this.
    serving: JoinSet<()>,
}

impl OpenPlaces {
    /// What connections need, and what they count for.
    pub(super) fn parts(&self) -> (Arc<AdminApi>, ConnectionRoom) {
        (Arc::clone(&self.api), self.room.clone())
    }

    fn add(&self, sockets: Sockets) {
        let mut open = self.open.lock().ignore_poison();
        for (entry, socket) in sockets {
            tracing::info!(socket = socket.place, "admin API");
            let (stop, told) = watch::channel(false);
            let (api, room, kept) =
                (Arc::clone(&self.api), self.room.clone(), Arc::downgrade(&socket));
            let mut serving = JoinSet::new();
            serving.spawn(server::serve(api, socket, room, told));
            open.insert(entry, OpenPlace { socket: kept, stop, serving });
        }
    }

    fn known(&self) -> BTreeSet<String> {
        self.open.lock().ignore_poison().keys().cloned().collect()
    }

    /// Leaves places, and lets answers that are under way end.
    fn leave(&self, is_left: impl Fn(&str) -> bool) {
        let mut open = self.open.lock().ignore_poison();
        for (entry, place) in open.extract_if(|entry, _| is_left(entry)) {
            let socket = place.socket.upgrade().map_or(entry, |socket| socket.place.clone());
            tracing::info!(socket, "no admin API there any more");
            tokio::spawn(place.end());
        }
    }

    fn adopt(&self, planned: PlannedAdmin) {
        let for_all = planned.settings.roles.lets_others_in();
        let was_for_all = self.api.settings().roles.lets_others_in();
        self.api.configure(planned.settings);
        self.add(planned.new);
        self.leave(|entry| !planned.wanted.contains(entry));
        if for_all != was_for_all {
            let open = self.open.lock().ignore_poison();
            let sockets = open.values().filter_map(|place| place.socket.upgrade());
            sockets.for_each(|socket| socket.let_in(for_all));
        }
    }
}

impl OpenPlace {
    async fn end(mut self) {
        self.stop.send_replace(true);
        let ended = timeout(END, async { while self.serving.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::debug!("answers of the admin API were cut");
        }
    }
}

/// Takes over changes of `[admin]`.
struct AdminFollower(Weak<OpenPlaces>);

impl ConfigFollower for AdminFollower {
    fn prepare(
        &self,
        loaded: &Loaded,
        changes: &Changes,
        dry_run: bool,
    ) -> Result<Adoption, ConfigErrors> {
        let nothing: Adoption = Box::new(|| ());
        let Some(open) = self.0.upgrade() else { return Ok(nothing) };
        let is_same = changes.of(&ObjectId::new(ObjectKind::Admin, "")).is_none();
        let leads_here = loaded.config.routes.iter().any(|route| route.to == Reference::Admin);
        if is_same && !leads_here {
            return Ok(nothing);
        }
        let registry = open.api.manager.registry();
        let handover = registry.common().handover();
        let planned = plan(loaded, handover, (&open.known(), !dry_run))?;
        Ok(Box::new(move || open.adopt(planned)))
    }
}

/// An admin API that answers; dropped, it ends at once.
#[must_use = "dropped, it answers no more"]
pub struct AdminServer {
    open: Arc<OpenPlaces>,
}

impl std::fmt::Debug for AdminServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminServer").field("places", &self.open.known()).finish_non_exhaustive()
    }
}

impl AdminServer {
    /// From now on says that the host is stopping: it answers as before, but is not ready.
    pub fn note_stopping(&self) {
        self.open.api.stopping.store(true, Ordering::Relaxed);
    }

    /// Ends: takes nothing new, and waits a second at most for answers that are under way.
    pub async fn stop(self) {
        let places = std::mem::take(&mut *self.open.open.lock().ignore_poison());
        self.open.api.streams.close().await;
        let mut ending: JoinSet<()> = places.into_values().map(OpenPlace::end).collect();
        while ending.join_next().await.is_some() {}
    }
}
