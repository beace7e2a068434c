//! [`SnmpEndpoint`]: options, once checked, and what the connections of one place share.

use crate::mib::Names;
use crate::options::{SnmpOptions, Transport, Version};
use crate::usm::engine::Own;
use crate::usm::hash::AuthProtocol;
use crate::usm::keys::{Algorithms, User};
use jackfield_plugin_api::{Address, Error, ErrorKind, Host, Result, Role, Secret};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The community that everybody knows.
const PUBLIC: &str = "public";

/// What many connections share.
pub struct SnmpEndpoint {
    pub(crate) options: SnmpOptions,
    pub(crate) timeout: Duration,
    pub(crate) from: Option<SocketAddr>,
    /// The engine that the peer must be.
    pub(crate) engine: Option<Vec<u8>>,
    /// Our own engine, where the options say it or we listen.
    pub(crate) own: Option<Own>,
    /// Who may send to a listener.
    pub(crate) known: Known,
    /// What objects are called.
    pub(crate) names: Names,
    /// The last user that was made of an address and these options: its keys cost time.
    user: Mutex<Option<Made>>,
    salt: AtomicU64,
}

/// A user, and what it was made of.
struct Made {
    name: String,
    password: Option<Secret>,
    user: Arc<User>,
}

/// Who may send to a listener.
#[derive(Default)]
pub(crate) struct Known {
    /// Names and communities.
    pub(crate) communities: Vec<(String, Secret)>,
    /// Users, with the engine that each sends from.
    pub(crate) users: Vec<(Arc<User>, Option<Vec<u8>>)>,
}

/// Who we are to a peer.
pub(crate) enum Credentials {
    Community(Version, Secret),
    User(Arc<User>),
}

impl SnmpEndpoint {
    pub(crate) fn new(host: &Host, options: SnmpOptions, role: Role) -> Result<Self> {
        let wrong = |_| Error::option("timeout", "expected seconds, such as 2 or 0.5");
        let timeout = Duration::try_from_secs_f64(options.timeout).map_err(wrong)?;
        let engine =
            options.engine_id.as_deref().map(|text| engine_id("engine_id", text)).transpose()?;
        let own = options.local_engine_id.as_deref();
        let own = own.map(|text| engine_id("local_engine_id", text)).transpose()?;
        let own = own.or_else(|| (role == Role::Server).then(Own::random_id));
        let known = match role {
            Role::Server => known(&options)?,
            Role::Client if !options.communities.is_empty() => {
                return Err(Error::option(
                    "communities",
                    "is for listeners; a client has `community`",
                ));
            }
            Role::Client if !options.users.is_empty() => {
                return Err(Error::option("users", "is for listeners; a client has `user`"));
            }
            Role::Client => Known::default(),
        };
        let from = local(options.bind.as_deref())?;
        let endpoint = SnmpEndpoint {
            timeout,
            from,
            engine,
            own: own.map(|id| Own::new(id, host.now())),
            known,
            names: Names::of_files(&options.mib_files)?,
            user: Mutex::default(),
            salt: AtomicU64::new(fastrand::u64(..)),
            options,
        };
        endpoint.check(role)?;
        Ok(endpoint)
    }

    /// Looks at what fits together, as far as that can be said without an address.
    fn check(&self, role: Role) -> Result<()> {
        let options = &self.options;
        if role == Role::Server {
            return Ok(());
        }
        if options.version == Version::V3 {
            if options.community.is_some() {
                return Err(Error::option(
                    "community",
                    "is for the versions v1 and v2c; v3 has `user`",
                ));
            }
            // Whatever the address adds, these must be right by themselves.
            if let (Some(user), true) = (
                &options.user,
                options.auth_password.is_some() || options.auth == AuthProtocol::None,
            ) {
                self.made(user, options.auth_password.as_ref())?;
            }
            return Ok(());
        }
        let of_v3 = [
            ("user", options.user.is_some()),
            ("auth", options.auth != AuthProtocol::None),
            ("auth_password", options.auth_password.is_some()),
            ("privacy_password", options.privacy_password.is_some()),
            ("context", !options.context.is_empty()),
        ];
        match of_v3.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(Error::option(name, "needs `version = \"v3\"`")),
            None => Ok(()),
        }
    }

    /// Who we are to the peer at `address`. Of version 3 it may take some milliseconds.
    ///
    /// # Errors
    /// Neither options nor address say it, or what they say does not fit.
    pub(crate) fn credentials(&self, address: &Address) -> Result<Credentials> {
        let options = &self.options;
        if options.version != Version::V3 {
            return self.community(address).map(|it| Credentials::Community(options.version, it));
        }
        let user = address.user.as_deref().or(options.user.as_deref()).ok_or_else(|| {
            let text = "must be there with version v3, here or in the URI: snmp://USER@host";
            Error::option("user", text)
        })?;
        let password = address.password.as_ref().or(options.auth_password.as_ref());
        self.made(user, password).map(Credentials::User)
    }

    fn community(&self, address: &Address) -> Result<Secret> {
        if let Some(community) = address.password.as_ref().or(self.options.community.as_ref()) {
            return Ok(community.clone());
        }
        match address.user.as_deref() {
            Some(PUBLIC) => Ok(Secret::new(PUBLIC)),
            Some(_) => {
                let text = "a community other than `public` is a secret, and the user of a URI is shown: write it as \
                            snmp://:COMMUNITY@host, or as { env = … } or { file = … }";
                Err(Error::option("community", text))
            }
            None => {
                let text = "must be there with the versions v1 and v2c, here or in the URI: snmp://:COMMUNITY@host";
                Err(Error::option("community", text))
            }
        }
    }

    fn made(&self, name: &str, password: Option<&Secret>) -> Result<Arc<User>> {
        let mut last = self.user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*last
            && made.name == name
            && made.password.as_ref() == password
        {
            return Ok(Arc::clone(&made.user));
        }
        let options = &self.options;
        let algorithms = Algorithms {
            auth: options.auth,
            privacy: options.privacy,
            weak: options.danger_weak_algorithms,
        };
        let private = options.privacy_password.as_ref();
        let user = Arc::new(User::new(name, algorithms, password, private)?);
        let (name, password) = (name.to_owned(), password.cloned());
        *last = Some(Made { name, password, user: Arc::clone(&user) });
        Ok(user)
    }

    /// Eight bytes that were not given before.
    pub(crate) fn salt(&self) -> [u8; 8] {
        self.salt.fetch_add(1, Ordering::Relaxed).to_be_bytes()
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.options.transport == Transport::Tcp
    }

    pub(crate) fn max_message(&self) -> usize {
        size(self.options.max_message)
    }
}

/// A number of options as one of this machine.
pub(crate) fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn known(options: &SnmpOptions) -> Result<Known> {
    let mut known = Known::default();
    for it in &options.communities {
        let community = it.community.clone().filter(|it| !it.expose().is_empty());
        let community =
            community.ok_or_else(|| Error::option("communities", "each needs a `community`"))?;
        if it.name.is_empty() {
            return Err(Error::option(
                "communities",
                "each needs a `name`, by which messages and events tell it",
            ));
        }
        known.communities.push((it.name.clone(), community));
    }
    for it in &options.users {
        let weak = options.danger_weak_algorithms;
        let algorithms = Algorithms { auth: it.auth, privacy: it.privacy, weak };
        let user = User::new(
            &it.name,
            algorithms,
            it.auth_password.as_ref(),
            it.privacy_password.as_ref(),
        );
        let user = user.map_err(|error| {
            Error::new(ErrorKind::Config, format!("user {:?}: {}", it.name, error.message()))
                .with("option", "users")
        })?;
        let engine =
            it.engine_id.as_deref().map(|text| engine_id("engine_id", text)).transpose()?;
        known.users.push((Arc::new(user), engine));
    }
    if known.communities.is_empty() && known.users.is_empty() {
        let text =
            "a listener needs whom it takes notifications from: `communities`, `users` or both";
        return Err(Error::option("communities", text));
    }
    Ok(known)
}

/// The local address that options name.
fn local(bind: Option<&str>) -> Result<Option<SocketAddr>> {
    let Some(text) = bind else { return Ok(None) };
    let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0)));
    let wrong = |_| Error::option("bind", format!("{text:?} is neither IP nor IP:PORT"));
    address.map(Some).map_err(wrong)
}

/// The name of an engine, from hexadecimal digits.
fn engine_id(option: &str, text: &str) -> Result<Vec<u8>> {
    let id = crate::json::unhex(text.strip_prefix("0x").unwrap_or(text));
    id.filter(|id| (5..=32).contains(&id.len())).ok_or_else(|| {
        let text = format!(
            "expected 5 to 32 bytes as hexadecimal digits, such as 8000000001020304, not {text:?}"
        );
        Error::option(option, text)
    })
}
