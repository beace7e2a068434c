//! What was written of objects at run time ([`super::written`]), brought into force at a start, and dropped.

use super::Manager;
use super::named::{Existing, Removal};
use super::written::{ReadObject, WrittenObject, of_path};
use crate::config::diff::{Changes, ObjectId, ObjectKind};
use crate::config::{ConfigErrors, Loaded, Reference};
use jackfield_plugin_api::{Error, ErrorKind};

impl Manager {
    /// Defines again what was kept, but for routes; what cannot be had is left out, with a warning.
    pub(super) async fn bring_written(&self) {
        self.core.written.set_restoring(true);
        for kind in
            [ObjectKind::Device, ObjectKind::Path, ObjectKind::Handler, ObjectKind::Upstream]
        {
            self.bring_kind(kind).await;
        }
    }

    /// The same of routes, once those of the configuration listen, and of what was removed.
    pub(super) async fn bring_written_routes(&self) {
        self.bring_kind(ObjectKind::Route).await;
        self.lead_to_written().await;
        for (what, written) in self.core.written.all() {
            let Some(object) = ObjectId::parse(&what).filter(|_| written.removed) else { continue };
            let removed = self.remove_written(&object, Removal::Detach, None).await;
            if let Err(error) = removed.or_else(|error| match error.kind() {
                ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            }) {
                tracing::warn!(what, %error, "it was removed at run time, and is there again");
            }
        }
        self.core.written.set_restoring(false);
    }

    /// Routes of the configuration were made before what they lead to was replaced.
    async fn lead_to_written(&self) {
        for what in self.core.written.all().into_keys() {
            match ObjectId::parse(&what) {
                Some(ObjectId { kind: ObjectKind::Upstream, name }) => {
                    self.reroute(&Reference::Upstream(name)).await;
                }
                Some(ObjectId { kind: ObjectKind::Handler, name }) => {
                    self.reroute(&Reference::Handler(name)).await;
                }
                _ => {}
            }
        }
    }

    async fn bring_kind(&self, kind: ObjectKind) {
        for (what, written) in self.core.written.all() {
            let object = ObjectId::parse(&what).filter(|object| object.kind == kind);
            let Some(object) = object.filter(|_| !written.removed) else { continue };
            let brought = match ReadObject::of(&object, written.definition.clone()) {
                Ok(read) => self.define_read(&object, read, Existing::Replace).await.map(drop),
                Err(error) => Err(Error::new(ErrorKind::Config, error.to_string())),
            };
            if let Err(error) = brought {
                tracing::warn!(what, %error, "what was defined at run time is left out");
            }
        }
    }

    /// A line for each object that was written, as it differs from the configuration.
    pub(super) fn written_drift(&self) -> Vec<String> {
        let line = |(what, written): (String, WrittenObject)| {
            let is_there = self.revision(&what).is_some();
            match (written.removed, written.over_configuration) {
                (true, _) => format!("{what} was removed"),
                (false, _) if !is_there => format!("{what} was defined, and is not in force"),
                (false, true) => format!("{what} was replaced"),
                (false, false) => format!("{what} was defined"),
            }
        };
        self.core.written.all().into_iter().map(line).collect()
    }

    /// Drops what was written; answers the objects that are as the configuration says once they are taken over anew.
    pub(super) async fn reset_written(&self) -> (Vec<ObjectId>, Vec<String>) {
        let (mut again, mut failed) = (Vec::new(), Vec::new());
        let mut all: Vec<(ObjectId, WrittenObject)> = self
            .core
            .written
            .all()
            .into_iter()
            .filter_map(|(what, written)| Some((ObjectId::parse(&what)?, written)))
            .collect();
        // What leads to others goes first.
        all.sort_by_key(|(object, _)| match object.kind {
            ObjectKind::Route => 0,
            ObjectKind::Upstream => 1,
            ObjectKind::Handler => 2,
            ObjectKind::Path => 3,
            _ => 4,
        });
        for (object, written) in all {
            let goes = !written.removed
                && (!written.over_configuration || object.kind == ObjectKind::Route);
            let end = Removal::Close { code: 0, reason: "reset".to_owned() };
            let gone = match goes && self.revision(&object.to_string()).is_some() {
                true => self.remove_written(&object, end, None).await,
                false => Ok(()),
            };
            match gone {
                Ok(()) => {
                    self.unwrite(&object.to_string());
                    again.extend(Some(object).filter(|_| written.over_configuration));
                }
                Err(error) => failed.push(error.to_string()),
            }
        }
        (again, failed)
    }

    /// Takes over objects of the configuration in force anew, in the place of what has their names.
    ///
    /// # Errors
    /// Every mistake found; nothing has changed then.
    pub(crate) async fn restore(
        &self,
        loaded: &Loaded,
        objects: &[ObjectId],
    ) -> Result<(), ConfigErrors> {
        let is_wanted = |object: &ObjectId| {
            objects.iter().any(|wanted| {
                wanted == object
                    || wanted.kind == ObjectKind::Device
                        && object.kind == ObjectKind::Path
                        && of_path(object).0 == wanted.name
            })
        };
        let changes = Changes::everything(loaded, &self.waiting()).only(is_wanted);
        if changes.is_empty() {
            return Ok(());
        }
        self.take_over(loaded, &changes, false).await?;
        for object in objects {
            let name = object.name.clone();
            match object.kind {
                ObjectKind::Upstream => self.reroute(&Reference::Upstream(name)).await,
                ObjectKind::Handler => self.reroute(&Reference::Handler(name)).await,
                _ => {}
            }
        }
        Ok(())
    }
}
