//! [`TopicMap`]: topics that have another beginning on the other side of a route.

use crate::options::{Direction, MapEntry};
use crate::packet::{Filter, Publication};

/// The rules, tried in their order. Without any, all passes as it is.
#[derive(Debug, Default)]
pub(crate) struct TopicMap(Vec<MapEntry>);

impl TopicMap {
    pub(crate) fn new(entries: Vec<MapEntry>) -> Self {
        TopicMap(entries)
    }

    /// A message from the peer as the other side knows it; `None` if it does not pass.
    pub(crate) fn inwards(&self, publication: Publication) -> Option<Publication> {
        self.mapped(publication, Direction::In)
    }

    /// A message of the other side as the peer knows it; `None` if it does not pass.
    pub(crate) fn outwards(&self, publication: Publication) -> Option<Publication> {
        self.mapped(publication, Direction::Out)
    }

    fn mapped(&self, mut publication: Publication, way: Direction) -> Option<Publication> {
        if self.0.is_empty() {
            return Some(publication);
        }
        let (topic, qos) = self.0.iter().find_map(|entry| {
            let (from, to) = ends(entry, way)?;
            let rest = publication.topic.strip_prefix(from)?;
            Some((format!("{to}{rest}"), entry.qos))
        })?;
        // What begins with a rule's text and has nothing behind it would have no topic.
        if topic.is_empty() {
            return None;
        }
        publication.topic = topic;
        publication.qos = publication.qos.min(qos);
        Some(publication)
    }

    /// A filter of the other side as the peer is to be asked for it; `None` if nothing that it matches passes, or
    /// if it has a wildcard where a rule has its text, `#` by itself excepted, which is all of the first rule.
    pub(crate) fn filter(&self, filter: &Filter) -> Option<Filter> {
        if self.0.is_empty() {
            return Some(filter.clone());
        }
        let (group, plain) = match crate::topic::shared(&filter.filter) {
            (Some(group), plain) => (format!("$share/{group}/"), plain),
            (None, plain) => (String::new(), plain),
        };
        self.0.iter().find_map(|entry| {
            let (to, from) = ends(entry, Direction::In)?;
            let rest = if plain == "#" { plain } else { plain.strip_prefix(from)? };
            let mut asked = filter.clone();
            asked.filter = format!("{group}{to}{rest}");
            asked.qos = asked.qos.min(entry.qos);
            Some(asked)
        })
    }
}

/// What a topic begins with before and behind a rule, on its way in or out.
fn ends(entry: &MapEntry, way: Direction) -> Option<(&str, &str)> {
    let passes = entry.direction == Direction::Both || entry.direction == way;
    passes.then_some(match way {
        Direction::Out => (&entry.local, &entry.remote),
        _ => (&entry.remote, &entry.local),
    })
}

#[cfg(test)]
mod tests {
    use super::TopicMap;
    use crate::options::{Direction, MapEntry};
    use crate::packet::{Filter, Publication};

    fn entry(local: &str, remote: &str, direction: Direction, qos: u8) -> MapEntry {
        MapEntry { local: local.into(), remote: remote.into(), direction, qos }
    }

    #[test]
    fn beginnings_are_exchanged_and_what_no_rule_names_does_not_pass() {
        let map = TopicMap::new(vec![
            entry("lab/1/", "sensors/", Direction::In, 1),
            entry("orders/", "lab1/orders/", Direction::Out, 2),
        ]);
        let of = |topic: &str| Publication::new(topic.to_owned(), "x", 2);
        let inwards = map.inwards(of("sensors/t")).unwrap();
        assert_eq!((inwards.topic.as_str(), inwards.qos), ("lab/1/t", 1));
        assert_eq!(map.outwards(of("orders/a")).unwrap().topic, "lab1/orders/a");
        assert!(map.outwards(of("lab/1/t")).is_none());
        assert!(map.inwards(of("lab1/orders/a")).is_none());
        assert!(map.inwards(of("other")).is_none());
    }

    #[test]
    fn filters_are_asked_for_as_the_peer_names_its_topics() {
        let map = TopicMap::new(vec![entry("lab/", "", Direction::Both, 1)]);
        let asked = |filter: &str| map.filter(&Filter::new(filter, 2)).map(|filter| filter.filter);
        assert_eq!(asked("lab/+/t").as_deref(), Some("+/t"));
        assert_eq!(asked("#").as_deref(), Some("#"));
        assert_eq!(asked("$share/g/lab/a").as_deref(), Some("$share/g/a"));
        assert_eq!(asked("other/#"), None);
        assert_eq!(map.filter(&Filter::new("lab/x", 2)).unwrap().qos, 1);
        assert_eq!(TopicMap::default().filter(&Filter::new("a", 2)).unwrap().qos, 2);
    }
}
