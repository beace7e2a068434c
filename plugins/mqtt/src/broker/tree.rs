//! [`Tree`]: subscriptions by the levels of their filters, so that a topic is looked up in as many steps as it has
//! levels, however many subscriptions there are.

use std::collections::HashMap;

/// One subscription of one session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Subscription {
    /// Whose.
    pub(super) session: u64,
    pub(super) qos: u8,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    /// Goes with its messages.
    pub(super) number: Option<u32>,
    /// Of all subscriptions with the same name and filter one has each message.
    pub(super) group: Option<String>,
}

#[derive(Default)]
struct Node {
    children: HashMap<String, Node>,
    here: Vec<Subscription>,
    /// Of filters that end with `#` below this level.
    below: Vec<Subscription>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.here.is_empty() && self.below.is_empty()
    }
}

/// Subscriptions of all sessions.
#[derive(Default)]
pub(super) struct Tree {
    root: Node,
}

impl Tree {
    /// Adds one, in the place of one with the same session, group and filter; whether it is new.
    pub(super) fn insert(&mut self, filter: &str, subscription: Subscription) -> bool {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            if level == "#" {
                return put(&mut node.below, subscription);
            }
            node = node.children.entry(level.to_owned()).or_default();
        }
        put(&mut node.here, subscription)
    }

    /// Removes one; whether it was there.
    pub(super) fn remove(&mut self, filter: &str, session: u64, group: Option<&str>) -> bool {
        let levels: Vec<&str> = filter.split('/').collect();
        remove(&mut self.root, &levels, session, group)
    }

    /// Gives those that a topic matches.
    pub(super) fn matching<'a>(&'a self, topic: &str, found: &mut impl FnMut(&'a Subscription)) {
        // Wildcards at the first level leave topics of the server alone (§4.7.2).
        matching(&self.root, Some(topic), topic.starts_with('$'), found);
    }

    /// Whether nothing is in it.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

fn put(list: &mut Vec<Subscription>, subscription: Subscription) -> bool {
    let same = |it: &&mut Subscription| {
        it.session == subscription.session && it.group == subscription.group
    };
    match list.iter_mut().find(same) {
        Some(known) => {
            *known = subscription;
            false
        }
        None => {
            list.push(subscription);
            true
        }
    }
}

fn remove(node: &mut Node, levels: &[&str], session: u64, group: Option<&str>) -> bool {
    let take = |list: &mut Vec<Subscription>| {
        let before = list.len();
        list.retain(|it| it.session != session || it.group.as_deref() != group);
        list.len() < before
    };
    match levels {
        [] => take(&mut node.here),
        ["#"] => take(&mut node.below),
        [level, rest @ ..] => {
            let Some(child) = node.children.get_mut(*level) else { return false };
            let removed = remove(child, rest, session, group);
            if child.is_empty() {
                node.children.remove(*level);
            }
            removed
        }
    }
}

/// `levels`: those of the topic that are left.
fn matching<'a>(
    node: &'a Node,
    levels: Option<&str>,
    no_wildcards: bool,
    found: &mut impl FnMut(&'a Subscription),
) {
    if !no_wildcards {
        node.below.iter().for_each(&mut *found);
    }
    let Some(levels) = levels else {
        node.here.iter().for_each(found);
        return;
    };
    if node.children.is_empty() {
        return;
    }
    let (level, rest) = match levels.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (levels, None),
    };
    if let Some(child) = node.children.get(level) {
        matching(child, rest, false, found);
    }
    if let Some(child) = node.children.get("+").filter(|_| !no_wildcards) {
        matching(child, rest, false, found);
    }
}

#[cfg(test)]
mod tests {
    use super::{Subscription, Tree};
    use crate::topic::matches;

    fn of(session: u64) -> Subscription {
        Subscription {
            session,
            qos: 0,
            no_local: false,
            retain_as_published: false,
            number: None,
            group: None,
        }
    }

    #[test]
    fn it_finds_what_filters_one_by_one_would() {
        let filters = [
            "#", "+", "+/+", "a", "a/#", "a/+", "a/b", "a/+/c", "+/b/#", "/", "/#", "$SYS/#",
            "$SYS/+",
        ];
        let mut tree = Tree::default();
        for (number, filter) in filters.iter().enumerate() {
            assert!(tree.insert(filter, of(number as u64)));
            assert!(!tree.insert(filter, of(number as u64)));
        }
        for topic in ["a", "a/b", "a/b/c", "a/x/c", "b", "/", "/x", "", "$SYS/x", "$SYS", "a/"] {
            let mut found = Vec::new();
            tree.matching(topic, &mut |it: &Subscription| found.push(it.session));
            found.sort_unstable();
            let fits =
                |(number, filter): (usize, &&str)| matches(filter, topic).then_some(number as u64);
            let expected: Vec<u64> = filters.iter().enumerate().filter_map(fits).collect();
            assert_eq!(found, expected, "{topic:?}");
        }
        for (number, filter) in filters.iter().enumerate() {
            assert!(tree.remove(filter, number as u64, None));
            assert!(!tree.remove(filter, number as u64, None));
        }
        assert!(tree.is_empty());
    }
}
