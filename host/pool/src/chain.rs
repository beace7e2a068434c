//! [`Chains`]: values in a slab, each in at most one of several ordered chains. Every operation is
//! O(1) and, once the slab has grown, without allocation.

use slab::Slab;

const NONE: usize = usize::MAX;

/// Values with stable keys, linked into chains `0..chains`.
#[derive(Debug)]
pub(super) struct Chains<T> {
    nodes: Slab<Node<T>>,
    ends: Vec<ChainEnds>,
}

#[derive(Debug)]
struct Node<T> {
    value: T,
    chain: usize,
    before: usize,
    after: usize,
}

#[derive(Clone, Copy, Debug)]
struct ChainEnds {
    first: usize,
    last: usize,
    len: usize,
}

const EMPTY: ChainEnds = ChainEnds { first: NONE, last: NONE, len: 0 };

fn some(key: usize) -> Option<usize> {
    (key != NONE).then_some(key)
}

impl<T> Chains<T> {
    pub(super) fn new(chains: usize) -> Self {
        Self { nodes: Slab::new(), ends: vec![EMPTY; chains] }
    }

    /// Adds a value that is in no chain yet.
    pub(super) fn insert(&mut self, value: T) -> usize {
        self.nodes.insert(Node { value, chain: NONE, before: NONE, after: NONE })
    }

    pub(super) fn get(&self, key: usize) -> Option<&T> {
        self.nodes.get(key).map(|node| &node.value)
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut T> {
        self.nodes.get_mut(key).map(|node| &mut node.value)
    }

    /// Unlinks and gives out a value.
    pub(super) fn remove(&mut self, key: usize) -> Option<T> {
        self.unlink(key);
        self.nodes.try_remove(key).map(|node| node.value)
    }

    /// How many values there are, in a chain or in none.
    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// How many values `chain` has.
    pub(super) fn len(&self, chain: usize) -> usize {
        self.ends.get(chain).map_or(0, |ends| ends.len)
    }

    pub(super) fn first(&self, chain: usize) -> Option<usize> {
        self.ends.get(chain).and_then(|ends| some(ends.first))
    }

    pub(super) fn last(&self, chain: usize) -> Option<usize> {
        self.ends.get(chain).and_then(|ends| some(ends.last))
    }

    /// The first value of the first chain that has one.
    pub(super) fn first_of_all(&self) -> Option<usize> {
        self.ends.iter().find_map(|ends| some(ends.first))
    }

    /// The one behind `key` in its chain.
    pub(super) fn after(&self, key: usize) -> Option<usize> {
        self.nodes.get(key).and_then(|node| some(node.after))
    }

    /// All values with their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.nodes.iter().map(|(key, node)| (key, &node.value))
    }

    /// All values, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.nodes.iter_mut().map(|(key, node)| (key, &mut node.value))
    }

    /// Puts `key` at the head of `chain`.
    pub(super) fn push_first(&mut self, chain: usize, key: usize) {
        let head = self.first(chain);
        self.push_before(chain, head, key);
    }

    /// Puts `key` before `at` in `chain`, or at its end.
    pub(super) fn push_before(&mut self, chain: usize, at: Option<usize>, key: usize) {
        self.unlink(key);
        let Some(ends) = self.ends.get_mut(chain) else { return };
        ends.len += 1;
        let after = at.unwrap_or(NONE);
        let before = match self.nodes.get_mut(after) {
            Some(next) => std::mem::replace(&mut next.before, key),
            None => std::mem::replace(&mut ends.last, key),
        };
        match self.nodes.get_mut(before) {
            Some(previous) => previous.after = key,
            None => ends.first = key,
        }
        if let Some(node) = self.nodes.get_mut(key) {
            (node.chain, node.before, node.after) = (chain, before, after);
        }
    }

    /// Takes `key` out of its chain; the value stays.
    pub(super) fn unlink(&mut self, key: usize) {
        let Some(node) = self.nodes.get_mut(key) else { return };
        let (chain, before, after) = (node.chain, node.before, node.after);
        (node.chain, node.before, node.after) = (NONE, NONE, NONE);
        let Some(ends) = self.ends.get_mut(chain) else { return };
        ends.len -= 1;
        match self.nodes.get_mut(before) {
            Some(previous) => previous.after = after,
            None => ends.first = after,
        }
        match self.nodes.get_mut(after) {
            Some(next) => next.before = before,
            None => ends.last = before,
        }
    }

    /// Empties every chain and has `chains` of them from now on; the values stay.
    pub(super) fn rechain(&mut self, chains: usize) {
        for (_, node) in &mut self.nodes {
            (node.chain, node.before, node.after) = (NONE, NONE, NONE);
        }
        self.ends.clear();
        self.ends.resize(chains, EMPTY);
    }
}
