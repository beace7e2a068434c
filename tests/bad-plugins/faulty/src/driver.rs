//! A transport and a layer; both give the same sessions.

use crate::fault::{Fault, OnDrop, Place};
use crate::{mode, session};
use jackfield_plugin_api::{
    Accept, Driver, DriverInfo, Facets, Host, Info, Listener, Operation, Request, Result, Role,
    Scheme, Session,
};

const FACETS: Facets = Facets::STREAM.union(Facets::MESSAGES).union(Facets::DATAGRAMS);

/// Options in place.
#[derive(Debug)]
pub struct Endpoint {
    fault: Fault,
    _dropped: OnDrop,
}

impl Endpoint {
    fn new(fault: Fault) -> Self {
        fault.at(Place::Configure);
        Endpoint { fault, _dropped: fault.on_drop(Place::DropEndpoint) }
    }
}

/// The transport.
#[derive(Debug)]
pub struct Faulty;

impl Driver for Faulty {
    const INFO: DriverInfo = DriverInfo::transport("faulty", "Fails where it is told to")
        .schemes(&[Scheme::new("faulty", "faulty")])
        .client()
        .server()
        .facets(FACETS)
        .query_options();
    type Options = Fault;
    type Endpoint = Endpoint;

    fn new(_host: Host) -> Result<Self> {
        mode::start()?;
        Ok(Faulty)
    }

    fn configure(&self, fault: Fault, _role: Role) -> Result<Endpoint> {
        Ok(Endpoint::new(fault))
    }

    fn operations() -> Vec<Operation> {
        mode::describe();
        vec![Operation::new::<(), String>("mode", "What this copy of the file is told")]
    }

    // Not `async fn`: the call itself can fail, before there is a future.
    #[allow(clippy::manual_async_fn, reason = "see above")]
    fn open(
        &self,
        endpoint: &Endpoint,
        _request: Request,
    ) -> impl Future<Output = Result<Session>> + Send {
        let fault = endpoint.fault;
        fault.at(Place::OpenCall);
        async move {
            let _dropped = fault.on_drop(Place::DropOp);
            fault.reach(Place::Open).await;
            if fault.at == Some(Place::DropOp) {
                std::future::pending::<()>().await;
            }
            Ok(session::new(fault))
        }
    }

    async fn listen(&self, endpoint: &Endpoint, _request: Request) -> Result<Listener> {
        let fault = endpoint.fault;
        fault.reach(Place::Listen).await;
        let dropped = fault.on_drop(Place::DropListener);
        Ok(Listener::new(FaultyAccept { fault, _dropped: dropped }))
    }
}

struct FaultyAccept {
    fault: Fault,
    _dropped: OnDrop,
}

impl Accept for FaultyAccept {
    fn info(&self) -> Info {
        self.fault.at(Place::ListenerInfo);
        Info::default()
    }

    async fn accept(&self) -> Result<Session> {
        self.fault.reach(Place::ListenerAccept).await;
        Ok(session::new(self.fault))
    }
}

/// The layer.
#[derive(Debug)]
pub struct FaultyLayer;

impl Driver for FaultyLayer {
    const INFO: DriverInfo =
        DriverInfo::layer("faulty-layer", "Fails where it is told to, over something else")
            .schemes(&[Scheme::new("faulty-layer", "faulty-layer+faulty")])
            .client()
            .server()
            .facets(FACETS)
            .query_options();
    type Options = Fault;
    type Endpoint = Endpoint;

    fn new(_host: Host) -> Result<Self> {
        Ok(FaultyLayer)
    }

    fn configure(&self, fault: Fault, _role: Role) -> Result<Endpoint> {
        Ok(Endpoint::new(fault))
    }

    async fn open(&self, endpoint: &Endpoint, mut request: Request) -> Result<Session> {
        endpoint.fault.reach(Place::Open).await;
        let (stream, info) = request.take_carrier()?;
        Ok(Session::of_stream(info, stream))
    }

    async fn accept(&self, endpoint: &Endpoint, mut request: Request) -> Result<Session> {
        endpoint.fault.reach(Place::Accept).await;
        let (stream, info) = request.take_carrier()?;
        Ok(Session::of_stream(info, stream))
    }
}
