//! Connections from their definitions, in a file or at run time.

use super::Manager;
use super::entries::Entry;
use super::target_builder::{Extras, StackAt, TargetBuilder, Unbuilt};
use crate::config::model::ConnectionConfig;
use crate::config::{KeyPath, Via, is_name};
use crate::connection::{Managed, Policy};
use crate::secret;
use crate::stack::{Plan, login, options};
use jackfield_plugin_api::{Error, ErrorKind, Result, Role};
use jackfield_text::range::Problem;
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

/// The first value that is out of range, as a mistake at its key below `key`.
pub(super) fn in_range(key: &KeyPath, problems: Vec<Problem>) -> Result<()> {
    let Some(Problem { key: name, expected }) = problems.into_iter().next() else { return Ok(()) };
    let at = name.split('.').fold(key.clone(), |key, name| key.key(name));
    Err(Unbuilt::at(at, Error::new(ErrorKind::Config, expected)).into())
}

/// What a definition says about what its connection does by itself, within the limits of the host.
pub(super) fn policy(connect_limit: Duration, policy: &Policy) -> Policy {
    let connect_timeout = policy.connect_timeout.or(Some(connect_limit));
    Policy { connect_timeout, ..policy.clone() }
}

impl Manager {
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
                let managed = self.define_unnamed(&entry.name, config, false).await?;
                Ok::<_, Error>(Arc::new(managed))
            };
            entry.managed.get_or_try_init(build).await.cloned()
        })
    }

    /// Makes the connection that a program defines, and enters it nowhere; `kept` ones may hold no secret
    /// written out.
    pub(super) async fn define_unnamed(
        &self,
        name: &str,
        config: &ConnectionConfig,
        kept: bool,
    ) -> Result<Managed> {
        check_name(name)?;
        in_range(&KeyPath::from_iter(["connections", name]), config.problems())?;
        if kept {
            let carried = config.via.is_some();
            let plan = Plan::new(&config.uri, &self.core.registry(), Role::Client, carried)?;
            refuse_secrets(&plan, config)?;
            if matches!(&config.via, Some(Via::Uri(uri)) if uri.password.is_some()) {
                let text = "a definition that is kept holds no password: via names a connection that has it";
                return Err(Error::new(ErrorKind::Config, text));
            }
        }
        Ok(self.make_connection(&self.run_time_builder(), name, config).await?)
    }

    /// Makes a connection of its definition, wherever that stands.
    pub(super) async fn make_connection(
        &self,
        builder: &TargetBuilder<'_>,
        name: &str,
        config: &ConnectionConfig,
    ) -> Result<Managed, Unbuilt> {
        let key = KeyPath::from_iter(["connections", name]);
        let at = StackAt {
            is_carried: config.via.is_some(),
            login: config.login.as_ref(),
            ..StackAt::client(key, &config.uri, &config.options)
        };
        let extras = Extras {
            interceptors: &config.interceptors,
            call_timeouts: Some(&config.policy.call_timeouts),
            ..Extras::default()
        };
        let target = builder.target(&at, &extras, self.dials(config.via.as_ref()).await).await?;
        let policy = policy(self.core.connect_limit(), &config.policy);
        let (labels, lives) = (config.labels.clone(), Arc::clone(&self.core.named.lives));
        Ok(Managed::counted(name, Arc::new(target), policy, labels, lives))
    }

    /// Whether the stack of `entry` has that driver, without building it.
    pub(super) fn has_driver(&self, entry: &Entry, driver: &str) -> bool {
        let has = |stack: &str| stack.split('+').any(|part| part == driver);
        let registry = self.core.registry();
        match (entry.managed.get(), &entry.config) {
            (Some(managed), _) => has(&managed.target().stack().name()),
            (None, Some(config)) => config.uri.layers.iter().any(|layer| {
                layer == driver
                    || registry.scheme(layer).is_ok_and(|scheme| has(&scheme.manifest.stack))
            }),
            (None, None) => false,
        }
    }
}

/// What is kept in a file must hold no secret, only where it is.
pub(super) fn refuse_secrets(plan: &Plan, config: &ConnectionConfig) -> Result<()> {
    let refuse = |what: String| {
        let text = format!(
            "{what} is a secret written out, which the state directory does not keep; refer to it: \
             {{ env = \"NAME\" }}, {{ file = \"PATH\" }}, {{ command = [\"PROGRAM\"] }} or {{ prompt = \"TEXT\" }}"
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
