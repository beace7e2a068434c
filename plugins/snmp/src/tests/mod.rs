//! The driver without a host.
