//! Bytes on their way across: borrowed text and reference-counted buffers.

use super::layout::abi;
use abi_stable::StableAbi;
use bytes::Bytes;
use std::ffi::c_void;

abi! {
    /// Borrowed UTF-8, valid for the call that it is an argument of.
    #[derive(StableAbi, Clone, Copy, Debug)]
    #[sabi(unsafe_opaque_fields)]
    pub frozen struct RawStr {
        ptr: *const u8,
        len: usize,
    }
}

impl RawStr {
    /// Borrows `text`.
    pub const fn new(text: &str) -> Self {
        RawStr { ptr: text.as_ptr(), len: text.len() }
    }

    /// The text, or "" when the other side sent what is not UTF-8.
    ///
    /// # Safety
    /// The bytes must be alive for `'a`: an argument is, for the length of its call.
    pub unsafe fn get<'a>(self) -> &'a str {
        // SAFETY: by this function's contract.
        let bytes = unsafe { slice_of(self.ptr, self.len) };
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

abi! {
    /// Owned bytes with the function that frees them.
    #[derive(StableAbi, Debug)]
    #[sabi(unsafe_opaque_fields)]
    pub frozen struct RawBuf {
        ptr: *const u8,
        len: usize,
        owner: *mut c_void,
        free: Option<unsafe extern "C" fn(*mut c_void)>,
    }
}

// SAFETY: a `RawBuf` is the only owner of what it frees, and its bytes are never written.
unsafe impl Send for RawBuf {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for RawBuf {}

impl RawBuf {
    /// No bytes, nothing to free.
    pub const fn empty() -> Self {
        RawBuf { ptr: std::ptr::null(), len: 0, owner: std::ptr::null_mut(), free: None }
    }

    /// Hands `bytes` over without copying.
    pub fn new(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return RawBuf::empty();
        }
        let (ptr, len) = (bytes.as_ptr(), bytes.len());
        let owner = Box::into_raw(Box::new(bytes)).cast();
        RawBuf { ptr, len, owner, free: Some(free_bytes) }
    }

    /// Takes the bytes over without copying.
    pub fn into_bytes(self) -> Bytes {
        if self.len == 0 {
            return Bytes::new();
        }
        Bytes::from_owner(self)
    }
}

unsafe extern "C" fn free_bytes(owner: *mut c_void) {
    // SAFETY: `owner` is the box that `RawBuf::new` made, freed once by `Drop`. The bytes may belong
    // to a type of the author's.
    super::guard_drop(unsafe { Box::from_raw(owner.cast::<Bytes>()) });
}

impl AsRef<[u8]> for RawBuf {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the owner keeps `len` bytes alive until `free`.
        unsafe { slice_of(self.ptr, self.len) }
    }
}

impl RawBuf {
    /// Whether there is nothing to free: what the taker of a slot leaves in it.
    pub(crate) fn is_given_away(&self) -> bool {
        self.free.is_none()
    }
}

/// As [`std::slice::from_raw_parts`], but a null pointer is no elements.
///
/// # Safety
/// `ptr` is null or points to `len` elements that are alive and not written for `'a`.
pub(crate) unsafe fn slice_of<'a, T>(ptr: *const T, len: usize) -> &'a [T] {
    if ptr.is_null() {
        return absent();
    }
    // SAFETY: by this function's contract.
    unsafe { std::slice::from_raw_parts(ptr, len) }
}

/// As [`slice_of`], to be written.
///
/// # Safety
/// `ptr` is null or points to `len` elements that are alive and not aliased for `'a`.
pub(crate) unsafe fn slice_of_mut<'a, T>(ptr: *mut T, len: usize) -> &'a mut [T] {
    if ptr.is_null() {
        return absent();
    }
    // SAFETY: by this function's contract.
    unsafe { std::slice::from_raw_parts_mut(ptr, len) }
}

/// No elements. Out of line, so that the common case pays one branch that is never taken.
#[cold]
#[inline(never)]
fn absent<T: Default>() -> T {
    T::default()
}

impl Drop for RawBuf {
    fn drop(&mut self) {
        if let Some(free) = self.free.take() {
            // SAFETY: `free` belongs to `owner` and runs once.
            unsafe { free(self.owner) };
        }
    }
}
