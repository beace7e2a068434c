//! Files that lie compressed beside themselves: which a request takes (RFC 9110 §12.5.3).

use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// How a file lies compressed beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compressed {
    /// `page.html.br`.
    Br,
    /// `page.html.gz`.
    Gzip,
    /// `page.html.zst`.
    Zstd,
}

impl Compressed {
    /// As `content-encoding` names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Compressed::Br => "br",
            Compressed::Gzip => "gzip",
            Compressed::Zstd => "zstd",
        }
    }

    /// Where `file` lies compressed.
    pub(crate) fn beside(self, file: &Path) -> PathBuf {
        let ending = match self {
            Compressed::Br => ".br",
            Compressed::Gzip => ".gz",
            Compressed::Zstd => ".zst",
        };
        let mut path = file.as_os_str().to_owned();
        path.push(ending);
        path.into()
    }
}

/// Those of `known` that a request takes by its `accept-encoding`, the one it likes best first, and
/// among equals in the order of `known`.
pub(crate) fn taken(known: &[Compressed], accepted: &str) -> Vec<Compressed> {
    let mut taken: Vec<(u16, Compressed)> = known
        .iter()
        .map(|coding| (weight(accepted, coding.name()), *coding))
        .filter(|(weight, _)| *weight > 0)
        .collect();
    taken.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    taken.into_iter().map(|(_, coding)| coding).collect()
}

/// In thousandths; 0: not at all.
fn weight(accepted: &str, name: &str) -> u16 {
    let items = || {
        accepted.split(',').map(|item| {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let quality = parameters.trim().strip_prefix("q=").unwrap_or("1");
            (coding.trim(), thousandths(quality.trim()))
        })
    };
    let own = items().find(|(coding, _)| coding.eq_ignore_ascii_case(name));
    own.or_else(|| items().find(|(coding, _)| *coding == "*")).map_or(0, |(_, weight)| weight)
}

/// RFC 9110 §12.4.2. What is no such number says no.
fn thousandths(quality: &str) -> u16 {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    let is_short = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" if is_short => 1000,
        "0" if is_short => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Compressed, taken};

    #[test]
    fn the_client_says_which_coding_it_takes() {
        use Compressed::{Br, Gzip};
        for (accepted, expected) in [
            ("gzip, deflate, br", &[Br, Gzip][..]),
            ("gzip;q=1.0, br;q=0.5", &[Gzip, Br]),
            ("GZIP", &[Gzip]),
            ("*", &[Br, Gzip]),
            ("br;q=0, *;q=0.001", &[Gzip]),
            ("gzip;q=0.000", &[]),
            ("gzip;q=2", &[]),
            ("identity", &[]),
            ("", &[]),
        ] {
            assert_eq!(taken(&[Br, Gzip], accepted), expected, "{accepted:?}");
        }
    }
}
