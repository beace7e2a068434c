//! The user-based security model (RFC 3414): keys, codes, ciphers and clocks.

pub(crate) mod cipher;
pub(crate) mod engine;
pub(crate) mod hash;
pub(crate) mod keys;
pub(crate) mod seal;
