//! [`KeySigner`]: signs with a private key and the hash that was agreed on, as an agent does.
//!
//! The protocol crate signs for a certificate by itself, but with RSA then only as SHA-1 does, which
//! servers refuse.

use russh::AgentAuthError;
use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::{Signature, private::KeypairData};
use russh::keys::{Error, HashAlg, PrivateKey};
use std::sync::Arc;

pub(crate) struct KeySigner(pub(crate) Arc<PrivateKey>);

impl russh::Signer for KeySigner {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut request: Vec<u8>,
    ) -> Result<Vec<u8>, AgentAuthError> {
        let signature = sign(self.0.key_data(), hash, &request)?;
        // RFC 4252 §7: the request that was signed, and the signature as a string after it.
        signature.encode_prefixed(&mut request).map_err(Error::from)?;
        Ok(request)
    }
}

fn sign(key: &KeypairData, hash: Option<HashAlg>, request: &[u8]) -> Result<Signature, Error> {
    let signed = match key {
        KeypairData::Rsa(key) => (key, hash).try_sign(request),
        key => key.try_sign(request),
    };
    signed.map_err(|error| Error::SshKey(error.into()))
}
