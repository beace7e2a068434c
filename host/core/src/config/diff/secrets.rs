//! [`Secrets`]: what stands behind the references to secrets, to see when that changes.

use super::objects::{ObjectId, ObjectKind, each};
use crate::config::Loaded;
use crate::parallel;
use crate::secret::{Resolver, SecretRef};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::LazyLock;

/// References that are followed at a time.
const AT_A_TIME: usize = 16;

/// What secrets hash to, with something that only this process knows.
static SALT: LazyLock<[u8; 16]> = LazyLock::new(|| fastrand::u128(..).to_be_bytes());

/// A hash of a secret. `Display` has its beginning.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SecretHash([u8; 32]);

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stood behind each reference to a secret of a configuration when it was read, as hashes.
#[derive(Clone, Debug, Default)]
pub struct Secrets(BTreeMap<ObjectId, BTreeMap<Vec<String>, SecretHash>>);

impl Secrets {
    /// Reads all that variables, files and programs hold now. What cannot be read counts as another secret; what
    /// cannot be known without a person is left out. At most 10 s for each, of which 16 are read at a time.
    pub async fn read(loaded: &Loaded) -> Self {
        WantedSecrets::of(loaded).read().await
    }

    pub(super) fn of(
        &self,
        object: &ObjectId,
    ) -> impl Iterator<Item = (&Vec<String>, &SecretHash)> {
        self.0.get(object).into_iter().flatten()
    }

    pub(super) fn get(&self, object: &ObjectId, keys: &[String]) -> Option<&SecretHash> {
        self.0.get(object)?.get(keys)
    }
}

/// A reference to a secret, and where it stands.
struct WantedSecret {
    object: ObjectId,
    keys: Vec<String>,
    /// The folder that a file is meant from.
    base: PathBuf,
    reference: SecretRef,
}

/// The references to secrets of a configuration.
pub(crate) struct WantedSecrets(Vec<WantedSecret>);

impl WantedSecrets {
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let (mut wanted, mut found) = (Vec::new(), Vec::new());
        for (object, there) in each(loaded) {
            // What plugins may read by themselves they read when they need it.
            if object.kind == ObjectKind::Plugin {
                continue;
            }
            references(&there.value, &mut Vec::new(), &mut found);
            for (keys, reference) in found.drain(..) {
                let at = keys.iter().fold(there.place(&object), |at, key| at.key(key));
                let base = loaded.sources.base_dir(&at);
                let object = object.clone().into_owned();
                wanted.push(WantedSecret { object, keys, base, reference });
            }
        }
        WantedSecrets(wanted)
    }

    /// The files that they are in.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        let file = |wanted: &WantedSecret| match &wanted.reference {
            SecretRef::File(name) => {
                let resolver = Resolver { base: wanted.base.clone(), ..Resolver::default() };
                Some(resolver.path(name))
            }
            _ => None,
        };
        self.0.iter().filter_map(file).collect()
    }

    /// As [`Secrets::read`].
    pub(crate) async fn read(self) -> Secrets {
        let read = self.0.into_iter().map(|wanted| async move {
            let hash = hash(wanted.base, wanted.reference).await;
            (wanted.object, wanted.keys, hash)
        });
        let mut all = Secrets::default();
        for (object, keys, hash) in parallel::in_order(read, AT_A_TIME).await {
            all.0.entry(object).or_default().insert(keys, hash);
        }
        all
    }
}

async fn hash(base: PathBuf, reference: SecretRef) -> SecretHash {
    let resolver = Resolver { base, ..Resolver::default() };
    let text = match resolver.resolve(&reference).await {
        Ok(secret) => format!("+{}", secret.expose()),
        Err(_) => "-".to_owned(),
    };
    let hash = Sha256::new().chain_update(*SALT).chain_update(text.as_bytes());
    SecretHash(hash.finalize().into())
}

fn references(value: &Value, here: &mut Vec<String>, found: &mut Vec<(Vec<String>, SecretRef)>) {
    match SecretRef::detect(value) {
        Some(SecretRef::Prompt(_)) => return,
        Some(reference) => return found.push((here.clone(), reference)),
        None => {}
    }
    let mut go = |key: String, value: &Value| {
        here.push(key);
        references(value, here, found);
        here.pop();
    };
    // Only tables can be references, so that most values need no look.
    match value {
        Value::Object(table) => {
            let below = table.iter().filter(|(_, value)| is_nested(value));
            below.for_each(|(key, value)| go(key.clone(), value));
        }
        Value::Array(list) => {
            let below = list.iter().enumerate().filter(|(_, value)| is_nested(value));
            below.for_each(|(index, value)| go(index.to_string(), value));
        }
        _ => {}
    }
}

fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}
