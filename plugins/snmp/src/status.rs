//! What an agent says went wrong (RFC 3416 §3, RFC 3414 §3.2).

use crate::pdu::Pdu;
use crate::usm::seal::Report;
use jackfield_plugin_api::{Error, ErrorKind};

/// Names of `error-status`, by number.
const NAMES: [&str; 19] = [
    "noError",
    "tooBig",
    "noSuchName",
    "badValue",
    "readOnly",
    "genErr",
    "noAccess",
    "wrongType",
    "wrongLength",
    "wrongEncoding",
    "wrongValue",
    "noCreation",
    "inconsistentValue",
    "resourceUnavailable",
    "commitFailed",
    "undoFailed",
    "authorizationError",
    "notWritable",
    "inconsistentName",
];

/// `tooBig`.
pub(crate) const TOO_BIG: i32 = 1;
/// `noSuchName`.
pub(crate) const NO_SUCH_NAME: i32 = 2;
/// `authorizationError`.
const AUTHORIZATION: i32 = 16;

/// What an answer with an error says.
pub(crate) fn refused(answer: &Pdu) -> Error {
    let at = usize::try_from(answer.status).ok().and_then(|at| NAMES.get(at));
    let name =
        at.map_or_else(|| format!("error-status {}", answer.status), |name| (*name).to_owned());
    let kind = match answer.status {
        AUTHORIZATION => ErrorKind::Denied,
        TOO_BIG => ErrorKind::Limit,
        _ => ErrorKind::Refused,
    };
    let index = usize::try_from(answer.index).ok().and_then(|index| index.checked_sub(1));
    let about = index.and_then(|at| answer.values.get(at));
    let text = match about {
        Some(pair) => format!(
            "the agent answers {name} for {}, value {} of {}",
            pair.oid,
            answer.index,
            answer.values.len()
        ),
        None => format!("the agent answers {name}"),
    };
    let error = Error::new(kind, text).with("status", name);
    // A number below 0 is none.
    let error = match u64::try_from(answer.status) {
        Ok(status) => error.with_code("snmp", status),
        Err(_) => error,
    };
    match about {
        Some(pair) => error.with("index", answer.index).with("oid", &pair.oid),
        None => error,
    }
}

/// What a report about a message of ours says; `None` is one that we do not know.
pub(crate) fn reported(report: Option<Report>) -> Error {
    let Some(report) = report else {
        let text = "the peer's engine reports something that is no known report";
        return Error::new(ErrorKind::Protocol, text);
    };
    let (kind, means) = match report {
        Report::UnknownUserNames => (ErrorKind::Denied, "it does not know this user"),
        Report::WrongDigests => (
            ErrorKind::Denied,
            "`auth` or the password for it is not the one that it has for this user",
        ),
        Report::DecryptionErrors => (
            ErrorKind::Denied,
            "`privacy` or the password for it is not the one that it has for this user",
        ),
        Report::UnsupportedSecLevels => {
            (ErrorKind::Denied, "it does not take this user with this level of security")
        }
        Report::NotInTimeWindows => {
            (ErrorKind::Protocol, "our clock of it is wrong, even after it was set again")
        }
        Report::UnknownEngineIds => (ErrorKind::Protocol, "it is another engine than it was"),
        Report::UnknownContexts | Report::UnavailableContexts => {
            (ErrorKind::Refused, "it does not have this `context`")
        }
        Report::UnknownSecurityModels | Report::InvalidMsgs | Report::UnknownPduHandlers => {
            (ErrorKind::Refused, "it does not take such messages")
        }
    };
    let name = report.name();
    Error::new(kind, format!("the peer's engine reports {name}: {means}")).with("report", name)
}
