//! [`PoolKey`]: which callers may share the members of one pool.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// What makes two connections interchangeable: the same target, reached through the same stack,
/// with the same credentials and options. Two callers use one pool only if their keys are equal.
///
/// The target is the address as it was asked for, never what it resolved to, and guards return
/// members to the slot they came from: a key is only used to find the pool. Credentials and options
/// are kept as salted fingerprints, so a key may be logged; the salt is new in each process, and so
/// fingerprints mean nothing outside it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PoolKey(Arc<Parts>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Parts {
    target: String,
    stack: String,
    credentials: Fingerprint,
    options: Fingerprint,
}

type Fingerprint = [u8; 16];

impl PoolKey {
    /// The key of `target` through `stack`, without credentials or options.
    pub fn new(target: impl Into<String>, stack: impl Into<String>) -> Self {
        Self(Arc::new(Parts {
            target: target.into(),
            stack: stack.into(),
            credentials: [0; 16],
            options: [0; 16],
        }))
    }

    /// With the parts of the credentials, secrets included: each counts with its place.
    #[must_use]
    pub fn credentials<'a>(mut self, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = salted();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Arc::make_mut(&mut self.0).credentials = finish(hash);
        self
    }

    /// With the options of the stack; the order of keys in tables does not matter.
    #[must_use]
    pub fn options(mut self, options: &Value) -> Self {
        let mut hash = salted();
        canonical(options, &mut hash);
        Arc::make_mut(&mut self.0).options = finish(hash);
        self
    }

    /// The target's address.
    pub fn target(&self) -> &str {
        &self.0.target
    }

    /// The stack's name.
    pub fn stack(&self) -> &str {
        &self.0.stack
    }
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.stack, self.0.target)
    }
}

impl fmt::Debug for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |print: &Fingerprint| hex(&print[..4]);
        f.debug_struct("PoolKey")
            .field("target", &self.0.target)
            .field("stack", &self.0.stack)
            .field("credentials", &short(&self.0.credentials))
            .field("options", &short(&self.0.options))
            .finish()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn salted() -> Sha256 {
    static SALT: OnceLock<[u8; 32]> = OnceLock::new();
    let salt = SALT.get_or_init(|| {
        // The standard library's hasher is keyed at random; eight bytes a time.
        let mut salt = [0; 32];
        for chunk in salt.chunks_mut(8) {
            use std::hash::{BuildHasher, RandomState};
            chunk.copy_from_slice(&RandomState::new().hash_one(0_u8).to_le_bytes());
        }
        salt
    });
    Sha256::new_with_prefix(salt)
}

fn finish(hash: Sha256) -> Fingerprint {
    let mut print = [0; 16];
    print.copy_from_slice(&hash.finalize()[..16]);
    print
}

/// Feeds `value` so that equal values, and only they, feed the same bytes.
fn canonical(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Array(items) => {
            hash.update([b'[']);
            hash.update((items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| canonical(item, hash));
        }
        Value::Object(table) => {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            hash.update([b'{']);
            hash.update((entries.len() as u64).to_le_bytes());
            for (name, value) in entries {
                hash.update((name.len() as u64).to_le_bytes());
                hash.update(name);
                canonical(value, hash);
            }
        }
        plain => {
            let text = plain.to_string();
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::PoolKey;

    fn key() -> PoolKey {
        PoolKey::new("host:22", "ssh").credentials([b"lab".as_slice(), b"hunter2"])
    }

    #[test]
    fn every_part_of_the_identity_tells_keys_apart() {
        assert_eq!(key(), key());
        assert_ne!(key(), PoolKey::new("host:22", "ssh"));
        assert_ne!(
            key(),
            PoolKey::new("host:23", "ssh").credentials([b"lab".as_slice(), b"hunter2"])
        );
        assert_ne!(
            key(),
            PoolKey::new("host:22", "tls").credentials([b"lab".as_slice(), b"hunter2"])
        );
        assert_ne!(
            key(),
            PoolKey::new("host:22", "ssh").credentials([b"labh".as_slice(), b"unter2"])
        );
        assert_ne!(key(), key().options(&json!({ "a": 1 })));
        assert_ne!(key().options(&json!({ "a": 1 })), key().options(&json!({ "a": "1" })));
        assert_ne!(key().options(&json!([["a"], "b"])), key().options(&json!([["a", "b"]])));
    }

    #[test]
    fn the_order_of_options_does_not_matter() {
        let one: serde_json::Value = serde_json::from_str(r#"{"a":1,"b":{"c":2,"d":3}}"#).unwrap();
        let two: serde_json::Value = serde_json::from_str(r#"{"b":{"d":3,"c":2},"a":1}"#).unwrap();
        assert_eq!(key().options(&one), key().options(&two));
    }

    #[test]
    fn a_key_never_shows_its_secrets() {
        let key = key().options(&json!({ "token": "hunter3" }));
        assert!(!format!("{key:?} {key}").contains("hunter"));
        assert_eq!(key.to_string(), "ssh://host:22");
    }
}
