//! Values on their way across: text, bytes, errors, addresses, secrets.

use super::{Count, OnDrop};
use crate::raw::{Home, RawBuf, RawError, RawStr, home, is_home};
use crate::{Address, Error, ErrorKind, Facets, HeaderBlock, Origin, Retry, Secret};
use bytes::Bytes;
use std::ffi::c_void;

#[test]
fn text_that_is_not_utf8_or_not_there_is_empty() {
    let text = "grüße";
    // SAFETY: the text is alive.
    assert_eq!(unsafe { RawStr::new(text).get() }, text);
    // SAFETY: as above.
    assert_eq!(unsafe { RawStr::new("").get() }, "");
}

#[test]
fn bytes_are_handed_over_and_freed_once() {
    struct Owned(OnDrop);
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            let _ = &self.0;
            b"owned"
        }
    }
    let freed = Count::default();
    let bytes = Bytes::from_owner(Owned(OnDrop::count(&freed)));
    let place = bytes.as_ptr();
    let back = RawBuf::new(bytes).into_bytes();
    assert_eq!((back.as_ptr(), back.as_ref()), (place, &b"owned"[..]));
    let part = back.slice(1..3);
    drop(back);
    assert_eq!((part.as_ref(), freed.get()), (&b"wn"[..], 0));
    drop(part);
    assert_eq!(freed.get(), 1);
    // Never opened, dropped on the way.
    drop(RawBuf::new(Bytes::from_owner(Owned(OnDrop::count(&freed)))));
    assert_eq!(freed.get(), 2);
    assert_eq!(RawBuf::empty().into_bytes(), Bytes::new());
}

#[test]
fn an_error_crosses_whole() {
    let error = Error::new(ErrorKind::Limit, "too \"large\"\n")
        .with("frame", 17)
        .with("limit", "16 MiB")
        .with_origin(Origin::Downstream)
        .with_retry(Retry::IfReused);
    assert_eq!(Error::from_raw(error.clone().into_raw()), error);
    assert_eq!(Error::from(error.clone().into_io()), error);
    assert!(error.to_string().ends_with("[frame=17, limit=16 MiB]"));
}

#[test]
fn an_error_is_a_table_for_programs_with_the_code_of_its_protocol() {
    let error = Error::new(ErrorKind::Closed, "gone").with("peer", "a").with("code", 4001);
    assert_eq!((error.code(), error.is_fatal()), (Some(4001), false));
    let expected = serde_json::json!({
        "kind": "closed", "origin": "upstream", "retry": "if_reused", "code": 4001,
        "message": "gone", "context": [["peer", "a"], ["code", "4001"]],
    });
    assert_eq!(serde_json::to_value(&error).unwrap(), expected);
    let error = Error::new(ErrorKind::Closed, "gone").with_code("quic.application", 4_u32);
    let error = Error::from_raw(error.into_raw());
    assert_eq!((error.code(), error.code_space()), (Some(4), Some("quic.application")));
    assert_eq!(serde_json::to_value(&error).unwrap()["code_space"], "quic.application");
    assert_eq!(error.to_string(), "gone [code=4, code_space=quic.application]");
    let other = Error::new(ErrorKind::Config, "wrong").with("code", "none").with("code_space", "x");
    assert_eq!(other.code_space(), None, "a space without a number says nothing");
    assert_eq!((other.code(), other.is_fatal()), (None, true));
    assert!(serde_json::to_value(&other).unwrap().get("code").is_none());
}

#[test]
fn an_error_of_a_newer_or_broken_side_is_still_an_error() {
    let raw = RawError { kind: 9999, origin: 99, retry: 99, ..RawError::empty() };
    let error = Error::from_raw(raw);
    assert_eq!(error.kind(), ErrorKind::Other);
    assert_eq!((error.origin(), error.retry()), (Origin::Internal, Retry::Never));
    assert!(error.message().contains("unreadable"), "{error}");
}

#[test]
fn secrets_do_not_show() {
    let address = Address {
        user: Some("lab".into()),
        password: Some(Secret::new("hunter2")),
        ..Address::new("host", 22)
    };
    let shown = [
        format!("{:?}", Secret::new("hunter2")),
        format!("{:#?}", Some(Secret::new("hunter2"))),
        format!("{address:?}"),
        serde_json::to_string(&Secret::new("hunter2")).unwrap(),
        format!("{:?}", HeaderBlock::new([("authorization", "hunter2")]).unwrap()),
    ];
    for text in shown {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let schema = serde_json::to_value(schemars::schema_for!(Secret)).unwrap();
    assert_eq!(schema["x-secret"], true);
}

#[test]
fn an_address_crosses_with_what_was_given_and_what_was_not() {
    let full = Address {
        path: "/a".into(),
        query: Some(String::new()),
        user: Some(String::new()),
        password: Some(Secret::new("")),
        ..Address::new("::1", 0)
    };
    for address in [full, Address::default()] {
        // SAFETY: the address is alive for the call.
        let again = address.lend(|raw| unsafe { Address::from_raw(raw) });
        assert_eq!(again, address);
    }
}

#[test]
fn facets_of_a_newer_side_are_kept() {
    let facets = Facets::from_bits_retain(1 << 63 | Facets::STREAM.bits());
    assert_eq!(facets.bits(), 1 << 63 | 1);
    assert_eq!(facets.names().collect::<Vec<_>>(), ["stream"]);
}

#[test]
fn an_object_of_another_binary_is_not_taken_for_ours() {
    unsafe extern "C" fn inner(_: *mut c_void, _: *const c_void) -> *mut c_void {
        std::ptr::null_mut()
    }
    let elsewhere = 0_u8;
    assert!(is_home(&home(inner)));
    assert!(!is_home(&Home { binary: &raw const elsewhere, inner }));
}
