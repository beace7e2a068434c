//! Building a connection from its definition at run time.

use super::entries::Entry;
use super::graph::Graph;
use crate::config::model::ConnectionConfig;
use crate::config::{Via, is_name};
use crate::connection::{Managed, Policy, Reconnect, Target};
use crate::secret::{self, Resolver};
use crate::stack::{Plan, Stack, StackError, login, options};
use jackfield_plugin_api::{Error, ErrorKind, Result, Role};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Whether something may have that name.
pub(super) fn check_name(name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    let text = format!(
        "{name:?} is no name: expected a-z, 0-9, _ . and -, beginning with a letter or digit, at \
         most 64 characters"
    );
    Err(Error::new(ErrorKind::Config, text))
}

/// What a definition says about what its connection does by itself.
pub(super) fn policy(connect_limit: Duration, connection: &ConnectionConfig) -> Policy {
    let again = &connection.reconnect;
    Policy {
        connect_timeout: connection.connect_timeout.map_or(connect_limit, |limit| limit.0),
        call_timeout: connection.call_timeout.0,
        keepalive: connection.keepalive.0,
        keepalive_timeout: connection.keepalive_timeout.0,
        keepalive_count: u32::from(connection.keepalive_count),
        idle_timeout: connection.idle_timeout.0,
        post_queue: connection.post_queue as usize,
        post_bytes: usize::try_from(connection.post_bytes.0).unwrap_or(usize::MAX),
        reconnect: Reconnect {
            attempts: u32::try_from(again.attempts).ok(),
            first_delay: again.first_delay.0,
            factor: again.factor,
            max_delay: again.max_delay.0,
            jitter: again.jitter,
            total: (!again.total.is_zero()).then_some(again.total.0),
            initial: again.initial,
        },
    }
}

impl Graph {
    /// The connection of an entry, built now if it was restored.
    pub(super) fn built<'a>(
        &'a self,
        entry: &'a Arc<Entry>,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Managed>>> + Send + 'a>> {
        // A via of a via: without the box the future would contain itself.
        Box::pin(async move {
            let build = || async {
                let gone = || Error::new(ErrorKind::Other, "a definition without a configuration");
                let config = entry.config.as_ref().ok_or_else(gone)?;
                let managed = self.build_connection(&entry.name, config, false).await?;
                Ok::<_, Error>(Arc::new(managed))
            };
            entry.managed.get_or_try_init(build).await.cloned()
        })
    }

    /// Builds a connection; `kept` ones may hold no secret written out.
    pub(super) async fn build_connection(
        &self,
        name: &str,
        config: &ConnectionConfig,
        kept: bool,
    ) -> Result<Managed> {
        check_name(name)?;
        if let Some((key, expected)) = config.problems().into_iter().next() {
            let text = format!("{key}: {expected}");
            return Err(Error::new(ErrorKind::Config, text).with("connection", name));
        }
        let plan = Plan::new(&config.uri, &self.registry, Role::Client, config.via.is_some())?;
        if kept {
            refuse_secrets(&plan, config)?;
        }
        let via = self.carrier(config.via.as_ref()).await?;
        let made = Stack::new(plan, &config.options, Role::Client, &Resolver::default()).await;
        let stack = made.map_err(|error| Error::from(error).with("connection", name))?;
        let stack = match &config.login {
            Some(login) => {
                let login = login::login(login, &Resolver::default()).await;
                let login = login.map_err(|problems| Error::from(StackError::Options(problems)));
                stack.logging_in(Some(login.map_err(|error| error.with("key", "login"))?))
            }
            None => stack,
        };
        let interceptors = self.interceptors.all_listed(&config.interceptors);
        let interceptors = interceptors.map_err(|error| error.with("key", "interceptors"))?;
        let target = Arc::new(Target::new(stack, via).intercepted(interceptors));
        let policy = policy(self.connect_limit, config);
        let lives = Arc::clone(&self.named.lives);
        Ok(Managed::counted(name, target, policy, config.labels.clone(), lives))
    }

    /// What `via` means, if anything.
    pub(super) async fn carrier(&self, via: Option<&Via>) -> Result<Option<Arc<Managed>>> {
        let via = match via {
            Some(Via::Connection(via)) => Some(self.connection(via).await),
            Some(Via::Device(to)) => {
                let device = self.devices.get(&to.device);
                let path = device.and_then(|device| device.path(to.path.as_deref()));
                Some(path.map(|path| Arc::clone(path.managed())))
            }
            None => None,
        };
        via.transpose().map_err(|error| error.with("key", "via"))
    }

    /// Whether the stack of `entry` has that driver, without building it.
    pub(super) fn has_driver(&self, entry: &Entry, driver: &str) -> bool {
        let has = |stack: &str| stack.split('+').any(|part| part == driver);
        match (entry.managed.get(), &entry.config) {
            (Some(managed), _) => has(&managed.target().stack().name()),
            (None, Some(config)) => config.uri.layers.iter().any(|layer| {
                let scheme = self.registry.scheme(layer).ok();
                layer == driver || scheme.is_some_and(|scheme| has(&scheme.manifest.stack))
            }),
            (None, None) => false,
        }
    }
}

/// What is kept in a file must hold no secret, only where it is.
fn refuse_secrets(plan: &Plan, config: &ConnectionConfig) -> Result<()> {
    let refuse = |what: String| {
        let text = format!(
            "{what} is a secret written out, which the state directory does not keep; refer to it: \
             {{ env = \"NAME\" }}, {{ file = \"PATH\" }} or {{ command = [\"PROGRAM\"] }}"
        );
        Err(Error::new(ErrorKind::Config, text))
    };
    if config.uri.password.is_some() {
        return refuse("the password of the URI".to_owned());
    }
    if let Some(login) = &config.login {
        let findings = secret::check(login, login::schema());
        if findings.iter().any(|finding| finding.problem.is_warning()) {
            return refuse("login.password".to_owned());
        }
    }
    for layer in options::share_out(plan, &config.options) {
        let findings = secret::check(&layer.options, &layer.driver.manifest.options);
        if let Some(finding) = findings.iter().find(|finding| finding.problem.is_warning()) {
            let path = layer.path.join("/");
            return refuse(format!("option {path}{}", finding.pointer));
        }
    }
    Ok(())
}
