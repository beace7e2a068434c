//! `jackfield plugins --quarantined` and `--forget HASH`: the records of plugin files.

use super::failure::{Failure, Outcome};
use super::output::{print, print_json, table, width};
use crate::driver::{Quarantine, Records, TrialRecord};
use serde_json::{Value, json};
use std::path::Path;

/// Enough of a sha256 to tell files apart.
pub(super) const SHORT: usize = 12;

/// Lists the files that are not loaded any more.
pub(super) fn list(cache: &Path, as_json: bool) -> Outcome {
    let kept: Vec<(TrialRecord, Quarantine)> = Records::of(cache)
        .all()
        .into_iter()
        .filter_map(|record| record.quarantine().map(|kept| (record, kept)))
        .collect();
    if as_json {
        let rows: Vec<Value> = kept.iter().map(to_json).collect();
        return print_json(&json!({ "quarantined": rows }));
    }
    if kept.is_empty() {
        return print("no plugin is in quarantine\n");
    }
    let head = ["SHA256", "SINCE", "FILE", "REASON"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(kept.iter().map(row)).collect();
    print(&table(&rows, 0, width()))
}

fn row((record, kept): &(TrialRecord, Quarantine)) -> Vec<String> {
    vec![
        short(&record.sha256).to_owned(),
        kept.since_utc(),
        record.file.display().to_string(),
        kept.reason.clone(),
    ]
}

fn to_json((record, kept): &(TrialRecord, Quarantine)) -> Value {
    json!({
        "sha256": record.sha256,
        "since": kept.since_utc(),
        "since_unix": record.time,
        "file": record.file.display().to_string(),
        "reason": kept.reason,
    })
}

/// Drops the record of the one file whose sha256 begins with `hash`, so that it is tried anew.
pub(super) fn forget(cache: &Path, hash: &str) -> Outcome {
    let wanted = hash.to_ascii_lowercase();
    let records = Records::of(cache);
    let mut found = records.all();
    found.retain(|record| record.sha256.starts_with(&wanted));
    let record = match found.as_slice() {
        [record] if !wanted.is_empty() => record,
        [] => {
            let cache = cache.display();
            return Err(Failure::config(format!(
                "--forget {hash}: no plugin with such a sha256 was tried [cache={cache}]"
            )));
        }
        several => {
            let all: Vec<&str> = several.iter().map(|record| short(&record.sha256)).collect();
            return Err(Failure::config(format!(
                "--forget {hash}: expected the beginning of one sha256, found {}",
                all.join(" ")
            )));
        }
    };
    records.forget(&record.sha256).map_err(|error| Failure::run(format!("--forget: {error}")))?;
    let (sha256, file) = (short(&record.sha256), record.file.display());
    print(&format!("{sha256} is forgotten: {file} is tried when it is loaded next\n"))
}

fn short(sha256: &str) -> &str {
    sha256.get(..SHORT).unwrap_or(sha256)
}
