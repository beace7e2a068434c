//! Objects of two configurations, held against each other: [`pairs`].

use super::objects::{ObjectAt, ObjectId};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// An object of a configuration.
pub(super) type OneObject<'a> = (Cow<'a, ObjectId>, ObjectAt<'a>);

/// What two configurations have of an object.
pub(super) enum Pair<'a> {
    Added(&'a ObjectId),
    Removed(&'a ObjectId),
    Both(&'a ObjectId, &'a ObjectAt<'a>, &'a ObjectAt<'a>),
}

/// Every object of either. Where both list them alike, from their beginnings and from their ends, nothing is looked up:
/// a change is of few among thousands.
pub(super) fn pairs<'a>(old: &'a [OneObject<'a>], new: &'a [OneObject<'a>]) -> Vec<Pair<'a>> {
    let is_one = |(was, is): &(&OneObject<'_>, &OneObject<'_>)| was.0 == is.0;
    let first = old.iter().zip(new).take_while(is_one).count();
    let ((head, old), (same, new)) = (old.split_at(first), new.split_at(first));
    let last = old.iter().rev().zip(new.iter().rev()).take_while(is_one).count();
    let (old, tail) = old.split_at(old.len() - last);
    let (new, end) = new.split_at(new.len() - last);
    let both = |(was, is): (&'a OneObject<'a>, &'a OneObject<'a>)| Pair::Both(&is.0, &was.1, &is.1);
    let mut all: Vec<Pair<'a>> = head.iter().zip(same).map(both).collect();
    all.extend(tail.iter().zip(end).map(both));
    let mut left: BTreeMap<&ObjectId, &ObjectAt<'a>> =
        old.iter().map(|(id, there)| (id.as_ref(), there)).collect();
    all.extend(new.iter().map(|(id, is)| match left.remove(id.as_ref()) {
        Some(was) => Pair::Both(id, was, is),
        None => Pair::Added(id),
    }));
    all.extend(left.into_keys().map(Pair::Removed));
    all
}
