//! URIs of stacks, and names of destinations. What was read is written so that it reads the same.
#![no_main]

use jackfield::config::{Reference, Via};
use jackfield::stack::uri::StackUri;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match text.parse::<StackUri>() {
        Ok(uri) => {
            let _ = (uri.scheme(), uri.decoded_path(), uri.is_empty(), uri.query_pairs().count());
            // What is shown leaves a password out, so only without one is it the same. And it may be two
            // bytes longer than the longest: `a:/b` is shown as `a:///b`.
            let shown = uri.to_string();
            if !text.contains('@') && shown.len() <= 8192 {
                let again = shown.parse::<StackUri>();
                assert_eq!(again.as_ref().ok(), Some(&uri), "{shown:?} of {text:?}: {again:?}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(to) = text.parse::<Reference>() {
        let _ = to.to_string();
    }
    if let Ok(via) = text.parse::<Via>() {
        assert_eq!(via.to_string().parse::<Via>().ok(), Some(via));
    }
});
