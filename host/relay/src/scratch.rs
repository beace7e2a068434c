//! Room to read into: one buffer per thread, so that a relay in which nothing flows holds none.

use std::cell::Cell;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Runs `body` with a buffer of `size` bytes whose content is left over from others.
///
/// The buffer is taken out of its place meanwhile: a `body` that comes here again gets another.
pub(super) fn with_scratch<R>(size: usize, body: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut spare = SPARE.take();
    if spare.len() < size {
        spare.resize(size, 0);
    }
    let result = body(&mut spare[..size]);
    SPARE.set(spare);
    result
}
