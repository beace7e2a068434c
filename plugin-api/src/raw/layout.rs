//! The layout of what crosses, written once: [`abi!`] declares a struct and, beside it, its fields with
//! their offsets and sizes. Three things come of that: the committed snapshot `abi/1.lock`, which a test
//! compares; the fingerprint in each manifest, which a host compares before it loads a file; and the
//! reading of no word that the other side does not have.

use std::mem::MaybeUninit;

/// One field as it lies in memory.
#[cfg_attr(not(any(test, feature = "testing")), allow(dead_code, reason = "for the snapshot"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) name: &'static str,
    /// Bytes from the start of the struct.
    pub(crate) offset: usize,
    /// Bytes.
    pub(crate) size: usize,
    /// The type as it stands in the source.
    pub(crate) kind: &'static str,
    /// The ABI minor that appended it.
    pub(crate) since: u32,
}

impl Field {
    /// One of the first version.
    pub(crate) const fn new(
        name: &'static str,
        kind: &'static str,
        offset: usize,
        size: usize,
    ) -> Self {
        Field { name, offset, size, kind, since: 0 }
    }
}

/// One struct as it lies in memory.
#[cfg_attr(not(any(test, feature = "testing")), allow(dead_code, reason = "for the snapshot"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it starts with its size and may grow at its end; otherwise it is frozen.
    pub(crate) grows: bool,
    /// Its fields in order.
    pub(crate) fields: &'static [Field],
}

/// A struct declared by [`abi!`].
pub(crate) trait Declared {
    /// How it lies in memory.
    const LAYOUT: Layout;
}

/// A struct that starts with its `size` in bytes, as its writer knows it, and grows at its end.
///
/// # Safety
/// The first field is a `usize` that holds the number of bytes that may be read. Every field that came
/// with a later minor than 0 may be all zero bytes.
pub(crate) unsafe trait Grows: Declared {
    /// Its size in bytes since minor 0.
    const FIRST: usize = {
        let fields = Self::LAYOUT.fields;
        let (mut end, mut at) = (0, 0);
        while at < fields.len() {
            if fields[at].since == 0 {
                end = fields[at].offset + fields[at].size;
            }
            at += 1;
        }
        end
    };
}

/// The size that the writer of `raw` has given.
///
/// # Safety
/// `raw` points to at least a `usize`.
unsafe fn written<T: Grows>(raw: *const T) -> usize {
    // SAFETY: by this function's contract, and that of `Grows`.
    unsafe { raw.cast::<usize>().read() }
}

/// Whether `raw` has all that version 1.0 has: a null pointer and a struct that is too short do not.
///
/// # Safety
/// `raw` is null or points to at least a `usize`.
pub(crate) unsafe fn is_whole<T: Grows>(raw: *const T) -> bool {
    // SAFETY: by this function's contract.
    !raw.is_null() && unsafe { written(raw) } >= T::FIRST
}

/// Whether the writer of `raw` has the bytes up to `end`: to be asked before a field that came with a
/// later minor is read. [`entry!`] does both.
///
/// # Safety
/// As for [`is_whole`].
#[allow(dead_code, reason = "no minor has appended anything yet")]
pub(crate) unsafe fn reaches<T: Grows>(raw: *const T, end: usize) -> bool {
    // SAFETY: by this function's contract.
    !raw.is_null() && unsafe { written(raw) } >= end
}

/// Copies what the writer has, and zeros for what it does not know; `None` where it has less than
/// version 1.0.
///
/// # Safety
/// `raw` is null or points to as many readable bytes as its size says.
pub(crate) unsafe fn read<T: Grows + Copy>(raw: *const T) -> Option<T> {
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: no more is copied than both sides have; a later field may be zero.
    unsafe {
        if !is_whole(raw) {
            return None;
        }
        let bytes = written(raw).min(size_of::<T>());
        std::ptr::copy_nonoverlapping(raw.cast::<u8>(), copy.as_mut_ptr().cast::<u8>(), bytes);
        Some(copy.assume_init())
    }
}

#[allow(unused_macros, reason = "no minor has appended anything yet")]
/// Reads a field that came with a later minor: `None` where the other side does not have it.
///
/// `entry!(table => StreamTable.peek)`, inside `unsafe`: `table` points to a whole table.
macro_rules! entry {
    ($raw:expr => $type:ident . $field:ident) => {{
        const END: usize = $crate::raw::layout::end_of(
            &<$type as $crate::raw::layout::Declared>::LAYOUT,
            stringify!($field),
        );
        let raw: *const $type = $raw;
        if $crate::raw::layout::reaches(raw, END) { (*raw).$field } else { None }
    }};
}
#[allow(unused_imports, reason = "no minor has appended anything yet")]
pub(crate) use entry;

/// The bytes up to the end of a field.
pub(crate) const fn end_of(layout: &Layout, field: &str) -> usize {
    let mut at = 0;
    loop {
        assert!(at < layout.fields.len(), "no such field");
        if same(layout.fields[at].name, field) {
            return layout.fields[at].offset + layout.fields[at].size;
        }
        at += 1;
    }
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The size of a field's type, named by a function that reaches it.
pub(crate) const fn size_of_field<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

/// Declares a struct that crosses.
///
/// - `grows struct` starts with its size and may be appended to, in a `since MINOR { … }` block whose
///   fields are `Option`s or integers.
/// - `strided struct` lies in arrays whose stride goes with them; it grows in the same way.
/// - `prefix struct` is an `abi_stable` prefix type; it grows in the same way.
/// - `frozen struct` never changes inside a major.
macro_rules! abi {
    (@grows grows $name:ident) => {
        // SAFETY: `grows` says that the first field is the size; checked by the test of the snapshot.
        unsafe impl $crate::raw::layout::Grows for $name {}
    };
    (@grows $other:ident $name:ident) => {};
    (@is frozen) => { false };
    (@is $other:ident) => { true };
    (
        $(#[$meta:meta])*
        $vis:vis $growth:ident struct $name:ident {
            $($(#[$fmeta:meta])* $fvis:vis $field:ident : $type:ty,)*
        }
        $(since $since:literal {
            $($(#[$gmeta:meta])* $gvis:vis $gfield:ident : $gtype:ty,)*
        })*
    ) => {
        $(#[$meta])*
        #[repr(C)]
        $vis struct $name {
            $($(#[$fmeta])* $fvis $field: $type,)*
            $($($(#[$gmeta])* $gvis $gfield: $gtype,)*)*
        }

        impl $crate::raw::layout::Declared for $name {
            const LAYOUT: $crate::raw::layout::Layout = $crate::raw::layout::Layout {
                name: stringify!($name),
                grows: abi!(@is $growth),
                fields: &[
                    $($crate::raw::layout::Field {
                        name: stringify!($field),
                        offset: std::mem::offset_of!($name, $field),
                        size: $crate::raw::layout::size_of_field::<$name, _>(|it| &it.$field),
                        kind: stringify!($type),
                        since: 0,
                    },)*
                    $($($crate::raw::layout::Field {
                        name: stringify!($gfield),
                        offset: std::mem::offset_of!($name, $gfield),
                        size: $crate::raw::layout::size_of_field::<$name, _>(|it| &it.$gfield),
                        kind: stringify!($gtype),
                        since: $since,
                    },)*)*
                ],
            };
        }

        abi!(@grows $growth $name);
    };
}
pub(crate) use abi;
