//! [`TargetBuilder`]: the one way from a definition to a [`Target`], whether it stands in a file, comes from
//! a program at run time or from the command line.
//!
//! Files are meant from the folder of the file that the definition stands in, or from the working directory
//! if it stands in none. What is wrong is told with the key it stands at: [`BuildFault`].

use super::becoming::Becoming;
use super::credentials::{Credentials, Merged};
use super::interceptors::Interceptors;
use crate::config::{KeyPath, Options, SourceMap};
use crate::connection::{Managed, Target};
use crate::dialogue::{self, Login};
use crate::driver::{DriverHandle, Registry};
use crate::nearest::did_you_mean;
use crate::secret::{self, Resolver};
use crate::stack::uri::StackUri;
use crate::stack::{OptionProblem, Plan, Stack, StackError, login, options};
use jackfield_plugin_api::{Error, ErrorKind, Facets, Result, Role};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Whether programs that secrets come from are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// They are.
    Run,
    /// What needs one is held against the schemas of its drivers, and not put in place.
    Leave,
}

/// Something wrong with a definition.
#[derive(Debug)]
pub(super) struct BuildFault {
    /// Where it stands.
    pub(super) key: KeyPath,
    pub(super) error: Error,
    /// The nearest name that there is.
    pub(super) near: Option<String>,
    /// Whether the key itself is at fault, and not its value.
    pub(super) is_name: bool,
}

impl BuildFault {
    /// A value at fault.
    pub(super) fn new(key: KeyPath, error: Error) -> Self {
        BuildFault { key, error, near: None, is_name: false }
    }
}

impl fmt::Display for BuildFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.segments().is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.error)?;
        match &self.near {
            Some(near) => write!(f, " (did you mean {near:?}?)"),
            None => Ok(()),
        }
    }
}

/// Why a definition gave nothing.
#[derive(Debug)]
pub(super) enum Unbuilt {
    /// It has mistakes.
    Faults(Vec<BuildFault>),
    /// What it refers to is not there: by a mistake of its own if that has a place in the configuration.
    Missing(Vec<BuildFault>),
    /// Its secrets come from programs, which are not to be run; no mistake was found without them.
    NeedsProgram(Vec<KeyPath>),
}

/// What several pieces of one thing lack.
#[derive(Default)]
pub(super) struct Lacking {
    faults: Vec<BuildFault>,
    missing: Vec<BuildFault>,
    programs: Vec<KeyPath>,
}

impl Lacking {
    /// Remembers why there is nothing.
    pub(super) fn keep<T>(&mut self, built: Result<T, Unbuilt>) -> Option<T> {
        match built {
            Ok(built) => return Some(built),
            Err(Unbuilt::Faults(faults)) => self.faults.extend(faults),
            Err(Unbuilt::Missing(missing)) => self.missing.extend(missing),
            Err(Unbuilt::NeedsProgram(keys)) => self.programs.extend(keys),
        }
        None
    }

    /// `made`, if nothing is lacking.
    pub(super) fn done<T>(self, made: T) -> Result<T, Unbuilt> {
        let Lacking { faults, missing, programs } = self;
        if !faults.is_empty() {
            return Err(Unbuilt::Faults(faults));
        }
        if !programs.is_empty() {
            return Err(Unbuilt::NeedsProgram(programs));
        }
        if missing.is_empty() { Ok(made) } else { Err(Unbuilt::Missing(missing)) }
    }
}

impl Unbuilt {
    /// One value at fault.
    pub(super) fn at(key: KeyPath, error: Error) -> Self {
        Unbuilt::Faults(vec![BuildFault::new(key, error)])
    }

    /// What is referred to at `key` is not there.
    pub(super) fn missing(key: KeyPath, error: Error) -> Self {
        Unbuilt::Missing(vec![BuildFault::new(key, error)])
    }

    /// What was looked over without running the programs that its secrets come from.
    pub(super) fn without_programs(key: &KeyPath, found: Vec<BuildFault>) -> Self {
        if found.is_empty() {
            return Unbuilt::NeedsProgram(vec![key.clone()]);
        }
        Unbuilt::Faults(found)
    }

    /// Both, or what either of them lacks.
    pub(super) fn both<A, B>(
        one: Result<A, Unbuilt>,
        other: Result<B, Unbuilt>,
    ) -> Result<(A, B), Unbuilt> {
        let mut lacking = Lacking::default();
        match (lacking.keep(one), lacking.keep(other)) {
            (Some(one), Some(other)) => Ok((one, other)),
            _ => lacking.done(()).and_then(|()| {
                Err(Unbuilt::at(
                    KeyPath::root(),
                    Error::new(ErrorKind::Other, "no target was built"),
                ))
            }),
        }
    }
}

/// As a program is told that defined it.
impl From<Unbuilt> for Error {
    fn from(unbuilt: Unbuilt) -> Self {
        let faults = match unbuilt {
            Unbuilt::Missing(faults) | Unbuilt::Faults(faults) => faults,
            Unbuilt::NeedsProgram(keys) => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                let keys = keys.join(", ");
                let text = format!("{keys}: secrets come from programs, which are not run");
                return Error::new(ErrorKind::Config, text);
            }
        };
        let kind = faults.first().map_or(ErrorKind::Config, |fault| fault.error.kind());
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Error::new(kind, texts.join("; "))
    }
}

/// One stack: what is said of it and where.
pub(super) struct StackAt<'a> {
    /// The table or text that says it.
    pub(super) key: KeyPath,
    /// The key of the URI itself.
    pub(super) uri_key: KeyPath,
    pub(super) uri: &'a StackUri,
    pub(super) options: &'a Options,
    pub(super) role: Role,
    /// Whether something else carries it (`via`).
    pub(super) is_carried: bool,
    /// What is said of logging in.
    pub(super) login: Option<&'a Options>,
}

impl<'a> StackAt<'a> {
    /// A stack to connect by, of which the table at `key` has `uri` and `options`.
    pub(super) fn client(key: KeyPath, uri: &'a StackUri, options: &'a Options) -> Self {
        let (uri_key, role) = (key.key("uri"), Role::Client);
        StackAt { key, uri_key, uri, options, role, is_carried: false, login: None }
    }
}

/// What is said of a target beside its stack.
#[derive(Default)]
pub(super) struct Extras<'a> {
    /// Names of credentials, in the order they are tried.
    pub(super) credentials: Vec<&'a str>,
    /// The role whose options they have.
    pub(super) role: Option<&'a str>,
    pub(super) interceptors: &'a [String],
    pub(super) call_timeouts: Option<&'a BTreeMap<String, Duration>>,
}

/// Makes targets, and the stacks of listeners.
pub(super) struct TargetBuilder<'a> {
    pub(super) registry: Arc<Registry>,
    pub(super) interceptors: Arc<Interceptors>,
    pub(super) credentials: Arc<Credentials>,
    /// What connections are about to become, that others are built on.
    pub(super) becoming: &'a Becoming,
    /// Where definitions stand.
    pub(super) sources: &'a SourceMap,
    pub(super) programs: Programs,
}

/// Where a definition stands that stands in no file.
pub(super) static NOWHERE: LazyLock<SourceMap> = LazyLock::new(SourceMap::default);

impl TargetBuilder<'_> {
    /// A target with all its credentials and interceptors, dialled by `via`, if that is there.
    pub(super) async fn target(
        &self,
        at: &StackAt<'_>,
        extras: &Extras<'_>,
        via: Result<Option<Arc<Managed>>>,
    ) -> Result<Target, Unbuilt> {
        let mut stacks = self.stacks(at, extras).await?.into_iter();
        let none = || Unbuilt::at(at.key.clone(), Error::new(ErrorKind::Other, "no stack"));
        let first = stacks.next().ok_or_else(none)?;
        if let (Some(timeouts), []) = (extras.call_timeouts, extras.interceptors) {
            check_call_timeouts(&at.key, timeouts, &first)?;
        }
        let interceptors = self.interceptors.all_listed(extras.interceptors);
        let interceptors =
            interceptors.map_err(|error| Unbuilt::missing(at.key.key("interceptors"), error))?;
        let via = via.map_err(|error| Unbuilt::missing(at.key.key("via"), error))?;
        if let Some(via) = &via {
            self.dials(via).map_err(|error| Unbuilt::at(at.key.key("via"), error))?;
        }
        Ok(Target::new(first, via).or_else(stacks.collect()).intercepted(interceptors))
    }

    /// What `via` leads to must be able to dial, as far as its driver declares.
    fn dials(&self, via: &Managed) -> Result<()> {
        let target = self.becoming.target_of(via);
        let Some(top) = target.stack().top() else { return Ok(()) };
        if top.manifest.facets.contains(Facets::DIAL) {
            return Ok(());
        }
        let can = |driver: &&Arc<DriverHandle>| driver.manifest.facets.contains(Facets::DIAL);
        let known: Vec<&str> = self.registry.drivers().filter(can).map(|it| it.name()).collect();
        let text = format!(
            "expected a connection that can dial for another ({}), and {} is one of {}",
            known.join(", "),
            via.name(),
            top.name()
        );
        Err(Error::new(ErrorKind::Config, text))
    }

    /// The stack with each of its credentials, in the order they are tried.
    async fn stacks(&self, at: &StackAt<'_>, extras: &Extras<'_>) -> Result<Vec<Stack>, Unbuilt> {
        let Extras { credentials: names, role, .. } = extras;
        let key = if role.is_some() { "credentials_role" } else { "credentials" };
        let misnamed = |error| Unbuilt::at(at.key.key("login"), error);
        if names.is_empty() {
            let login = at.login.map(|login| self.credentials.login(login, None)).transpose();
            let login = login.map_err(misnamed)?;
            let with = StackAt {
                key: at.key.clone(),
                uri_key: at.uri_key.clone(),
                login: login.as_ref(),
                ..*at
            };
            return Ok(vec![self.stack(&with).await?]);
        }
        let plan = Plan::new(at.uri, &self.registry, at.role, at.is_carried);
        let plan = plan.map_err(|error| Unbuilt::at(at.uri_key.clone(), error))?;
        let (mut stacks, mut lacking) = (Vec::new(), Lacking::default());
        for name in names {
            let found = self.credentials.get(name, *role);
            let credentials = found.map_err(|error| Unbuilt::at(at.key.key(key), error))?;
            let merged = Merged::new(&plan, at.options, &credentials);
            let named = Some((*name, &*credentials));
            let login = at.login.map(|login| self.credentials.login(login, named)).transpose();
            let login = login.map_err(misnamed)?;
            let with = StackAt {
                key: at.key.clone(),
                uri_key: at.uri_key.clone(),
                options: &merged.options,
                login: login.as_ref(),
                ..*at
            };
            let stack = self.stack(&with).await.map_err(|unbuilt| match unbuilt {
                Unbuilt::Faults(found) => {
                    let blamed = found.into_iter().map(|fault| merged.blame(fault, &at.key, name));
                    Unbuilt::Faults(blamed.collect())
                }
                other => other,
            });
            stacks.extend(lacking.keep(stack));
        }
        lacking.done(stacks)
    }

    /// One stack.
    pub(super) async fn stack(&self, at: &StackAt<'_>) -> Result<Stack, Unbuilt> {
        let plan = Plan::new(at.uri, &self.registry, at.role, at.is_carried);
        let plan = plan.map_err(|error| Unbuilt::at(at.uri_key.clone(), error))?;
        let options = at.key.key("options");
        if self.programs == Programs::Leave {
            self.needs_no_program(&plan, at)?;
        }
        let login = match at.login {
            Some(login) => Some(self.login(&at.key.key("login"), login).await?),
            None => None,
        };
        match Stack::new(plan, at.options, at.role, &self.resolver(&options)).await {
            Ok(stack) => Ok(stack.logging_in(login)),
            Err(StackError::Options(problems)) => Err(faults(&options, problems)),
            Err(StackError::Other(error)) => Err(Unbuilt::at(at.key.clone(), error)),
        }
    }

    /// A stack for which a program must be run is checked as far as it can be without.
    fn needs_no_program(&self, plan: &Plan, at: &StackAt<'_>) -> Result<(), Unbuilt> {
        let (problems, mut needed) = options::look_over(plan, at.options);
        needed |=
            at.login.is_some_and(|login| !secret::programs(login, login::schema()).is_empty());
        if !needed {
            return Ok(());
        }
        let mut found = option_faults(&at.key.key("options"), problems);
        if let Some(login) = at.login {
            let problems = options::check(login::schema(), login, &[], &[]);
            found.extend(option_faults(&at.key.key("login"), problems));
        }
        Err(Unbuilt::without_programs(&at.key, found))
    }

    async fn login(&self, key: &KeyPath, login: &Options) -> Result<Login, Unbuilt> {
        let login = login::login(login, &self.resolver(key)).await;
        login.map_err(|problems| faults(key, problems))
    }

    pub(super) fn resolver(&self, key: &KeyPath) -> Resolver {
        Resolver { base: self.sources.base_dir(key), ..Resolver::default() }
    }
}

/// A limit for an operation that there is not would be passed over in silence. Not for what has
/// interceptors: they may have operations of their own.
pub(super) fn check_call_timeouts(
    key: &KeyPath,
    timeouts: &BTreeMap<String, Duration>,
    stack: &Stack,
) -> Result<(), Unbuilt> {
    let Some(top) = stack.top() else { return Ok(()) };
    let own = top.manifest.operations.iter().chain(dialogue::operations());
    let known: Vec<&str> = own.map(|operation| operation.name.as_str()).collect();
    let unknown = timeouts.keys().filter(|name| !known.contains(&name.as_str()));
    let found: Vec<BuildFault> = unknown
        .map(|name| BuildFault {
            key: key.key("call_timeouts").key(name),
            error: Error::new(
                ErrorKind::Config,
                format!("{} has no such operation; known: {}", top.name(), known.join(" ")),
            ),
            near: did_you_mean(name, known.iter().copied()).map(str::to_owned),
            is_name: true,
        })
        .collect();
    if found.is_empty() { Ok(()) } else { Err(Unbuilt::Faults(found)) }
}

/// What is wrong with options that stand at `key`.
pub(super) fn option_faults(key: &KeyPath, problems: Vec<OptionProblem>) -> Vec<BuildFault> {
    let fault = |problem: OptionProblem| BuildFault {
        key: problem.path.iter().fold(key.clone(), |key, step| key.key(step)),
        error: Error::new(ErrorKind::Config, problem.message),
        near: problem.suggestion,
        is_name: true,
    };
    problems.into_iter().map(fault).collect()
}

fn faults(key: &KeyPath, problems: Vec<OptionProblem>) -> Unbuilt {
    Unbuilt::Faults(option_faults(key, problems))
}
