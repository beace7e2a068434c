//! Recognising an object that came home: the host gives a driver a socket's stream, the driver
//! gives it back as its session, and the host has its own socket again, without a layer between.

use super::layout::abi;
use crate::watch::{self, Owner};
use std::any::TypeId;
use std::ffi::c_void;

/// One address for each binary that contains this crate: every plugin has its own copy.
static HERE: u8 = 0;

abi! {
    /// The first words of every table after its size.
    #[derive(Debug)]
    pub frozen struct Home {
        /// Address that tells which binary made the object.
        pub binary: *const u8,
        /// Answers the inner value's address when asked with its own type; only for the same binary.
        pub inner: unsafe extern "C" fn(data: *mut c_void, type_id: *const c_void) -> *mut c_void,
    }
}

// SAFETY: an address that is only compared and a function.
unsafe impl Send for Home {}
// SAFETY: as above.
unsafe impl Sync for Home {}

/// This binary's mark, for a table with the given `inner`.
pub(crate) const fn home(
    inner: unsafe extern "C" fn(*mut c_void, *const c_void) -> *mut c_void,
) -> Home {
    Home { binary: &raw const HERE, inner }
}

/// Whether this binary made the object.
pub(crate) fn is_home(home: &Home) -> bool {
    std::ptr::eq(home.binary, &raw const HERE)
}

/// Whose the object of a table is that has just come across.
///
/// # Safety
/// `home` points to that of a whole table.
pub(crate) unsafe fn owner_of(home: *const Home) -> Owner {
    // SAFETY: by this function's contract.
    if is_home(unsafe { &*home }) { Owner::NOBODY } else { watch::current() }
}

/// `value`'s address if the question is about type `T`.
///
/// # Safety
/// `type_id` points to a `TypeId` of this binary, which [`is_home`] has shown.
pub(crate) unsafe fn home_of<T: 'static>(value: *mut T, type_id: *const c_void) -> *mut c_void {
    // SAFETY: by this function's contract.
    let asked = unsafe { *type_id.cast::<TypeId>() };
    if asked == TypeId::of::<T>() { value.cast() } else { std::ptr::null_mut() }
}
