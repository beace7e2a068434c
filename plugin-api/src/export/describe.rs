//! A plugin's manifest with all that its code knows: schemas, operations, long texts.

use super::Exports;
use crate::error::Error;
use crate::manifest::PluginManifest;
use crate::raw::{RawBuf, guard, keep_panics_quiet};
use bytes::Bytes;

/// The whole manifest, schemas included.
pub fn describe<P: Exports>() -> PluginManifest {
    let info = P::INFO;
    let drivers = P::drivers();
    let handlers = P::handlers();
    let mut manifest: PluginManifest =
        serde_json::from_slice(crate::section::render(&info).trim_ascii_end()).unwrap_or_default();
    info.readme.clone_into(&mut manifest.readme);
    for (manifest, info) in manifest.drivers.iter_mut().zip(info.drivers) {
        info.description.clone_into(&mut manifest.description);
    }
    for (manifest, info) in manifest.handlers.iter_mut().zip(info.handlers) {
        info.description.clone_into(&mut manifest.description);
    }
    for (manifest, export) in manifest.drivers.iter_mut().zip(drivers) {
        manifest.options = export.options;
        manifest.operations = export.operations;
        manifest.below = export.below;
        manifest.max_sessions = export.max_sessions;
        manifest.needs_port = export.needs_port;
        manifest.tells_client = export.tells_client;
    }
    for (manifest, export) in manifest.handlers.iter_mut().zip(handlers) {
        manifest.options = export.options;
    }
    for (manifest, export) in manifest.interceptors.iter_mut().zip(P::interceptors()) {
        manifest.options = export.options;
    }
    manifest
}

pub(super) unsafe extern "C" fn describe_raw<P: Exports>() -> RawBuf {
    keep_panics_quiet();
    let body = || Ok(RawBuf::new(Bytes::from(serde_json::to_vec(&describe::<P>())?)));
    guard(body, |panic| Ok(told(&panic))).unwrap_or_else(|_: serde_json::Error| RawBuf::empty())
}

/// What a description says instead where the plugin has panicked.
fn told(panic: &Error) -> RawBuf {
    let json = serde_json::json!({ "panicked": panic.message() });
    RawBuf::new(Bytes::from(json.to_string()))
}
