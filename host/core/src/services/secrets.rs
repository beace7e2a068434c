//! [`PluginSecrets`]: the secrets that the configuration lets one plugin read.

use crate::nearest::did_you_mean;
use crate::secret::{Resolver, SecretRef};
use bytes::Bytes;
use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The secrets of one plugin: what it calls them, where each is kept, and the folder that relative names
/// are meant from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSecrets(BTreeMap<String, (SecretRef, PathBuf)>);

impl PluginSecrets {
    /// Lets the plugin read one more.
    pub fn grant(&mut self, name: &str, reference: SecretRef, base: PathBuf) {
        self.0.insert(name.to_owned(), (reference, base));
    }

    /// Reads the secret `name` where it is kept now. Cancel safe: a program that runs for it is ended.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] if `plugin` may not; [`ErrorKind::Config`] if it cannot be read. Neither has
    /// the value in it.
    pub(super) async fn read(&self, plugin: &str, name: &str) -> Result<Bytes> {
        let Some((reference, base)) = self.0.get(name) else {
            let known = || self.0.keys().map(String::as_str);
            let near = did_you_mean(name, known());
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            let text = format!("the configuration gives {plugin} no secret {name:?}{hint}");
            let given = known().collect::<Vec<_>>().join(" ");
            let given = if given.is_empty() { "none".to_owned() } else { given };
            return Err(Error::new(ErrorKind::Denied, text)
                .with("key", format!("plugins.{plugin}.secrets"))
                .with("given", given));
        };
        let resolver = Resolver { base: base.clone(), ..Resolver::default() };
        match resolver.resolve(reference).await {
            Ok(secret) => Ok(Bytes::copy_from_slice(secret.expose().as_bytes())),
            Err(error) => Err(Error::new(ErrorKind::Config, error.to_string())
                .with("key", format!("plugins.{plugin}.secrets.{name}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_was_granted_is_read_and_no_error_has_a_value() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hunter2\n").unwrap();
        let mut secrets = PluginSecrets::default();
        let base = folder.path().to_owned();
        secrets.grant("token", SecretRef::File("token".to_owned()), base.clone());
        secrets.grant("gone", SecretRef::File("gone".to_owned()), base);
        assert_eq!(secrets.read("p", "token").await.unwrap(), "hunter2");
        let denied = secrets.read("p", "tokne").await.unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::Denied);
        let text = "the configuration gives p no secret \"tokne\" (did you mean \"token\"?) \
                    [key=plugins.p.secrets, given=gone token]";
        assert!(denied.to_string().contains(text), "{denied}");
        let gone = secrets.read("p", "gone").await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::Config);
        assert!(gone.to_string().contains("plugins.p.secrets.gone"), "{gone}");
        let none = PluginSecrets::default().read("p", "token").await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::Denied);
        for error in [denied, gone, none] {
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }
}
