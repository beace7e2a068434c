//! The host's half of loading: the manifest from a file, and a [`Module`] from a loaded library.
//! Which files, in which order, and what to say of those refused is the host's own business.

mod layout;

use crate::driver::Role;
use crate::error::{Error, ErrorKind, Result};
use crate::health::PluginHealth;
use crate::interceptor::{Call, Next, json, value};
use crate::listener::Listener;
use crate::manifest::PluginManifest;
use crate::module::{CLIENT, HANDLER, INTERCEPTOR, PluginModule_Ref, SERVER};
use crate::op::{Op, Transfer};
use crate::raw::{Opaque, RawError, RawStr};
use crate::request::Request;
use crate::section::SECTION;
use crate::services::{RawPair, Services, Socket, export_services};
use crate::session::Session;
use crate::watch::{self, Operation, Owner};
use abi_stable::StableAbi;
use abi_stable::library::{AbiHeader, AbiHeaderRef, LibHeader, RootModule};
use bytes::Bytes;
use layout::{check_layouts, library_problem};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use object::{Object, ObjectSection};
use std::path::Path;
use std::sync::Arc;

/// `RTLD_NODELETE`: a plugin's code stays, whatever happens; unloading it would not be sound.
const RTLD_NODELETE: i32 = 0x1000;

/// Why a library could not become a module.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// It is not an ELF file, or a damaged one.
    NotElf(String),
    /// It is for another machine; its own and ours.
    Architecture(String, String),
    /// It has no manifest: not a plugin.
    NoManifest,
    /// Its manifest cannot be read.
    BadManifest(String),
    /// The system's loader refused it.
    Library(String),
    /// It does not export the symbol that its manifest names.
    NoSymbol(String),
    /// Built with an `abi_stable` that is not ours.
    Header(String),
    /// Its tables do not look as its version says.
    Layout(String),
    /// Its root module could not be made.
    Root(String),
}

/// Reads a plugin's manifest from the bytes of its file. Runs nothing of it.
///
/// # Errors
/// [`LoadError`] up to `BadManifest`.
pub fn read_manifest(file: &[u8]) -> Result<PluginManifest, LoadError> {
    let elf = object::File::parse(file).map_err(|error| LoadError::NotElf(error.to_string()))?;
    let ours = std::env::consts::ARCH;
    let theirs = match elf.architecture() {
        object::Architecture::X86_64 => "x86_64",
        object::Architecture::Aarch64 => "aarch64",
        object::Architecture::I386 => "x86",
        object::Architecture::Arm => "arm",
        object::Architecture::Riscv64 => "riscv64",
        object::Architecture::PowerPc64 => "powerpc64",
        object::Architecture::S390x => "s390x",
        _ => "another machine",
    };
    if theirs != ours {
        return Err(LoadError::Architecture(theirs.to_owned(), ours.to_owned()));
    }
    let section = elf.section_by_name(SECTION).ok_or(LoadError::NoManifest)?;
    let data = section.data().map_err(|error| LoadError::NotElf(error.to_string()))?;
    serde_json::from_slice(data.trim_ascii_end())
        .map_err(|error| LoadError::BadManifest(error.to_string()))
}

/// A loaded library's table, its layout checked in both directions.
#[derive(Clone, Copy)]
pub struct Module {
    table: PluginModule_Ref,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Module")
    }
}

impl Module {
    /// Loads the library at `path`, for ever. Its code runs from here on.
    ///
    /// # Errors
    /// [`LoadError`] from `Library` on.
    pub fn load(path: &Path, symbol: &str) -> Result<Self, LoadError> {
        // SAFETY: loading runs the library's initialisers: the operator put it there to be run.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) };
        let library = library.map_err(|error| LoadError::Library(with_source(&error)))?;
        // SAFETY: the symbol is a `LibHeader`, which starts with an `AbiHeader`; its magic words are
        // checked before anything else of it is read.
        let header = unsafe { library.get::<*const AbiHeader>(symbol.as_bytes()) }
            .map(|symbol| *symbol)
            .map_err(|error| LoadError::NoSymbol(with_source(&error)))?;
        std::mem::forget(library);
        if header.is_null() {
            return Err(LoadError::NoSymbol(format!("{symbol} is null")));
        }
        // SAFETY: `AbiHeaderRef` is a transparent reference, and the library is never unloaded.
        let header = unsafe { std::mem::transmute::<*const AbiHeader, AbiHeaderRef>(header) };
        let header =
            header.upgrade().map_err(|error| LoadError::Header(library_problem(&error)))?;
        Module::of_header(header)
    }

    /// A plugin linked into this binary.
    ///
    /// # Errors
    /// None that a plugin of this build could cause.
    pub fn of_static<P: crate::export::Exports>() -> Self {
        crate::raw::linked_into_host();
        Module { table: crate::export::module::<P>() }
    }

    fn of_header(header: &'static LibHeader) -> Result<Self, LoadError> {
        let theirs = header.layout().ok_or_else(|| LoadError::Layout("no layout".to_owned()))?;
        let ours = <PluginModule_Ref as StableAbi>::LAYOUT;
        check_layouts(ours, theirs).map_err(LoadError::Layout)?;
        // SAFETY: the layouts were just compared; prefix accessors check for missing fields.
        let table = unsafe { header.init_root_module_with_unchecked_layout::<PluginModule_Ref>() };
        table
            .map(|table| Module { table })
            .map_err(|error| LoadError::Root(library_problem(&error)))
    }

    /// The ABI version that this side offers.
    pub fn abi_version() -> &'static str {
        <PluginModule_Ref as RootModule>::VERSION_STRINGS.version.as_str()
    }

    /// The whole manifest, schemas included.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if it cannot be read, [`ErrorKind::Panicked`] if the plugin panicked.
    pub fn describe(&self) -> Result<PluginManifest> {
        // SAFETY: a plugin's function without arguments.
        let json = unsafe { (self.table.describe())() };
        if json.as_ref().is_empty() {
            return Err(Error::new(ErrorKind::Panicked, "when it described itself"));
        }
        let unreadable =
            |error| Error::new(ErrorKind::Protocol, format!("the plugin's description: {error}"));
        let said: Description = serde_json::from_slice(json.as_ref()).map_err(unreadable)?;
        match said.panicked {
            Some(text) => Err(Error::new(ErrorKind::Panicked, text).with("call", "describe")),
            None => serde_json::from_slice(json.as_ref()).map_err(unreadable),
        }
    }

    /// Makes the plugin. Runs author's code: call it where blocking is allowed, with a deadline.
    ///
    /// # Errors
    /// The plugin's own, or [`ErrorKind::Panicked`].
    pub fn init(&self, services: Arc<dyn Services>, settings: &str) -> Result<Plugin> {
        let (services, context) = export_services(services);
        let mut error = RawError::empty();
        // SAFETY: the services live for ever; the text for the call; the slot is ours.
        let handle = unsafe {
            (self.table.init())(services, context, RawStr::new(settings), &raw mut error)
        };
        if handle.0.is_null() {
            return Err(Error::from_raw(error));
        }
        Ok(Plugin(Arc::new(Handle { table: self.table, handle })))
    }
}

/// What is looked for in a description before it is read as a manifest.
#[derive(serde::Deserialize)]
struct Description {
    panicked: Option<String>,
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}

struct Handle {
    table: PluginModule_Ref,
    handle: Opaque,
}

// SAFETY: a plugin's functions may be called from any thread, many at once.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made in `init`, freed once; endpoints hold a share of this.
        unsafe { (self.table.shutdown())(self.handle) };
    }
}

/// A plugin that runs. Dropping the last share of it shuts it down; its code stays loaded.
#[derive(Clone)]
pub struct Plugin(Arc<Handle>);

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plugin")
    }
}

impl Plugin {
    /// Prepares a driver with options as JSON. May read files: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the option, or what reading a file says.
    pub fn configure_driver(&self, index: u32, role: Role, options: &str) -> Result<Endpoint> {
        self.configure(index, if role == Role::Server { SERVER } else { CLIENT }, options)
    }

    /// Prepares a handler with options as JSON.
    ///
    /// # Errors
    /// As [`Plugin::configure_driver`].
    pub fn configure_handler(&self, index: u32, options: &str) -> Result<Endpoint> {
        self.configure(index, HANDLER, options)
    }

    /// Prepares an interceptor with options as JSON.
    ///
    /// # Errors
    /// As [`Plugin::configure_driver`].
    pub fn configure_interceptor(&self, index: u32, options: &str) -> Result<Endpoint> {
        self.configure(index, INTERCEPTOR, options)
    }

    fn configure(&self, index: u32, role: u32, options: &str) -> Result<Endpoint> {
        let mut error = RawError::empty();
        let Handle { table, handle } = &*self.0;
        // SAFETY: the plugin is alive; the text is for the call; the slot is ours.
        let endpoint = unsafe {
            (table.configure())(*handle, index, role, RawStr::new(options), &raw mut error)
        };
        if endpoint.0.is_null() {
            return Err(Error::from_raw(error));
        }
        let socket = (role == CLIENT).then(|| {
            // SAFETY: the endpoint was just made.
            let json = unsafe { (table.socket())(endpoint) };
            // One that is described in another way is asked to connect.
            serde_json::from_slice::<Option<Socket>>(json.as_ref()).ok().flatten()
        });
        let socket = socket.flatten().map(Arc::new);
        Ok(Endpoint { plugin: self.clone(), endpoint, socket, owner: Owner::NOBODY })
    }

    /// What its drivers and handlers say of themselves. Runs author's code, which should not block.
    pub fn health(&self) -> PluginHealth {
        // SAFETY: the plugin is alive.
        let json = unsafe { (self.0.table.health())(self.0.handle) };
        // Empty when the author's code panicked.
        serde_json::from_slice(json.as_ref()).unwrap_or_else(|_| PluginHealth::unknown())
    }

    /// No new work; completes when the running work has ended.
    pub fn drain(&self, deadline: std::time::Duration) -> Op<()> {
        let ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        // SAFETY: the plugin is alive; the operation is given to us.
        unsafe { Op::from_raw((self.0.table.drain())(self.0.handle, ms).object()) }
    }
}

/// A configured driver or handler, for any number of calls.
#[derive(Debug)]
pub struct Endpoint {
    plugin: Plugin,
    endpoint: Opaque,
    socket: Option<Arc<Socket>>,
    owner: Owner,
}

// SAFETY: as for `Handle`.
unsafe impl Send for Endpoint {}
// SAFETY: as for `Handle`.
unsafe impl Sync for Endpoint {}

impl Endpoint {
    /// Marks every call into it, and into objects made by it, as one into `owner`.
    #[must_use]
    pub fn owned_by(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    /// The socket that it is, where connecting is nothing else. See [`Driver::socket`](crate::Driver::socket).
    pub fn socket(&self) -> Option<&Arc<Socket>> {
        self.socket.as_ref()
    }

    /// Connects.
    pub fn open(&self, request: Request) -> Op<Session> {
        self.request(Operation::Open, request, self.plugin.0.table.open())
    }

    /// A layer's passive side, over the request's carrier.
    pub fn accept(&self, request: Request) -> Op<Session> {
        self.request(Operation::Accept, request, self.plugin.0.table.accept())
    }

    /// A transport's passive side.
    pub fn listen(&self, request: Request) -> Op<Listener> {
        self.request(Operation::Listen, request, self.plugin.0.table.listen())
    }

    /// Gives a session to a handler; done when it has been served.
    pub fn serve(&self, session: Session) -> Op<()> {
        let session = RawPair::of(session.into_raw());
        let serve = || {
            // SAFETY: the endpoint is alive; the session is given away, the operation is given to us.
            unsafe { Op::from_raw((self.plugin.0.table.serve())(self.endpoint, session).object()) }
        };
        watch::within(self.owner, Operation::Serve, serve).named(Operation::Serve)
    }

    /// Runs an operation through an interceptor, which may pass it on to `next`.
    ///
    /// # Errors
    /// The interceptor's, or the operation's.
    pub async fn intercept(&self, call: &Call, next: Next) -> Result<serde_json::Value> {
        let call = json(call)?;
        let op: Op<Bytes> = {
            let next = RawPair::of(next.into_raw());
            let start = || {
                let intercept = self.plugin.0.table.intercept();
                // SAFETY: the endpoint and the text are alive; `next` is given away, the operation is
                // given to us.
                unsafe { Op::from_raw(intercept(self.endpoint, RawStr::new(&call), next).object()) }
            };
            watch::within(self.owner, Operation::Intercept, start).named(Operation::Intercept)
        };
        value(&op.await?)
    }

    fn request<T: Transfer<Raw = crate::raw::RawObject<R>>, R>(
        &self,
        operation: Operation,
        request: Request,
        call: unsafe extern "C" fn(Opaque, Opaque) -> RawPair,
    ) -> Op<T> {
        // SAFETY: the endpoint is alive; the request is given away, the operation is given to us.
        let start = |raw| unsafe { Op::from_raw(call(self.endpoint, Opaque::of(raw)).object()) };
        request.give(|raw| watch::within(self.owner, operation, || start(raw))).named(operation)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        watch::within(self.owner, Operation::Drop, || {
            // SAFETY: made by `configure`, freed once.
            unsafe { (self.plugin.0.table.release())(self.endpoint) };
        });
    }
}
