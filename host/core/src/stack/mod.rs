//! Stacks: drivers on top of each other, from a URI and options to open sessions.

mod carrier;
mod client;
pub mod login;
mod offer;
pub mod options;
mod plan;
mod server_layer;
mod source;
pub mod uri;

pub use carrier::carrier_of;
pub use client::opened_for;
pub use offer::offering;
pub use options::OptionProblem;
pub use plan::Plan;
pub use server_layer::ServerLayer;
pub use source::{Opening, SessionSource};

use crate::deadline::Deadline;
use crate::dialogue::{self, Login};
use crate::driver::{DriverHandle, Prepared};
use crate::phase::phase;
use crate::secret::Resolver;
use crate::services::HostAddress;
use crate::work::{self, OpeningStep};
use futures_util::FutureExt;
use jackfield_plugin_api::{
    Address, Error, ErrorKind, Facets, Kept, Listener, Origin, Request, Result, Role, Session,
};
use serde_json::{Map, Value};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A stack with its options in place, for any number of connections.
#[derive(Debug)]
pub struct Stack {
    /// Top first.
    layers: Vec<Layer>,
    source: Option<source::OwnSource>,
    login: Option<Login>,
    address: Address,
    /// Its host, where that is an IP address.
    ip: Option<IpAddr>,
    display: String,
}

#[derive(Debug)]
struct Layer {
    driver: Arc<DriverHandle>,
    endpoint: Prepared,
}

/// Why a stack could not be made: its options, or anything else.
#[derive(Debug)]
pub enum StackError {
    /// Options that their drivers do not accept.
    Options(Vec<OptionProblem>),
    /// The URI, or what a driver says of its options as a whole.
    Other(Error),
}

impl From<Error> for StackError {
    fn from(error: Error) -> Self {
        StackError::Other(error)
    }
}

impl From<StackError> for Error {
    fn from(error: StackError) -> Self {
        match error {
            StackError::Other(error) => error,
            StackError::Options(problems) => {
                let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Error::new(ErrorKind::Config, text.join("; "))
            }
        }
    }
}

impl Stack {
    /// Puts options in place: checked against the schemas, secrets read by `resolver`, files read by
    /// the drivers. Runs drivers' code on threads of its own, with a deadline.
    ///
    /// # Errors
    /// Every option at fault, or what a driver says of them.
    pub async fn new(
        plan: Plan,
        options: &Map<String, Value>,
        role: Role,
        resolver: &Resolver,
    ) -> Result<Self, StackError> {
        let names: Vec<&str> = plan.layers.iter().skip(1).map(|layer| layer.name()).collect();
        let mut ready = Vec::new();
        let mut problems = Vec::new();
        for (position, layer) in options::share_out(&plan, options).into_iter().enumerate() {
            let schema = &layer.driver.manifest.options;
            let beside: &[&str] = if position == 0 { &names } else { &[] };
            match options::prepare(schema, &layer.options, &layer.path, beside, resolver).await {
                Ok(text) => ready.push((layer.driver, layer.path, text)),
                Err(more) => problems.extend(more),
            }
        }
        if !problems.is_empty() {
            return Err(StackError::Options(problems));
        }
        let mut layers = Vec::with_capacity(ready.len());
        for (driver, path, options) in ready {
            let endpoint = driver.configure(role, options).await;
            let endpoint = endpoint.map_err(|error| option_error(error, &path))?;
            layers.push(Layer { driver, endpoint });
        }
        Ok(Stack {
            layers,
            source: None,
            login: None,
            ip: plan.address.host.parse().ok(),
            address: plan.address,
            display: plan.display,
        })
    }

    /// A stack without drivers: its sessions are opened by this program itself. `display` is what
    /// people read; it must hold no secret.
    pub fn of_source(display: &str, source: impl SessionSource) -> Self {
        let source = Some(source::OwnSource(Box::new(source)));
        let display = display.to_owned();
        let (layers, address) = (Vec::new(), Address::default());
        Stack { layers, source, login: None, address, ip: None, display }
    }

    /// Logs in on each session that is opened, before anybody has it.
    #[must_use]
    pub fn logging_in(mut self, login: Option<Login>) -> Self {
        self.login = login;
        self
    }

    /// Where it goes, as a person may read it.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// The address that all layers are given.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether anything stands on its transport.
    pub fn has_layers(&self) -> bool {
        self.layers.len() > 1
    }

    /// The driver on top; `None` when the stack is nothing but its carrier.
    pub fn top(&self) -> Option<&Arc<DriverHandle>> {
        self.layers.first().map(|layer| &layer.driver)
    }

    /// Whether `operation` is not the driver's own, but one that any byte stream has: then it is a
    /// [dialogue] with `session`.
    pub fn is_dialogue(&self, session: &Session, operation: &str) -> bool {
        let own = match self.top() {
            Some(top) => DriverHandle::current(top).operation(operation).is_some(),
            // Nobody knows which, but it may have some.
            None => session.facets().contains(Facets::CALL),
        };
        !own && dialogue::operation(operation).is_some()
    }

    /// The driver that reaches the outside world; `None` where something else carries the stack.
    pub fn transport(&self) -> Option<&Arc<DriverHandle>> {
        self.layers.last().map(|layer| &layer.driver).filter(|driver| driver.is_transport())
    }

    /// Whether a layer tells who a client is: each session that is opened is then for one client alone, and the
    /// peer of one that is accepted is known when the layers have spoken.
    pub fn tells_client(&self) -> bool {
        self.layers.iter().any(|layer| layer.driver.manifest.tells_client)
    }

    /// The most sessions it bears at the same time, as far as its drivers declare.
    pub fn max_sessions(&self) -> Option<u32> {
        self.layers.iter().filter_map(|layer| layer.driver.manifest.max_sessions).min()
    }

    /// Names of the layers, top first, joined by `+`.
    pub fn name(&self) -> String {
        let names: Vec<&str> = self.layers.iter().map(|layer| layer.driver.name()).collect();
        names.join("+")
    }

    /// Connects all layers, bottom first, within `limit` in all. `carrier` stands in for the
    /// transport. Cancel safe: what was open is dropped.
    ///
    /// # Errors
    /// The first layer's that fails, with its name; [`ErrorKind::TimedOut`] when time is up.
    pub fn open(
        &self,
        carrier: Option<Session>,
        limit: Duration,
    ) -> impl Future<Output = Result<Session>> + Send {
        self.open_by(carrier, Deadline::after(limit))
    }

    /// As [`Stack::open`], by `deadline`.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn open_by(
        &self,
        carrier: Option<Session>,
        deadline: Deadline,
    ) -> Result<Session> {
        let mut below = match (&self.source, carrier) {
            (Some(source), None) => {
                let opened = within(deadline, source.0.open(deadline.left())).await;
                Some(opened.map_err(|error| error.with("uri", &self.display))?)
            }
            (_, carrier) => carrier,
        };
        // Of the layers below, which the session of the top one takes along.
        let mut kept = Vec::new();
        for layer in self.layers.iter().rev() {
            if let Some(session) = &mut below {
                work::opening(OpeningStep::Handshaking);
                kept.extend(session.take_kept());
            }
            let connecting = self.host_address().filter(|_| below.is_none());
            let connecting = connecting.and_then(|address| layer.endpoint.connect(address));
            let opened = match connecting {
                Some(connecting) => within(deadline, connecting).await,
                None => {
                    let request = self.request(layer, below.take(), deadline)?;
                    phase(within(deadline, layer.endpoint.open(request))).await
                }
            };
            below = Some(opened.map_err(|error| self.explain(error, layer))?);
        }
        let none = || Error::new(ErrorKind::Config, "an empty stack without a carrier");
        let mut session = below.ok_or_else(none)?;
        let Some(login) = &self.login else { return Ok(keeping(session, kept)) };
        work::opening(OpeningStep::Handshaking);
        kept.extend(session.take_kept());
        let session = phase(login.session(session, deadline.left())).await;
        let session = session.map_err(|error| error.with("uri", &self.display))?;
        Ok(keeping(session, kept))
    }

    /// Its address, if that has a port.
    fn host_address(&self) -> Option<HostAddress<'_>> {
        let port = self.address.port?;
        Some(match self.ip {
            Some(ip) => HostAddress::Known(SocketAddr::new(ip, port)),
            None => HostAddress::Named(&self.address.host, port),
        })
    }

    /// What a layer is given to open its session over the one below.
    fn request(
        &self,
        layer: &Layer,
        below: Option<Session>,
        deadline: Deadline,
    ) -> Result<Request> {
        let mut request = Request::new(self.address.clone(), deadline.left());
        if let Some(client) = client::client().filter(|_| layer.driver.manifest.tells_client) {
            request = request.with_client(client);
        }
        if let Some(session) = below {
            request = request.with_carrier(carrier_of(session, layer.driver.name())?);
        }
        if self.layers.first().is_some_and(|top| std::ptr::eq(top, layer)) {
            request = offer::offered(request);
        }
        Ok(request)
    }

    fn explain(&self, error: Error, layer: &Layer) -> Error {
        error.with("layer", layer.driver.name()).with("uri", &self.display)
    }

    /// Starts the transport's passive side.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] and what else the transport says.
    pub async fn listen(&self, limit: Duration) -> Result<Listener> {
        self.listen_at(limit, None).await.map(|(listener, _)| listener)
    }

    /// As [`Stack::listen`]; `port` stands for the one of its address. Answers what each session that it accepts is to
    /// keep, too.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn listen_at(
        &self,
        limit: Duration,
        port: Option<u16>,
    ) -> Result<(Listener, Kept)> {
        let Some(transport) = self.layers.last() else {
            return Err(Error::new(ErrorKind::Config, "an empty stack cannot listen"));
        };
        let mut address = self.address.clone();
        address.port = port.or(address.port);
        let request = Request::new(address, limit);
        let listening = jackfield_timers::timeout(limit, transport.endpoint.listen(request)).await;
        listening
            .unwrap_or_else(|_| Err(timed_out(limit)))
            .map_err(|error| self.explain(error, transport))
    }

    /// Whether its transport can be used. It listens on while its plugin is gone, so that its address stays its own.
    ///
    /// # Errors
    /// The plugin of the transport is gone.
    pub(crate) fn is_there(&self) -> Result<()> {
        self.layers.last().map_or(Ok(()), |transport| transport.endpoint.is_there())
    }

    /// Lets the layers above the transport speak with an accepted peer, within `limit` in all. `deferred`:
    /// the top one keeps its answer back if it can, until its session's operation `accept` is called.
    /// Cancel safe: the peer is dropped.
    ///
    /// # Errors
    /// As [`Stack::open`], with the peer as the origin.
    pub async fn accept(
        &self,
        accepted: Session,
        limit: Duration,
        deferred: bool,
    ) -> Result<Session> {
        let layers = &self.layers[..self.layers.len().saturating_sub(1)];
        self.is_there()?;
        if layers.is_empty() {
            return Ok(accepted);
        }
        let deadline = Deadline::after(limit);
        let (mut below, mut kept) = (accepted, Vec::new());
        for layer in layers.iter().rev() {
            kept.extend(below.take_kept());
            let carrier = carrier_of(below, layer.driver.name())?;
            let mut request = Request::new(self.address.clone(), deadline.left());
            let is_top = layers.first().is_some_and(|top| std::ptr::eq(top, layer));
            if deferred && is_top && layer.driver.operation("accept").is_some() {
                request = request.deferred();
            }
            let accepting = layer.endpoint.accept(request.with_carrier(carrier));
            let accepted = within(deadline, accepting).await;
            below = accepted
                .map_err(|error| self.explain(error.with_origin(Origin::Downstream), layer))?;
        }
        Ok(keeping(below, kept))
    }
}

fn keeping(mut session: Session, kept: Vec<Kept>) -> Session {
    kept.into_iter().for_each(|kept| session.keep(kept));
    session
}

/// What is done by `deadline`. Not an `async fn`, which would keep room for `work` twice.
fn within<T>(
    deadline: Deadline,
    work: impl Future<Output = Result<T>>,
) -> impl Future<Output = Result<T>> {
    let done = jackfield_timers::timeout_at(deadline.instant(), work);
    done.map(move |done| done.unwrap_or_else(|_| Err(timed_out(deadline.limit()))))
}

fn timed_out(limit: Duration) -> Error {
    Error::new(ErrorKind::TimedOut, format!("no answer within {limit:?}"))
}

/// A driver's complaint about an option, placed in the whole table.
fn option_error(error: Error, path: &[String]) -> StackError {
    let option = error.context().find(|(key, _)| *key == "option").map(|(_, name)| name.to_owned());
    match option {
        Some(name) => {
            let mut path = path.to_vec();
            path.push(name);
            let message = error.message().to_owned();
            StackError::Options(vec![OptionProblem { path, message, suggestion: None }])
        }
        None => StackError::Other(error),
    }
}
