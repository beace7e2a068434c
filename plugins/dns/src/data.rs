//! What a record says, by the names of its parts.

use data_encoding::{BASE64, HEXLOWER};
use domain::base::{CharStr, ParsedName};
use domain::rdata::{AllRecordData, Txt};
use serde_json::{Value, json};

type Name<'a> = ParsedName<&'a [u8]>;

/// A name as it is written, without the dot at its end; the root is `.`.
pub(crate) fn name(name: &Name<'_>) -> String {
    or_root(name.to_string())
}

/// The root has no text of its own.
pub(crate) fn or_root(text: String) -> String {
    if text.is_empty() { ".".to_owned() } else { text }
}

/// The parts of a record; null of types that are seldom asked for, whose text has everything, too.
pub(crate) fn of(data: &AllRecordData<&[u8], Name<'_>>) -> Value {
    use AllRecordData as D;
    match data {
        D::A(a) => json!({ "address": a.addr().to_string() }),
        D::Aaaa(aaaa) => json!({ "address": aaaa.addr().to_string() }),
        D::Cname(cname) => json!({ "target": name(cname.cname()) }),
        D::Dname(dname) => json!({ "target": name(dname.dname()) }),
        D::Ns(ns) => json!({ "target": name(ns.nsdname()) }),
        D::Ptr(ptr) => json!({ "target": name(ptr.ptrdname()) }),
        D::Mx(mx) => json!({ "preference": mx.preference(), "exchange": name(mx.exchange()) }),
        D::Srv(srv) => json!({
            "priority": srv.priority(), "weight": srv.weight(), "port": srv.port(),
            "target": name(srv.target()),
        }),
        D::Soa(soa) => json!({
            "mname": name(soa.mname()), "rname": name(soa.rname()),
            "serial": soa.serial().into_int(), "refresh": soa.refresh().as_secs(),
            "retry": soa.retry().as_secs(), "expire": soa.expire().as_secs(),
            "minimum": soa.minimum().as_secs(),
        }),
        D::Txt(txt) => texts(txt),
        D::Caa(caa) => json!({
            "flags": caa.flags().bits(), "tag": caa.tag().to_string(), "value": text(caa.value()),
        }),
        D::Naptr(naptr) => json!({
            "order": naptr.order(), "preference": naptr.preference(),
            "flags": chars(naptr.flags()), "services": chars(naptr.services()),
            "regexp": chars(naptr.regexp()), "replacement": name(naptr.replacement()),
        }),
        D::Tlsa(tlsa) => json!({
            "usage": tlsa.usage().to_int(), "selector": tlsa.selector().to_int(),
            "matching": tlsa.matching_type().to_int(), "data": HEXLOWER.encode(tlsa.data()),
        }),
        D::Sshfp(key) => json!({
            "algorithm": key.algorithm().to_int(), "fingerprint_type": key.fingerprint_type().to_int(),
            "fingerprint": HEXLOWER.encode(key.fingerprint()),
        }),
        D::Svcb(svcb) => service(svcb.priority(), svcb.target(), svcb.params()),
        D::Https(https) => service(https.priority(), https.target(), https.params()),
        D::Ds(ds) => json!({
            "key_tag": ds.key_tag(), "algorithm": ds.algorithm().to_int(),
            "digest_type": ds.digest_type().to_int(), "digest": HEXLOWER.encode(ds.digest()),
        }),
        D::Dnskey(key) => json!({
            "flags": key.flags(), "protocol": key.protocol(), "algorithm": key.algorithm().to_int(),
            "key": BASE64.encode(key.public_key()),
        }),
        D::Unknown(unknown) => json!({ "hex": HEXLOWER.encode(unknown.data()) }),
        _ => Value::Null,
    }
}

/// A binding to a service (RFC 9460), with its parameters as they are written.
fn service(
    priority: u16,
    target: &Name<'_>,
    params: &domain::rdata::svcb::SvcParams<&[u8]>,
) -> Value {
    let params: Vec<String> = params.iter_all().flatten().map(|value| value.to_string()).collect();
    json!({ "priority": priority, "target": name(target), "params": params })
}

fn texts(txt: &Txt<&[u8]>) -> Value {
    let parts: Vec<String> = txt.iter_charstrs().map(|part| text(part.as_slice())).collect();
    json!({ "texts": parts })
}

fn chars(part: &CharStr<&[u8]>) -> String {
    text(part.as_slice())
}

/// What is not UTF-8 is replaced by question marks; the text of the record has it byte for byte.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
