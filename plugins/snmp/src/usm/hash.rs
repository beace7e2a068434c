//! [`AuthProtocol`]: digests and codes of messages (RFC 3414 §6 and §7, RFC 7860).

use hmac::{Hmac, KeyInit, Mac};
use jackfield_plugin_api::options;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

options! {
    /// How messages of version 3 are authenticated.
    pub enum AuthProtocol {
        /// They are not.
        None,
        /// HMAC-MD5-96; needs `danger_weak_algorithms`.
        Md5,
        /// HMAC-SHA-96.
        Sha1,
        /// HMAC-128-SHA-224.
        Sha224,
        /// HMAC-192-SHA-256.
        Sha256,
        /// HMAC-256-SHA-384.
        Sha384,
        /// HMAC-384-SHA-512.
        Sha512,
    }
}

/// Calls `$work::<D>(…)` with the digest of a protocol; `$none` where there is none.
macro_rules! by_digest {
    ($protocol:expr, $none:expr, $work:ident($($argument:expr),*)) => {
        match $protocol {
            AuthProtocol::None => $none,
            AuthProtocol::Md5 => $work::<Md5>($($argument),*),
            AuthProtocol::Sha1 => $work::<Sha1>($($argument),*),
            AuthProtocol::Sha224 => $work::<Sha224>($($argument),*),
            AuthProtocol::Sha256 => $work::<Sha256>($($argument),*),
            AuthProtocol::Sha384 => $work::<Sha384>($($argument),*),
            AuthProtocol::Sha512 => $work::<Sha512>($($argument),*),
        }
    };
}

/// Bytes of a password, repeated, that make a key (RFC 3414 §A.2).
const MEGABYTE: usize = 1 << 20;

impl AuthProtocol {
    /// Bytes of the code in a message.
    pub fn code_size(self) -> usize {
        match self {
            AuthProtocol::None => 0,
            AuthProtocol::Md5 | AuthProtocol::Sha1 => 12,
            AuthProtocol::Sha224 => 16,
            AuthProtocol::Sha256 => 24,
            AuthProtocol::Sha384 => 32,
            AuthProtocol::Sha512 => 48,
        }
    }

    /// The digest of `parts`, one behind the other.
    pub(crate) fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn work<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut digest = D::new();
            parts.iter().for_each(|part| digest.update(part));
            digest.finalize().to_vec()
        }
        by_digest!(self, Vec::new(), work(parts))
    }

    /// The key that a password makes, of no engine yet (RFC 3414 §A.2). It is slow on purpose.
    pub(crate) fn stretch(self, password: &[u8]) -> Vec<u8> {
        fn work<D: Digest>(password: &[u8]) -> Vec<u8> {
            if password.is_empty() {
                return Vec::new();
            }
            // As many whole passwords as fit into a block, so that few calls are made.
            let block = password.repeat(4096_usize.div_ceil(password.len()));
            let mut digest = D::new();
            let mut left = MEGABYTE;
            while left > 0 {
                let part = left.min(block.len());
                digest.update(&block[..part]);
                left -= part;
            }
            digest.finalize().to_vec()
        }
        by_digest!(self, Vec::new(), work(password))
    }

    /// The code of a message.
    pub(crate) fn code(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        macro_rules! made {
            ($digest:ty) => {{
                // A key of any length is taken.
                let Ok(mut mac) = Hmac::<$digest>::new_from_slice(key) else { return Vec::new() };
                mac.update(message);
                let mut code = mac.finalize().into_bytes().to_vec();
                code.truncate(self.code_size());
                code
            }};
        }
        match self {
            AuthProtocol::None => Vec::new(),
            AuthProtocol::Md5 => made!(Md5),
            AuthProtocol::Sha1 => made!(Sha1),
            AuthProtocol::Sha224 => made!(Sha224),
            AuthProtocol::Sha256 => made!(Sha256),
            AuthProtocol::Sha384 => made!(Sha384),
            AuthProtocol::Sha512 => made!(Sha512),
        }
    }

    /// Whether `code` is that of the message, compared in a time that does not tell where they differ.
    pub(crate) fn fits(self, key: &[u8], message: &[u8], code: &[u8]) -> bool {
        let ours = self.code(key, message);
        !ours.is_empty() && bool::from(subtle::ConstantTimeEq::ct_eq(&ours[..], code))
    }
}
