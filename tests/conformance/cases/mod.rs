//! The cases. Each is a function that panics where a driver does not conform.

mod ends;
mod events;
mod hostile;
mod load;
mod opening;
mod strangers;
mod words;

use futures_util::{FutureExt, future::LocalBoxFuture};
use jackfield_plugin_api::{DriverManifest, Facets};

use super::subject::{OnDatagrams, Subject};

/// One column of the table.
pub(super) struct Case {
    /// As it stands in the table.
    pub(super) name: &'static str,
    /// What is shown, for the list below the table.
    pub(super) shows: &'static str,
    /// Whether it makes sense for a driver, by its manifest.
    pub(super) offered: fn(&Subject, &DriverManifest) -> bool,
    pub(super) run: fn(Subject) -> LocalBoxFuture<'static, ()>,
}

fn always(_: &Subject, _: &DriverManifest) -> bool {
    true
}

/// Something that is sent, beside questions and their answers.
fn data(_: &Subject, manifest: &DriverManifest) -> bool {
    any_of(manifest, &[Facets::STREAM, Facets::MESSAGES, Facets::DATAGRAMS, Facets::EXCHANGE])
}

fn any_of(manifest: &DriverManifest, facets: &[Facets]) -> bool {
    facets.iter().any(|facet| manifest.facets.contains(*facet))
}

/// Bytes with an end of their own for each direction.
fn halves(_: &Subject, manifest: &DriverManifest) -> bool {
    any_of(manifest, &[Facets::STREAM, Facets::EXCHANGE])
}

/// What may not be lost, so that a sender has to wait.
fn reliable(_: &Subject, manifest: &DriverManifest) -> bool {
    any_of(manifest, &[Facets::STREAM, Facets::MESSAGES, Facets::EXCHANGE])
}

fn has_form(subject: &Subject, _: &DriverManifest) -> bool {
    subject.at.is_some()
}

/// Whether its peer has to say something before a session is open.
fn asks_first(subject: &Subject, manifest: &DriverManifest) -> bool {
    has_form(subject, manifest) || matches!(subject.on_datagrams, OnDatagrams::Protected(_))
}

/// Whether there are bytes that it takes for wrong.
fn can_be_wrong(subject: &Subject, manifest: &DriverManifest) -> bool {
    has_form(subject, manifest) || !matches!(subject.on_datagrams, OnDatagrams::No)
}

/// Whether somebody can stand between it and its peer, and change what they say.
fn can_be_cut(subject: &Subject, manifest: &DriverManifest) -> bool {
    can_be_wrong(subject, manifest) && !matches!(subject.on_datagrams, OnDatagrams::Unix)
}

fn can_be_nowhere(subject: &Subject, _: &DriverManifest) -> bool {
    subject.nowhere.is_some()
}

macro_rules! cases {
    ($($name:literal, $offered:expr, $run:path, $shows:literal;)*) => {
        /// All cases, in the order of the table.
        pub(super) const CASES: &[Case] = &[$(Case {
            name: $name,
            shows: $shows,
            offered: $offered,
            run: |subject| $run(subject).boxed_local(),
        }),*];
    };
}

cases! {
    "round trip", data, load::round_trip,
        "what is sent comes back, byte for byte, in small and odd pieces";
    "16 MiB", data, load::complete,
        "16 MiB there and back at once, complete and in order";
    "our end first", halves, ends::ours_first,
        "we end our direction; the peer, who waited for that, still answers";
    "peer's end first", halves, ends::peers_first,
        "the peer ends its direction; ours goes on";
    "slow reader", reliable, load::slow_reader,
        "a peer that reads nothing makes the sender wait with less than 32 MiB under way, kernel \
         buffers of two hosts included; once it reads, nothing is missing";
    "dead reader", reliable, load::dead_reader,
        "a peer that never reads: closing completes all the same, and the host goes on";
    "peer killed", reliable, ends::peer_killed,
        "a peer that resets in the middle of a transfer: an end, or an error that names the far side";
    "cancelled open", always, opening::cancelled,
        "opening is dropped at many moments; nothing of it is left at the peer or in the host";
    "silent peer", asks_first, opening::silent_peer,
        "a peer that accepts and says nothing: an error in time; dropped earlier, it hears the end, \
         where it can";
    "ping", |_, manifest| manifest.facets.contains(Facets::PING), words::ping,
        "a round trip of the protocol's own; an error after the end";
    "drain", always, events::drained,
        "`draining`, then `closed`, and nothing after it";
    "closed once", always, events::closed_once,
        "closing from two sides at once: `connecting`, `connected`, one `closed`, last";
    "loss is told", reliable, events::lost,
        "the peer ends: `lost` with its cause, then `closed`";
    "refusal is told", can_be_nowhere, events::refused,
        "nobody is there: `connecting`, then `closed` with a cause; the state is `error`";
    "cut short", can_be_cut, hostile::cut,
        "either side's bytes end after 1 to 2000 bytes, or each of its datagrams after 0 to 1100: a \
         clear error, and the host lives; where any datagram is data, it is the shorter one";
    "oversized", can_be_wrong, hostile::oversized,
        "a peer that announces or sends more than may be: a clear error, and the host lives. Of \
         datagrams: the longest there can be, from strangers and from between; an honest peer goes on";
    "random", can_be_wrong, hostile::random,
        "random bytes to both roles: a clear error, and the host lives. Of datagrams: random ones, cut \
         and repeated ones, from strangers and from between, while an honest peer goes on unharmed";
    "operations", |_, manifest| manifest.facets.contains(Facets::CALL), words::operations,
        "an unknown operation and unknown parameters are refused and say so";
    "options", always, words::options,
        "an unknown option is refused, with the nearest one";
    "facets", always, words::facets,
        "a session has no facet that the manifest does not declare";
}
