//! What this copy of the file is told in its own bytes.

use jackfield_plugin_api::{Error, ErrorKind, Result};
use std::hint::black_box;

const LENGTH: usize = 48;
const MARK: usize = "faulty mode is: ".len();

/// Tests look for the mark and write over what follows it.
#[used]
static MODE: [u8; LENGTH] = *b"faulty mode is: works                           ";

/// The text after the mark.
pub(crate) fn mode() -> String {
    String::from_utf8_lossy(&black_box(&MODE)[MARK..]).trim_end().to_owned()
}

/// Starts as this copy is told to.
pub(crate) fn start() -> Result<()> {
    match mode().as_str() {
        "fails" => Err(Error::new(ErrorKind::NotFound, "there is no licence").with("file", "x")),
        "panics" => panic!("told to panic at the start"),
        "hangs" => crate::fault::block(),
        _ => Ok(()),
    }
}

/// Describes itself as this copy is told to.
pub(crate) fn describe() {
    assert!(mode() != "panics describing", "told to panic when described");
}
