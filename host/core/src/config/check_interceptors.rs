//! Interceptors: each is there, once in a list, and no list is too long.

use super::check::Check;
use super::position::KeyPath;
use crate::connection::MAX_INTERCEPTORS;

impl Check<'_> {
    pub(super) fn interceptors(&mut self) {
        let config = self.config;
        for (name, interceptor) in &config.interceptors {
            if interceptor.interceptor.as_deref().is_some_and(str::is_empty) {
                let path = KeyPath::from_iter(["interceptors", name, "use"]);
                self.fail(path, "expected the name of an interceptor", None);
            }
        }
        for (table, names) in config.interceptor_lists() {
            let at = KeyPath::from_iter(table).key("interceptors");
            if names.len() > MAX_INTERCEPTORS {
                let message = format!("expected at most {MAX_INTERCEPTORS} interceptors");
                self.fail(at.clone(), message, None);
            }
            for (index, name) in names.iter().enumerate() {
                let path = at.index(index);
                if names[..index].contains(name) {
                    self.fail(path, "is in this list already", None);
                    continue;
                }
                let near = self.nearest_interceptor(name);
                if !config.interceptors.contains_key(name)
                    && !self.is_known(&KeyPath::from_iter(["interceptors", name]))
                {
                    self.fail(path, format!("there is no [interceptors.{name}]"), near);
                }
            }
        }
    }

    fn nearest_interceptor(&self, name: &str) -> Option<String> {
        let known = self.config.interceptors.keys();
        crate::nearest::did_you_mean(name, known).map(str::to_owned)
    }
}
