//! Lists, page by page, and single items.

use super::fields;
use super::nouns::{self, Item, target_key};
use super::problem::ApiProblem;
use super::request::{AdminRequest, Reply};
use serde_json::{Map, Value, json};

const USUAL_LIMIT: usize = 100;
const MOST: usize = 1000;

/// `GET /v1/NOUN`.
pub(super) async fn list(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let noun = request.param("noun");
    let limit = request.number("limit", USUAL_LIMIT, MOST)?;
    let filters = filters(noun, &request)?;
    let fields: Option<Vec<&str>> = request.asked("fields").map(|it| it.split(',').collect());
    for field in fields.iter().flatten() {
        fields::find(noun, field).map_err(|unknown| unknown.into_problem("fields"))?;
    }
    let items = nouns::all(&request.api.manager, noun).unwrap_or_default();
    let total = items.len();
    let after = request.asked("cursor").unwrap_or_default();
    let begin = items.partition_point(|item| !after.is_empty() && item.key.as_str() <= after);
    let (page, next) = page(items.into_iter().skip(begin), limit, |item| {
        filters.iter().all(|filter| filter.takes(item))
    });
    let shown = page.into_iter().map(|item| match &fields {
        Some(fields) => only(&item, fields),
        None => item,
    });
    let items: Vec<Value> = shown.collect();
    Ok(Reply::ok(json!({ "items": items, "next": next, "total": total })))
}

/// The first `limit` items that are wanted, and the key to go on after, if there are more.
fn page(
    items: impl Iterator<Item = Item>,
    limit: usize,
    wanted: impl Fn(&Value) -> bool,
) -> (Vec<Value>, Option<String>) {
    let (mut page, mut last) = (Vec::new(), None);
    for item in items {
        if page.len() == limit {
            return (page, last);
        }
        let key = item.key.clone();
        let shown = item.show();
        if wanted(&shown) {
            page.push(shown);
            last = Some(key);
        }
    }
    (page, None)
}

/// `GET /v1/NOUN/NAME`.
pub(super) async fn one(request: AdminRequest) -> Result<Reply, ApiProblem> {
    let (noun, name) = (request.param("noun"), request.param("name"));
    let key = match request.param("upstream") {
        "" => name.to_owned(),
        upstream => {
            // Tells of an upstream that is not there by itself.
            request.api.manager.upstream(upstream)?;
            target_key(upstream, name)
        }
    };
    Ok(Reply::ok(nouns::one(&request.api.manager, noun, &key)?))
}

/// What must hold for an item.
#[derive(Debug, PartialEq)]
struct ListFilter {
    path: String,
    how: Comparison,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Is,
    IsNot,
    Has,
}

fn filters(noun: &str, request: &AdminRequest) -> Result<Vec<ListFilter>, ApiProblem> {
    let one = |text: &str| {
        let filter = ListFilter::parse(text).ok_or_else(|| {
            let expected =
                format!("expected FIELD=VALUE, FIELD!=VALUE or FIELD~PART, found {text:?}");
            ApiProblem::of_parameter("filter", expected)
        })?;
        let found = fields::find(noun, &filter.path);
        let found = found.map_err(|unknown| unknown.into_problem("filter"))?;
        found.into_value(&filter.path).map_err(|unknown| unknown.into_problem("filter"))?;
        Ok(filter)
    };
    let all = request.query.iter().filter(|(name, _)| name == "filter");
    all.map(|(_, text)| one(text)).collect()
}

impl ListFilter {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find(['=', '!', '~'])?;
        let (path, rest) = text.split_at(at);
        let marks = [("!=", Comparison::IsNot), ("=", Comparison::Is), ("~", Comparison::Has)];
        let (how, value) =
            marks.iter().find_map(|(mark, how)| Some((*how, rest.strip_prefix(mark)?)))?;
        (!path.is_empty()).then(|| ListFilter {
            path: path.to_owned(),
            how,
            value: value.to_owned(),
        })
    }

    fn takes(&self, item: &Value) -> bool {
        let mut found = Vec::new();
        at(item, &self.path, &mut found);
        let is = |it: &String| *it == self.value;
        match self.how {
            Comparison::Is => found.iter().any(is),
            Comparison::IsNot => !found.iter().any(is),
            Comparison::Has => found.iter().any(|it| it.contains(&self.value)),
        }
    }
}

/// The texts at a dotted path; in a list, those of each entry.
fn at(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| at(one, path, found)),
        Value::Object(table) if !path.is_empty() => {
            let (first, rest) = path.split_once('.').unwrap_or((path, ""));
            table.get(first).into_iter().for_each(|below| at(below, rest, found));
        }
        Value::String(text) if path.is_empty() => found.push(text.clone()),
        Value::Null | Value::Object(_) => {}
        other if path.is_empty() => found.push(other.to_string()),
        _ => {}
    }
}

/// An item with nothing but these keys.
fn only(item: &Value, fields: &[&str]) -> Value {
    let mut table = Map::new();
    for field in fields {
        pick(item, field, &mut table);
    }
    Value::Object(table)
}

fn pick(from: &Value, path: &str, into: &mut Map<String, Value>) {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let Some(below) = from.get(first) else { return };
    if rest.is_empty() {
        into.insert(first.to_owned(), below.clone());
        return;
    }
    let known = into.entry(first).or_insert_with(|| match below {
        Value::Array(all) => vec![json!({}); all.len()].into(),
        _ => json!({}),
    });
    match (below, known) {
        (Value::Array(all), Value::Array(known)) => {
            let tables = known.iter_mut().filter_map(Value::as_object_mut);
            all.iter().zip(tables).for_each(|(below, table)| pick(below, rest, table));
        }
        (below, Value::Object(table)) => pick(below, rest, table),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_compares_texts_numbers_and_entries_of_lists() {
        let item = json!({ "state": "up", "n": 3, "labels": { "site": "lab" },
                           "targets": [{ "state": "down" }, { "state": "up" }] });
        let takes = |text: &str| ListFilter::parse(text).unwrap().takes(&item);
        for yes in
            ["state=up", "n=3", "labels.site=lab", "labels.site~a", "targets.state=down", "x!=1"]
        {
            assert!(takes(yes), "{yes}");
        }
        for no in
            ["state=down", "n=4", "labels.site!=lab", "targets.state=drained", "x=1", "labels=x"]
        {
            assert!(!takes(no), "{no}");
        }
        assert_eq!(ListFilter::parse("state"), None);
        assert_eq!(ListFilter::parse("=up"), None);
    }

    #[test]
    fn fields_leave_the_rest_out() {
        let item = json!({ "a": 1, "b": { "c": 2, "d": 3 }, "e": 4,
                           "all": [{ "n": 1, "m": 2, "o": 3 }, { "n": 4 }] });
        assert_eq!(only(&item, &["a", "b.d", "x", "a.y"]), json!({ "a": 1, "b": { "d": 3 } }));
        let all = json!([{ "n": 1, "m": 2 }, { "n": 4 }]);
        assert_eq!(only(&item, &["all.n", "all.m"]), json!({ "all": all }));
    }
}
