//! [`Permits`]: what one client may publish and subscribe to.

use super::options::Permission;
use crate::topic::{covers, is_filter, matches, shared};
use jackfield_plugin_api::{Error, Result};

/// What one client may do; without rules everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Permits(Option<Allowed>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Allowed {
    publish: Vec<String>,
    subscribe: Vec<String>,
}

impl Permits {
    /// Those of `rules` that are for this user, for this client.
    pub(super) fn of(rules: &[Permission], user: Option<&str>, client_id: &str) -> Self {
        if rules.is_empty() {
            return Permits(None);
        }
        let is_for = |rule: &&Permission| {
            rule.users.is_empty() || user.is_some_and(|user| rule.users.iter().any(|it| it == user))
        };
        let mut allowed = Allowed::default();
        for rule in rules.iter().filter(is_for) {
            let fill = |pattern: &String| filled(pattern, user, client_id);
            allowed.publish.extend(rule.publish.iter().filter_map(fill));
            allowed.subscribe.extend(rule.subscribe.iter().filter_map(fill));
        }
        Permits(Some(allowed))
    }

    /// Whether it may publish to a topic.
    pub(super) fn publish(&self, topic: &str) -> bool {
        let Some(allowed) = &self.0 else { return true };
        allowed.publish.iter().any(|pattern| matches(pattern, topic))
    }

    /// Whether it may have all that a filter matches.
    pub(super) fn subscribe(&self, filter: &str) -> bool {
        let Some(allowed) = &self.0 else { return true };
        let (_, plain) = shared(filter);
        allowed.subscribe.iter().any(|pattern| covers(pattern, plain))
    }
}

/// A pattern with the name of the user for `%u` and that of the client for `%c`. `None` where there is none, or it
/// would change what the pattern matches.
fn filled(pattern: &str, user: Option<&str>, client_id: &str) -> Option<String> {
    let plain = |name: &str| !name.is_empty() && !name.contains(['+', '#', '/', '%']);
    let mut text = pattern.to_owned();
    for (mark, name) in [("%u", user), ("%c", Some(client_id))] {
        if text.contains(mark) {
            text = text.replace(mark, name.filter(|name| plain(name))?);
        }
    }
    Some(text)
}

/// Looks at patterns before they are used.
///
/// # Errors
/// The first that is no filter.
pub(super) fn check(rules: &[Permission]) -> Result<()> {
    for pattern in rules.iter().flat_map(|rule| rule.publish.iter().chain(&rule.subscribe)) {
        let usual = pattern.replace("%u", "user").replace("%c", "client");
        if !is_filter(&usual) || shared(&usual).0.is_some() {
            let text = format!(
                "{pattern:?} is no pattern of topics: `+` and `#` stand for whole levels, `%u` for the user, \
                 `%c` for the client"
            );
            return Err(Error::option("permissions", text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Permits, check};
    use crate::broker::options::Permission;

    fn rule(users: &[&str], publish: &[&str], subscribe: &[&str]) -> Permission {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Permission { users: all(users), publish: all(publish), subscribe: all(subscribe) }
    }

    #[test]
    fn without_rules_all_is_allowed_and_with_them_what_one_of_them_names() {
        assert!(
            Permits::of(&[], None, "c").publish("a") && Permits::of(&[], None, "c").subscribe("#")
        );
        let rules = [
            rule(&[], &["public/#"], &["public/+"]),
            rule(&["lab"], &["lab/%u/%c"], &["lab/#", "$SYS/#"]),
        ];
        let lab = Permits::of(&rules, Some("lab"), "c1");
        assert!(lab.publish("lab/lab/c1") && lab.publish("public/a/b"));
        assert!(!lab.publish("lab/lab/c2") && !lab.publish("lab/other/c1"));
        assert!(
            lab.subscribe("lab/+/x") && lab.subscribe("$share/g/lab/#") && lab.subscribe("$SYS/a")
        );
        assert!(!lab.subscribe("public/#") && !lab.subscribe("#") && !lab.subscribe("+/a"));
        for other in [Permits::of(&rules, Some("other"), "c1"), Permits::of(&rules, None, "c1")] {
            assert!(other.publish("public/a") && other.subscribe("public/a"));
            assert!(!other.publish("lab/other/c1") && !other.subscribe("lab/a"));
        }
    }

    #[test]
    fn a_name_with_wildcards_or_levels_stands_for_nothing() {
        let rules = [rule(&[], &["u/%u/#"], &["c/%c"])];
        for name in ["+", "#", "a/b", "", "%c"] {
            let permits = Permits::of(&rules, Some(name), name);
            assert!(
                !permits.publish("u/x/y") && !permits.publish(&format!("u/{name}/y")),
                "{name}"
            );
            assert!(
                !permits.subscribe("c/x") && !permits.subscribe(&format!("c/{name}")),
                "{name}"
            );
        }
        assert!(!Permits::of(&rules, None, "c").publish("u//y"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(check(&[rule(&[], &["a/%u+/b"], &[])]).is_err());
        assert!(check(&[rule(&[], &[], &["a/#/b"])]).is_err());
        assert!(check(&[rule(&[], &[], &["$share/g/a"])]).is_err());
        assert!(check(&[rule(&["lab"], &["a/%u-%c/#", "+/x"], &["#"])]).is_ok());
    }
}
