//! The plugin's half of the control plane: from [`Driver`] and [`Handler`] to a [`PluginModule`].

use crate::driver::{Driver, Handler, Role};
use crate::error::{Error, ErrorKind, Result};
use crate::listener::Listener;
use crate::manifest::{
    Abi, DriverManifest, HandlerManifest, PluginInfo, PluginManifest, RuntimeMode, schema_of,
};
use crate::module::{CLIENT, HANDLER, PluginModule, PluginModule_Ref, SERVER};
use crate::op::{Op, Transfer};
use crate::raw::{Opaque, RawBuf, RawError, RawStr, fail, guard, guard_drop, tell_of_panics};
use crate::request::Request;
use crate::services::{Host, HostServices_Ref, RawPair, is_own_table};
use crate::session::Session;
use abi_stable::prefix_type::PrefixTypeTrait;
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;

/// What [`crate::export_plugin!`] implements for a plugin.
pub trait Exports {
    /// Its constants.
    const INFO: PluginInfo;
    /// Its drivers, in the order of `INFO`.
    fn drivers() -> Vec<DriverExport>;
    /// Its handlers, in the order of `INFO`.
    fn handlers() -> Vec<HandlerExport>;
}

type Make<T> = Box<dyn FnOnce(Host) -> Result<T>>;
type Configure = Box<dyn Fn(Value, Role) -> Result<Arc<dyn Endpoint>> + Send + Sync>;

/// One driver, ready to be described and made.
pub struct DriverExport {
    options: Value,
    operations: Vec<crate::manifest::Operation>,
    below: Vec<crate::manifest::Below>,
    max_sessions: Option<u32>,
    make: Make<Configure>,
}

/// One handler, ready to be described and made.
pub struct HandlerExport {
    options: Value,
    make: Make<Configure>,
}

/// A configured driver or handler, its type forgotten.
trait Endpoint: Send + Sync {
    fn open(self: Arc<Self>, request: Request) -> Op<Session>;
    fn accept(self: Arc<Self>, request: Request) -> Op<Session>;
    fn listen(self: Arc<Self>, request: Request) -> Op<Listener>;
    fn serve(self: Arc<Self>, session: Session) -> Op<()>;
}

struct DriverEndpoint<D: Driver> {
    driver: Arc<D>,
    endpoint: D::Endpoint,
}

impl<D: Driver> Endpoint for DriverEndpoint<D> {
    fn open(self: Arc<Self>, request: Request) -> Op<Session> {
        Op::new(async move { self.driver.open(&self.endpoint, request).await })
    }
    fn accept(self: Arc<Self>, request: Request) -> Op<Session> {
        Op::new(async move { self.driver.accept(&self.endpoint, request).await })
    }
    fn listen(self: Arc<Self>, request: Request) -> Op<Listener> {
        Op::new(async move { self.driver.listen(&self.endpoint, request).await })
    }
    fn serve(self: Arc<Self>, _: Session) -> Op<()> {
        Op::ready(Err(Error::unsupported("serving sessions")))
    }
}

struct HandlerEndpoint<H: Handler>(H);

impl<H: Handler> Endpoint for HandlerEndpoint<H> {
    fn open(self: Arc<Self>, _: Request) -> Op<Session> {
        Op::ready(Err(Error::unsupported("connecting")))
    }
    fn accept(self: Arc<Self>, _: Request) -> Op<Session> {
        Op::ready(Err(Error::unsupported("accepting")))
    }
    fn listen(self: Arc<Self>, _: Request) -> Op<Listener> {
        Op::ready(Err(Error::unsupported("listening")))
    }
    fn serve(self: Arc<Self>, session: Session) -> Op<()> {
        Op::new(async move { self.0.serve(session).await })
    }
}

fn parse<T: serde::de::DeserializeOwned>(options: Value) -> Result<T> {
    serde_json::from_value(options)
        .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))
}

impl DriverExport {
    /// Of a driver type.
    pub fn new<D: Driver>() -> Self {
        let make = |host| {
            let driver = Arc::new(D::new(host)?);
            let configure: Configure = Box::new(move |options, role| {
                let endpoint = driver.configure(parse(options)?, role)?;
                Ok(Arc::new(DriverEndpoint { driver: Arc::clone(&driver), endpoint }))
            });
            Ok(configure)
        };
        DriverExport {
            options: schema_of::<D::Options>(),
            operations: D::operations(),
            below: D::below(),
            max_sessions: D::max_sessions(),
            make: Box::new(make),
        }
    }
}

impl HandlerExport {
    /// Of a handler type.
    pub fn new<H: Handler>() -> Self {
        let make = |host| {
            let configure: Configure = Box::new(move |options, _| {
                Ok(Arc::new(HandlerEndpoint(H::new(host, parse(options)?)?)))
            });
            Ok(configure)
        };
        HandlerExport { options: schema_of::<H::Options>(), make: Box::new(make) }
    }
}

/// A plugin that was made.
struct Plugin {
    drivers: Vec<Configure>,
    handlers: Vec<Configure>,
}

/// The whole manifest, schemas included.
pub fn describe<P: Exports>() -> PluginManifest {
    let info = P::INFO;
    let drivers = P::drivers();
    let handlers = P::handlers();
    let section: Result<PluginManifest, _> =
        serde_json::from_slice(crate::section::render(&info).trim_ascii_end());
    let mut manifest = section.unwrap_or_else(|_| PluginManifest {
        manifest: 1,
        name: info.name.to_owned(),
        version: info.version.to_owned(),
        description: String::new(),
        license: String::new(),
        abi: Abi { major: 0, minor: 0, required_minor: 0 },
        target: crate::section::target(),
        panic: String::new(),
        symbol: info.symbol.to_owned(),
        drivers: Vec::<DriverManifest>::new(),
        handlers: Vec::<HandlerManifest>::new(),
    });
    for (manifest, export) in manifest.drivers.iter_mut().zip(drivers) {
        manifest.options = export.options;
        manifest.operations = export.operations;
        manifest.below = export.below;
        manifest.max_sessions = export.max_sessions;
    }
    for (manifest, export) in manifest.handlers.iter_mut().zip(handlers) {
        manifest.options = export.options;
    }
    manifest
}

/// The table of a plugin; used by [`crate::export_plugin!`].
pub fn module<P: Exports>() -> PluginModule_Ref {
    PluginModule {
        describe: describe_raw::<P>,
        init: init::<P>,
        configure,
        release,
        open,
        accept,
        listen,
        serve,
        health,
        drain,
        shutdown,
    }
    .leak_into_prefix()
}

unsafe extern "C" fn describe_raw<P: Exports>() -> RawBuf {
    crate::object::json_buf(describe::<P>)
}

unsafe extern "C" fn init<P: Exports>(
    services: HostServices_Ref,
    context: Opaque,
    settings: RawStr,
    error: *mut RawError,
) -> Opaque {
    // SAFETY: both are the host's own pair; the text is alive for this call.
    let (host, settings) = unsafe { (Host::new(services, context), settings.get()) };
    if !is_own_table(services) {
        tell_of_panics(host);
    }
    let body = || -> Result<Opaque> {
        let settings: Value = serde_json::from_str(settings).unwrap_or(Value::Null);
        if P::INFO.drivers.iter().any(|driver| driver.runtime == RuntimeMode::Private) {
            let threads = settings.get("runtime_threads").and_then(Value::as_u64).unwrap_or(1);
            crate::runtime::start(P::INFO.name, usize::try_from(threads).unwrap_or(1))?;
        }
        let drivers = P::drivers().into_iter().map(|export| (export.make)(host));
        let handlers = P::handlers().into_iter().map(|export| (export.make)(host));
        let plugin = Plugin {
            drivers: drivers.collect::<Result<_>>()?,
            handlers: handlers.collect::<Result<_>>()?,
        };
        Ok(Opaque(Arc::into_raw(Arc::new(plugin)).cast_mut().cast()))
    };
    // SAFETY: the caller's slot.
    unsafe { or_null(error, guard(body, Err)) }
}

/// # Safety
/// `error` is the caller's slot.
unsafe fn or_null(error: *mut RawError, result: Result<Opaque>) -> Opaque {
    result.unwrap_or_else(|problem| {
        // SAFETY: by this function's contract.
        unsafe { fail(error, problem) };
        Opaque(std::ptr::null_mut())
    })
}

unsafe extern "C" fn configure(
    plugin: Opaque,
    index: u32,
    role: u32,
    options: RawStr,
    error: *mut RawError,
) -> Opaque {
    // SAFETY: the plugin is alive until `shutdown`; the text for this call.
    let (plugin, options) = unsafe { (&*plugin.0.cast::<Plugin>(), options.get()) };
    let body = || -> Result<Opaque> {
        let (list, role) = match role {
            CLIENT => (&plugin.drivers, Role::Client),
            SERVER => (&plugin.drivers, Role::Server),
            HANDLER => (&plugin.handlers, Role::Server),
            _ => return Err(Error::unsupported("a role of that number")),
        };
        let configure = usize::try_from(index).ok().and_then(|index| list.get(index));
        let configure = configure.ok_or_else(|| Error::unsupported("a driver of that number"))?;
        let options = serde_json::from_str(options)
            .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
        let endpoint = configure(options, role)?;
        Ok(Opaque(Box::into_raw(Box::new(endpoint)).cast()))
    };
    // SAFETY: the caller's slot.
    unsafe { or_null(error, guard(body, Err)) }
}

unsafe extern "C" fn release(endpoint: Opaque) {
    // SAFETY: the box made in `configure`, freed once; running calls have their own share.
    guard_drop(unsafe { Box::from_raw(endpoint.0.cast::<Arc<dyn Endpoint>>()) });
}

/// # Safety
/// `endpoint` was made by `configure` and is not yet released.
unsafe fn endpoint(endpoint: Opaque) -> Arc<dyn Endpoint> {
    // SAFETY: by this function's contract.
    Arc::clone(unsafe { &*endpoint.0.cast::<Arc<dyn Endpoint>>() })
}

fn pair<T: Transfer>(make: impl FnOnce() -> Op<T>) -> RawPair {
    RawPair::of(guard(make, |panic| Op::ready(Err(panic))).into_raw())
}

unsafe extern "C" fn open(at: Opaque, request: Opaque) -> RawPair {
    // SAFETY: the endpoint is alive; the request is given to us.
    let (at, request) = unsafe { (endpoint(at), Request::from_raw(request.0.cast_const().cast())) };
    pair(|| at.open(request))
}

unsafe extern "C" fn accept(at: Opaque, request: Opaque) -> RawPair {
    // SAFETY: as in `open`.
    let (at, request) = unsafe { (endpoint(at), Request::from_raw(request.0.cast_const().cast())) };
    pair(|| at.accept(request))
}

unsafe extern "C" fn listen(at: Opaque, request: Opaque) -> RawPair {
    // SAFETY: as in `open`.
    let (at, request) = unsafe { (endpoint(at), Request::from_raw(request.0.cast_const().cast())) };
    pair(|| at.listen(request))
}

unsafe extern "C" fn serve(at: Opaque, session: RawPair) -> RawPair {
    // SAFETY: the endpoint is alive; the session is given to us.
    let (at, session) = unsafe { (endpoint(at), Session::from_raw(session.object())) };
    pair(|| at.serve(session))
}

unsafe extern "C" fn health(_plugin: Opaque) -> RawBuf {
    RawBuf::new(Bytes::from_static(br#"{"status":"ok"}"#))
}

unsafe extern "C" fn drain(_plugin: Opaque, _deadline_ms: u64) -> RawPair {
    RawPair::of::<crate::op::OpTable>(Op::<()>::ready(Ok(())).into_raw())
}

unsafe extern "C" fn shutdown(plugin: Opaque) {
    if plugin.0.is_null() {
        return;
    }
    // SAFETY: made in `init`, freed once.
    guard_drop(unsafe { Arc::from_raw(plugin.0.cast_const().cast::<Plugin>()) });
}

/// Makes a library a Jackfield plugin: its manifest in the file, its table behind one symbol.
///
/// ```ignore
/// jackfield_plugin_api::export_plugin! { drivers: [MyDriver], handlers: [] }
/// ```
///
/// Use it once, in the root of a `cdylib` crate.
#[macro_export]
macro_rules! export_plugin {
    (drivers: [$($driver:ty),* $(,)?], handlers: [$($handler:ty),* $(,)?] $(,)?) => {
        /// This library as a plugin.
        pub struct Plugin;

        impl $crate::__private::Exports for Plugin {
            const INFO: $crate::PluginInfo = $crate::PluginInfo {
                name: env!("CARGO_PKG_NAME"),
                version: env!("CARGO_PKG_VERSION"),
                description: env!("CARGO_PKG_DESCRIPTION"),
                license: env!("CARGO_PKG_LICENSE"),
                symbol: concat!("jackfield_plugin_v1_", env!("CARGO_CRATE_NAME")),
                drivers: &[$(<$driver as $crate::Driver>::INFO),*],
                handlers: &[$(<$handler as $crate::Handler>::INFO),*],
            };
            fn drivers() -> Vec<$crate::__private::DriverExport> {
                vec![$($crate::__private::DriverExport::new::<$driver>()),*]
            }
            fn handlers() -> Vec<$crate::__private::HandlerExport> {
                vec![$($crate::__private::HandlerExport::new::<$handler>()),*]
            }
        }

        const _: () = {
            #[used]
            #[unsafe(link_section = ".jackfield")]
            static MANIFEST: [u8; $crate::__private::SECTION_SIZE] =
                $crate::__private::render(&<Plugin as $crate::__private::Exports>::INFO);

            extern "C" fn erased() -> $crate::__private::RootModuleResult {
                $crate::__private::call_root_module_loader(
                    $crate::__private::module::<Plugin> as fn() -> $crate::PluginModule_Ref,
                )
            }

            #[unsafe(export_name = concat!("jackfield_plugin_v1_", env!("CARGO_CRATE_NAME")))]
            static HEADER: $crate::__private::LibHeader =
                $crate::__private::header_of(erased);
        };
    };
}
