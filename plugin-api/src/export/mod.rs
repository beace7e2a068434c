//! The plugin's half of the control plane: from [`Driver`] and [`Handler`] to a [`PluginModule`].

mod describe;
mod endpoint;

use crate::driver::{Driver, Handler, Role};
use crate::error::{Error, ErrorKind, Result};
use crate::health::{Health, PluginHealth};
use crate::interceptor::{Interceptor, Next, value};
use crate::manifest::{PluginInfo, schema_of};
use crate::module::{CLIENT, HANDLER, INTERCEPTOR, PluginModule, PluginModule_Ref, SERVER};
use crate::object::json_buf;
use crate::op::{Op, Transfer};
use crate::raw::{Opaque, RawBuf, RawError, RawStr, fail, guard, guard_drop, tell_of_panics};
use crate::request::Request;
use crate::services::{Host, HostServices_Ref, RawPair, is_own_table};
use crate::session::Session;
use abi_stable::prefix_type::PrefixTypeTrait;
pub use describe::describe;
use describe::describe_raw;
use endpoint::{DriverEndpoint, Endpoint, HandlerEndpoint, InterceptorEndpoint, Made};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What [`crate::export_plugin!`] implements for a plugin.
pub trait Exports {
    /// Its constants.
    const INFO: PluginInfo;
    /// Its drivers, in the order of `INFO`.
    fn drivers() -> Vec<DriverExport>;
    /// Its handlers, in the order of `INFO`.
    fn handlers() -> Vec<HandlerExport>;
    /// Its interceptors, in the order of `INFO`.
    fn interceptors() -> Vec<InterceptorExport>;
}

type Make<T> = Box<dyn FnOnce(Host) -> Result<T>>;
type Configure = Box<dyn Fn(Value, Role) -> Result<Arc<dyn Endpoint>> + Send + Sync>;

/// One driver, ready to be described and made.
pub struct DriverExport {
    options: Value,
    operations: Vec<crate::manifest::Operation>,
    below: Vec<crate::manifest::Below>,
    max_sessions: Option<u32>,
    needs_port: bool,
    tells_client: bool,
    make: Make<Part>,
}

/// One handler, ready to be described and made.
pub struct HandlerExport {
    options: Value,
    make: Make<Part>,
}

/// One interceptor, ready to be described and made.
pub struct InterceptorExport {
    options: Value,
    make: Make<Part>,
}

/// A driver, handler or interceptor that was made.
struct Part {
    name: &'static str,
    configure: Configure,
    health: Option<Box<dyn Fn() -> Health + Send + Sync>>,
    drain: Option<Box<dyn Fn() -> Op<()> + Send + Sync>>,
}

fn parse<T: serde::de::DeserializeOwned>(options: Value) -> Result<T> {
    serde_json::from_value(options)
        .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))
}

impl DriverExport {
    /// Of a driver type.
    pub fn new<D: Driver>() -> Self {
        let make = |host| {
            let made = Arc::new(Made::new(D::new(host)?, host));
            let (asked, drained) = (Arc::clone(&made), Arc::clone(&made));
            let configure: Configure = Box::new(move |options, role| {
                let endpoint = made.driver.configure(parse(options)?, role)?;
                Ok(Arc::new(DriverEndpoint { made: Arc::clone(&made), endpoint }))
            });
            let drain = move || {
                let made = Arc::clone(&drained);
                Op::new(async move { made.driver.drain().await })
            };
            Ok(Part {
                name: D::INFO.name,
                configure,
                health: Some(Box::new(move || asked.driver.health())),
                drain: Some(Box::new(drain)),
            })
        };
        DriverExport {
            options: schema_of::<D::Options>(),
            operations: D::operations(),
            below: D::below(),
            max_sessions: D::max_sessions(),
            needs_port: D::needs_port(),
            tells_client: D::tells_client(),
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
            Ok(Part { name: H::INFO.name, configure, health: None, drain: None })
        };
        HandlerExport { options: schema_of::<H::Options>(), make: Box::new(make) }
    }
}

impl InterceptorExport {
    /// Of an interceptor type.
    pub fn new<I: Interceptor>() -> Self {
        let make = |host| {
            let configure: Configure = Box::new(move |options, _| {
                Ok(Arc::new(InterceptorEndpoint(I::new(host, parse(options)?)?)))
            });
            Ok(Part { name: I::INFO.name, configure, health: None, drain: None })
        };
        InterceptorExport { options: schema_of::<I::Options>(), make: Box::new(make) }
    }
}

/// A plugin that was made.
struct Plugin {
    drivers: Vec<Part>,
    handlers: Vec<Part>,
    interceptors: Vec<Part>,
    /// What was configured and is still used, for its own state and to be drained.
    live: Mutex<Vec<Live>>,
}

/// A configured handler.
struct Live {
    name: &'static str,
    endpoint: Weak<dyn Endpoint>,
}

impl Plugin {
    fn part(&self, index: u32, role: u32) -> Result<(&Part, Role)> {
        let (list, role) = match role {
            CLIENT => (&self.drivers, Role::Client),
            SERVER => (&self.drivers, Role::Server),
            HANDLER => (&self.handlers, Role::Server),
            INTERCEPTOR => (&self.interceptors, Role::Client),
            _ => return Err(Error::unsupported("a role with an unknown number")),
        };
        let part = usize::try_from(index).ok().and_then(|index| list.get(index));
        Ok((part.ok_or_else(|| Error::unsupported("a part with an unknown number"))?, role))
    }

    fn live(&self) -> Vec<(&'static str, Arc<dyn Endpoint>)> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|it| it.endpoint.strong_count() > 0);
        live.iter().filter_map(|it| Some((it.name, it.endpoint.upgrade()?))).collect()
    }

    fn keep(&self, name: &'static str, endpoint: &Arc<dyn Endpoint>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|it| it.endpoint.strong_count() > 0);
        live.push(Live { name, endpoint: Arc::downgrade(endpoint) });
    }

    fn health(&self) -> PluginHealth {
        let drivers = self.drivers.iter().filter_map(|part| {
            Some(PluginHealth::part("driver", part.name, part.health.as_ref()?()))
        });
        let live = self.live();
        let handlers = live.iter().filter_map(|(name, endpoint)| {
            Some(PluginHealth::part("handler", name, endpoint.health()?))
        });
        PluginHealth::of(drivers.chain(handlers).collect())
    }

    /// Drains all parts at once.
    fn drain(&self) -> Op<()> {
        let drivers = self.drivers.iter().filter_map(|part| Some(part.drain.as_ref()?()));
        let handlers = self.live().into_iter().map(|(_, endpoint)| endpoint.drain());
        let all = futures_util::future::join_all(drivers.chain(handlers));
        Op::new(async move { all.await.into_iter().collect() })
    }
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
        intercept,
        socket,
        shutdown,
    }
    .leak_into_prefix()
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
        if P::INFO.wants_runtime() {
            let threads = settings.get("runtime_threads").and_then(Value::as_u64).unwrap_or(1);
            crate::runtime::start(P::INFO.name, usize::try_from(threads).unwrap_or(1))?;
        }
        let drivers = P::drivers().into_iter().map(|export| (export.make)(host));
        let handlers = P::handlers().into_iter().map(|export| (export.make)(host));
        let interceptors = P::interceptors().into_iter().map(|export| (export.make)(host));
        let plugin = Plugin {
            drivers: drivers.collect::<Result<_>>()?,
            handlers: handlers.collect::<Result<_>>()?,
            interceptors: interceptors.collect::<Result<_>>()?,
            live: Mutex::default(),
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
        let (part, real_role) = plugin.part(index, role)?;
        let options = serde_json::from_str(options)
            .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
        let endpoint = (part.configure)(options, real_role)?;
        if role == HANDLER {
            plugin.keep(part.name, &endpoint);
        }
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

/// An operation of `make`, which runs author's code only once it is polled.
fn pair<T: Transfer>(make: impl FnOnce() -> Op<T>) -> RawPair {
    RawPair::of(guard(make, |panic| Op::ready(Err(panic))).into_raw())
}

macro_rules! with_request {
    ($($name:ident)*) => {$(
        unsafe extern "C" fn $name(at: Opaque, request: Opaque) -> RawPair {
            // SAFETY: the endpoint is alive; the request is given to us.
            pair(|| unsafe {
                let request = Request::from_raw(request.0.cast_const().cast());
                endpoint(at).$name(request)
            })
        }
    )*};
}

with_request! { open accept listen }

unsafe extern "C" fn socket(at: Opaque) -> RawBuf {
    // SAFETY: the endpoint is alive.
    json_buf(|| unsafe { endpoint(at) }.socket())
}

unsafe extern "C" fn serve(at: Opaque, session: RawPair) -> RawPair {
    // SAFETY: the endpoint is alive; the session is given to us.
    pair(|| unsafe { endpoint(at).serve(Session::from_raw(session.object())) })
}

unsafe extern "C" fn intercept(at: Opaque, call: RawStr, next: RawPair) -> RawPair {
    pair(|| {
        // SAFETY: the endpoint is alive, the text for this call; the rest is given to us.
        let (at, call, next) = unsafe { (endpoint(at), call.get(), Next::from_raw(next.object())) };
        match value(call.as_bytes()) {
            Ok(call) => at.intercept(call, next),
            Err(error) => Op::ready(Err(error)),
        }
    })
}

unsafe extern "C" fn health(plugin: Opaque) -> RawBuf {
    // SAFETY: the plugin is alive until `shutdown`.
    json_buf(|| unsafe { &*plugin.0.cast::<Plugin>() }.health())
}

unsafe extern "C" fn drain(plugin: Opaque, deadline_ms: u64) -> RawPair {
    // The host drops the operation when the time is over.
    let _ = deadline_ms;
    // SAFETY: as in `health`.
    pair(|| unsafe { &*plugin.0.cast::<Plugin>() }.drain())
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
/// jackfield_plugin_api::export_plugin! { handlers: [App], readme: include_str!("../README.md") }
/// ```
///
/// Use it once, in the root of a `cdylib` crate.
#[macro_export]
macro_rules! export_plugin {
    (
        $(drivers: [$($driver:ty),* $(,)?] $(,)?)?
        $(handlers: [$($handler:ty),* $(,)?] $(,)?)?
        $(interceptors: [$($interceptor:ty),* $(,)?] $(,)?)?
        $(requires: [$($requires:expr),* $(,)?] $(,)?)?
        $(readme: $readme:expr $(,)?)?
    ) => {
        /// This library as a plugin.
        pub struct Plugin;

        impl $crate::__private::Exports for Plugin {
            const INFO: $crate::PluginInfo = $crate::__private::plugin_info(
                [
                    env!("CARGO_PKG_NAME"),
                    env!("CARGO_PKG_VERSION"),
                    env!("CARGO_PKG_DESCRIPTION"),
                    env!("CARGO_PKG_LICENSE"),
                    concat!("jackfield_plugin_v1_", env!("CARGO_CRATE_NAME")),
                    concat!("" $(, $readme)?),
                ],
                &[$($(<$driver as $crate::Driver>::INFO),*)?],
                &[$($(<$handler as $crate::Handler>::INFO),*)?],
                &[$($(<$interceptor as $crate::Interceptor>::INFO),*)?],
                &[$($($requires),*)?],
            );
            fn drivers() -> Vec<$crate::__private::DriverExport> {
                vec![$($($crate::__private::DriverExport::new::<$driver>()),*)?]
            }
            fn handlers() -> Vec<$crate::__private::HandlerExport> {
                vec![$($($crate::__private::HandlerExport::new::<$handler>()),*)?]
            }
            fn interceptors() -> Vec<$crate::__private::InterceptorExport> {
                vec![$($($crate::__private::InterceptorExport::new::<$interceptor>()),*)?]
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
