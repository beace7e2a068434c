//! [`PluginModule`]: the control plane, an `abi_stable` prefix type that every plugin exports once.

use crate::raw::{Opaque, RawBuf, RawError, RawStr, abi};
use crate::services::{HostServices_Ref, RawPair};
use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::sabi_types::VersionStrings;

/// Role numbers of `configure`.
pub(crate) const CLIENT: u32 = 0;
pub(crate) const SERVER: u32 = 1;
pub(crate) const HANDLER: u32 = 2;
pub(crate) const INTERCEPTOR: u32 = 3;

abi! {
    /// The functions of a plugin. Append only; the last prefix field never moves inside a major. An
    /// endpoint is what `configure` gives: it is used by many calls at once and freed by `release`.
    #[derive(StableAbi)]
    #[sabi(kind(Prefix(prefix_ref = PluginModule_Ref)))]
    #[sabi(missing_field(option))]
    pub prefix struct PluginModule {
        /// The whole manifest as JSON.
        pub describe: unsafe extern "C" fn() -> RawBuf,
        /// Makes the plugin with the host's services and its settings (JSON); null on failure.
        pub init: unsafe extern "C" fn(HostServices_Ref, Opaque, RawStr, *mut RawError) -> Opaque,
        /// Plugin, index of the driver, handler or interceptor, role, options (JSON); gives an endpoint or null.
        pub configure: unsafe extern "C" fn(Opaque, u32, u32, RawStr, *mut RawError) -> Opaque,
        /// Frees an endpoint.
        pub release: unsafe extern "C" fn(Opaque),
        /// Endpoint and request; gives an `Op<Session>`.
        pub open: unsafe extern "C" fn(Opaque, Opaque) -> RawPair,
        /// Endpoint and request with a carrier; gives an `Op<Session>`.
        pub accept: unsafe extern "C" fn(Opaque, Opaque) -> RawPair,
        /// Endpoint and request; gives an `Op<Listener>`.
        pub listen: unsafe extern "C" fn(Opaque, Opaque) -> RawPair,
        /// A handler's endpoint and a session; gives an `Op<()>`.
        pub serve: unsafe extern "C" fn(Opaque, RawPair) -> RawPair,
        /// The plugin's own state, as JSON `{"status": "ok"}`.
        pub health: unsafe extern "C" fn(Opaque) -> RawBuf,
        /// No new work from now on; gives an `Op<()>` that is done when the running work is.
        pub drain: unsafe extern "C" fn(Opaque, u64) -> RawPair,
        /// An interceptor's endpoint, a `Call` as JSON, and a `Next`, which is given away; gives an
        /// `Op<Bytes>` with the result as JSON.
        pub intercept: unsafe extern "C" fn(Opaque, RawStr, RawPair) -> RawPair,
        /// A driver's endpoint; gives its socket as JSON, `null` where connecting is more than that.
        pub socket: unsafe extern "C" fn(Opaque) -> RawBuf,
        /// Frees the plugin.
        #[sabi(last_prefix_field)]
        pub shutdown: unsafe extern "C" fn(Opaque),
    }
}

impl RootModule for PluginModule_Ref {
    abi_stable::declare_root_module_statics! {PluginModule_Ref}
    const BASE_NAME: &'static str = "jackfield_plugin";
    const NAME: &'static str = "jackfield_plugin";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}
