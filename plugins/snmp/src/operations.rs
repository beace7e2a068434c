//! The operations of a client's sessions.

use crate::endpoint::Credentials;
use crate::json::{self, Given};
use crate::link::Link;
use crate::message::{Community, Content};
use crate::notification::{Notice, Notification};
use crate::oid::Oid;
use crate::options::Version;
use crate::pdu::{Kind, Pdu, VarBind};
use crate::request::number;
use crate::usm::seal::Header;
use crate::walk::{self, Wanted};
use jackfield_plugin_api::{Error, ErrorKind, Operation, Result, params};
use serde_json::{Value, json};

/// The most names of one request.
const NAMES: usize = 1024;

params! {
    /// Parameters of `get` and `get_next`: `oid`, `oids` or both.
    pub(crate) struct Get {
        /// One object: numbers joined by dots, or a name of `mib_files` with numbers behind.
        pub(crate) oid: Option<String>,
        /// Several.
        pub(crate) oids: Option<Vec<String>>,
    }

    /// Parameters of `get_bulk`.
    pub(crate) struct GetBulk {
        /// One object.
        pub(crate) oid: Option<String>,
        /// Several.
        pub(crate) oids: Option<Vec<String>>,
        /// Of how many of them, the first ones, only the next one is wanted; without it of none.
        pub(crate) non_repeaters: Option<u32>,
        /// How many are wanted of each other; without it the option `max_repetitions`.
        pub(crate) max_repetitions: Option<u32>,
    }

    /// Parameters of `walk`.
    pub(crate) struct Walk {
        /// What to walk: all that is under it.
        pub(crate) oid: String,
        /// What comes behind that is given first: `next` of a walk before.
        pub(crate) after: Option<String>,
        /// The most rows; without it the option `max_rows`.
        pub(crate) max_rows: Option<u32>,
        /// Rows that are asked for at once; without it the option `max_repetitions`.
        pub(crate) max_repetitions: Option<u32>,
    }

    /// Parameters of `set`: one value by `oid`, `type` and `value` or `hex`, or several by `values`.
    pub(crate) struct Set {
        /// The object of one value.
        pub(crate) oid: Option<String>,
        /// Its type.
        pub(crate) r#type: Option<String>,
        /// The value: a number, also as text, or a text.
        pub(crate) value: Option<Value>,
        /// Of an octet_string or opaque: its bytes as hexadecimal digits.
        pub(crate) hex: Option<String>,
        /// Several values, set together or not at all.
        pub(crate) values: Option<Vec<Given>>,
    }

    /// An object with its value.
    pub(crate) struct Row {
        /// Its numbers.
        pub(crate) oid: String,
        /// What it is called, where `mib_files` say so.
        pub(crate) name: Option<String>,
        /// As for `set`, or no_such_object, no_such_instance, end_of_mib_view.
        pub(crate) r#type: String,
        /// Its value; counter64 as a text of digits.
        pub(crate) value: Option<Value>,
        /// Bytes that are no text, as hexadecimal digits.
        pub(crate) hex: Option<String>,
        /// Of an object_identifier: what it is called.
        pub(crate) value_name: Option<String>,
    }

    /// What `get`, `get_next`, `get_bulk`, `set` and `inform` give.
    pub(crate) struct Rows {
        /// In the order of the question.
        pub(crate) values: Vec<Row>,
    }

    /// What `walk` gives.
    pub(crate) struct Walked {
        /// All that was found.
        pub(crate) rows: Vec<Row>,
        /// Whether that is all that there is.
        pub(crate) complete: bool,
        /// Where it is not: `after` of the walk that goes on.
        pub(crate) next: Option<String>,
        /// How often the agent was asked.
        pub(crate) requests: u32,
    }

    /// What `trap` gives: nothing.
    pub(crate) struct Sent {}
}

/// All of them.
pub(crate) fn all() -> Vec<Operation> {
    vec![
        Operation::new::<Get, Rows>("get", "Reads objects"),
        Operation::new::<Get, Rows>("get_next", "Reads what comes next behind objects"),
        Operation::new::<GetBulk, Rows>(
            "get_bulk",
            "Reads much that comes next behind objects; not by v1",
        ),
        Operation::new::<Walk, Walked>("walk", "Reads all that is under an object"),
        Operation::new::<Set, Rows>("set", "Sets objects, all of them or none"),
        Operation::new::<Notice, Sent>(
            "trap",
            "Sends a notification; whether it arrives is not known",
        ),
        Operation::new::<Notice, Rows>(
            "inform",
            "Sends a notification that is acknowledged; not by v1",
        ),
    ]
}

/// Runs one.
///
/// # Errors
/// What it says, or that there is none such.
pub(crate) async fn call(link: &Link, operation: &str, given: Value) -> Result<Value> {
    match operation {
        "get" => {
            let Get { oid, oids } = params(given)?;
            rows(link, Pdu::of_names(Kind::Get, names(link, &oid, &oids)?)).await
        }
        "get_next" => {
            let Get { oid, oids } = params(given)?;
            rows(link, Pdu::of_names(Kind::GetNext, names(link, &oid, &oids)?)).await
        }
        "get_bulk" => {
            let GetBulk { oid, oids, non_repeaters, max_repetitions } = params(given)?;
            not_by_v1(link, "get_bulk")?;
            let mut pdu = Pdu::of_names(Kind::GetBulk, names(link, &oid, &oids)?);
            let small = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
            pdu.status = small(non_repeaters.unwrap_or(0));
            pdu.index = small(max_repetitions.unwrap_or(link.endpoint.options.max_repetitions));
            rows(link, pdu).await
        }
        "walk" => walked(link, &params(given)?).await,
        "set" => set(link, params(given)?).await,
        "trap" => {
            notify(link, &params(given)?, Kind::Trap).await?;
            Ok(json!({}))
        }
        "inform" => notify(link, &params(given)?, Kind::Inform).await,
        _ => {
            let all = all();
            let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
            Err(Error::unsupported(&format!(
                "operation {operation:?}; there are: {}",
                names.join(" ")
            )))
        }
    }
}

fn wrong(name: &str, fault: &str) -> Error {
    Error::new(ErrorKind::Config, format!("{name}: {fault}"))
}

fn not_by_v1(link: &Link, operation: &str) -> Result<()> {
    match link.endpoint.options.version {
        Version::V1 => Err(Error::unsupported(&format!("`{operation}` by version v1"))),
        _ => Ok(()),
    }
}

fn named(link: &Link, option: &str, text: &str) -> Result<Oid> {
    link.endpoint.names.oid(text).map_err(|fault| wrong(option, &fault))
}

fn names(link: &Link, one: &Option<String>, several: &Option<Vec<String>>) -> Result<Vec<Oid>> {
    let all: Vec<Oid> = one
        .iter()
        .chain(several.iter().flatten())
        .map(|text| named(link, "oid", text))
        .collect::<Result<_>>()?;
    match all.len() {
        0 => Err(wrong("oid", "expected an object, such as 1.3.6.1.2.1.1.3.0")),
        1..=NAMES => Ok(all),
        count => Err(wrong("oids", &format!("expected at most {NAMES} objects, not {count}"))),
    }
}

async fn rows(link: &Link, pdu: Pdu) -> Result<Value> {
    let answer = link.values(pdu).await?;
    Ok(json!({ "values": json::all_shown(&answer.values, &link.endpoint.names) }))
}

/// What is to be walked: all of it, as far as `max_rows` does not say less.
///
/// # Errors
/// What of the parameters is wrong.
pub(crate) fn wanted(link: &Link, given: &Walk) -> Result<Wanted> {
    let root = named(link, "oid", &given.oid)?;
    let after = given.after.as_deref().map(|text| named(link, "after", text)).transpose()?;
    if given.max_rows == Some(0) {
        return Err(wrong("max_rows", "expected at least 1"));
    }
    let max_repetitions = given.max_repetitions.unwrap_or(link.endpoint.options.max_repetitions);
    if !(1..=10_000).contains(&max_repetitions) {
        return Err(wrong("max_repetitions", "expected 1 to 10000"));
    }
    Ok(Wanted {
        after: after.unwrap_or_else(|| root.clone()),
        root,
        max_rows: given.max_rows.map_or(usize::MAX, crate::endpoint::size),
        max_repetitions,
        max_bytes: usize::MAX,
    })
}

/// A walk whose rows are all in one answer, which is bounded.
async fn walked(link: &Link, given: &Walk) -> Result<Value> {
    let options = &link.endpoint.options;
    let mut wanted = wanted(link, given)?;
    if given.max_rows.is_some_and(|max_rows| max_rows > options.max_rows) {
        let fault = format!("expected 1 to {}, which is the option `max_rows`", options.max_rows);
        return Err(wrong("max_rows", &fault));
    }
    wanted.max_rows = wanted.max_rows.min(crate::endpoint::size(options.max_rows));
    wanted.max_bytes = crate::endpoint::size(options.max_answer);
    let found = walk::walk(link, wanted).await?;
    let mut answer = json!({
        "rows": json::all_shown(&found.rows, &link.endpoint.names),
        "complete": found.next.is_none(),
        "requests": found.requests,
    });
    if let Some(next) = found.next {
        answer["next"] = next.to_string().into();
    }
    Ok(answer)
}

async fn set(link: &Link, given: Set) -> Result<Value> {
    let one = match (given.oid, given.r#type) {
        (Some(oid), Some(r#type)) => Some(Given {
            oid,
            r#type,
            value: given.value,
            hex: given.hex,
            name: None,
            value_name: None,
        }),
        (None, None) if given.value.is_none() && given.hex.is_none() => None,
        _ => return Err(wrong("oid", "one value needs `oid`, `type`, and `value` or `hex`")),
    };
    let all = given.values.unwrap_or_default();
    let read =
        |it: &Given| json::read(it, &link.endpoint.names).map_err(|fault| wrong("values", &fault));
    let values: Vec<VarBind> = one.iter().chain(&all).map(read).collect::<Result<_>>()?;
    if values.is_empty() || values.len() > NAMES {
        return Err(wrong(
            "values",
            &format!("expected 1 to {NAMES} values, not {}", values.len()),
        ));
    }
    rows(link, Pdu::new(Kind::Set, values)).await
}

/// Sends a notification. An inform gives what its receiver has acknowledged.
///
/// # Errors
/// It is none, or is not acknowledged.
pub(crate) async fn notify(link: &Link, notice: &Notice, kind: Kind) -> Result<Value> {
    let since = link.host.now().saturating_sub(link.since).as_millis() / 10;
    // As the clock of an agent does it, it begins again after 497 days.
    let uptime = u32::try_from(since % (1 << 32)).unwrap_or_default();
    let notification = Notification::given(notice, uptime, &link.endpoint.names)?;
    if kind == Kind::Inform {
        not_by_v1(link, "inform")?;
        return rows(link, notification.pdu(Kind::Inform)).await;
    }
    let message = match &link.who {
        Credentials::Community(version, community) => {
            let content = match version {
                Version::V1 => Content::Trap(notification.v1()?),
                _ => Content::Pdu(Pdu { id: fastrand::i32(1..), ..notification.pdu(kind) }),
            };
            let community = community.expose().as_bytes().to_vec();
            Community { version: number(*version), community, content }.write()
        }
        Credentials::User(user) => {
            let own = link.endpoint.own.as_ref().ok_or_else(|| {
                let text =
                    "must be there to send a trap by version v3: its receiver knows us by it";
                Error::option("local_engine_id", text)
            })?;
            let pdu = Pdu { id: fastrand::i32(1..), ..notification.pdu(kind) };
            let scoped = link.scoped(&own.id, pdu);
            let header = Header {
                id: fastrand::i32(1..),
                engine: &own.id,
                clock: own.now(link.host.now()),
                flags: user.flags(),
                salt: link.endpoint.salt(),
            };
            user.seal(&header, &scoped)
        }
    };
    link.sent(message).await?;
    Ok(json!({}))
}
