//! Who asks over TCP: the holder of a token, of which a file has the hash.
//!
//! ```text
//! # role   name    SHA-256 of the token
//! viewer   grafana 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
//! ```
//!
//! The file is read at each request, so that a line that is gone is gone at once. A token is compared by its hash, and
//! with all lines, so that how long an answer takes says nothing of any of them.

use super::problem::ApiProblem;
use super::roles::{AdminPeer, AdminRole};
use crate::files;
use crate::nearest::did_you_mean;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use subtle::ConstantTimeEq;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 256 << 10;

const ROLES: [AdminRole; 3] = [AdminRole::Viewer, AdminRole::Operator, AdminRole::Admin];

type TokenHash = [u8; 32];

/// One line of the file.
#[derive(Debug)]
struct TokenLine {
    role: AdminRole,
    name: String,
    hash: TokenHash,
}

/// The tokens that a file has.
#[derive(Debug)]
pub(super) struct TokenTable(Vec<TokenLine>);

impl TokenTable {
    /// Reads a file.
    ///
    /// # Errors
    /// In words, with the line: what is wrong in it, that it has no token, or that others may write it.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let within = |error| format!("{shown}: {}", files::why(file, &error));
        let about = fs::metadata(file).map_err(within)?;
        if about.mode() & 0o022 != 0 {
            let mode = about.mode() & 0o7777;
            return Err(format!(
                "{shown} has mode {mode:04o}: expected one that others cannot write"
            ));
        }
        if about.len() > MAX_FILE {
            return Err(format!("{shown}: expected at most {MAX_FILE} bytes"));
        }
        let text = fs::read_to_string(file).map_err(within)?;
        Self::parse(&text).map_err(|(line, why)| format!("{shown}:{line}: {why}"))
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                lines.push(TokenLine::parse(line).map_err(|why| (index + 1, why))?);
            }
        }
        if lines.is_empty() {
            return Err((1, "expected at least one line ROLE NAME HASH: it has none".to_owned()));
        }
        Ok(TokenTable(lines))
    }

    /// Whose token it is.
    fn find(&self, token: &str) -> Option<&TokenLine> {
        let hash: TokenHash = Sha256::digest(token).into();
        let mut found = None;
        for line in &self.0 {
            if bool::from(line.hash.ct_eq(&hash)) {
                found = Some(line);
            }
        }
        found.filter(|_| !token.is_empty())
    }

    /// Who sends a request with these fields.
    ///
    /// # Errors
    /// 401 without a token that is known.
    pub(super) fn peer(&self, headers: &HeaderMap) -> Result<AdminPeer, ApiProblem> {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let line = token.and_then(|(_, token)| self.find(token.trim()));
        let line = line.ok_or_else(|| {
            let text = "expected the field `authorization: Bearer TOKEN` with a token that is in admin.tokens";
            ApiProblem::new(StatusCode::UNAUTHORIZED, "unauthorized", text)
        })?;
        Ok(AdminPeer { uid: None, user: Some(line.name.clone()), role: Some(line.role) })
    }
}

impl TokenLine {
    fn parse(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [role, name, hash] = words[..] else {
            return Err("expected ROLE NAME HASH".to_owned());
        };
        let known = ROLES.iter().find(|known| known.as_str() == role).copied();
        let role = known.ok_or_else(|| {
            let near = did_you_mean(role, ROLES.iter().map(|role| role.as_str()));
            let hint = near.map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default();
            format!("expected viewer, operator or admin, found {role:?}{hint}")
        })?;
        let hash = hash_of(hash).ok_or(
            "expected the SHA-256 of a token as 64 hexadecimal digits, not the token itself",
        )?;
        if hash == TokenHash::from(Sha256::digest("")) {
            return Err("expected the hash of a token: this one is of nothing at all".to_owned());
        }
        Ok(TokenLine { role, name: name.to_owned(), hash })
    }
}

fn hash_of(text: &str) -> Option<TokenHash> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = TokenHash::default();
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(role: &str, token: &str) -> String {
        let hash: TokenHash = Sha256::digest(token).into();
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{role} of-{role} {hash}\n")
    }

    #[test]
    fn a_token_gives_the_role_of_its_line_and_nothing_else_does() {
        let text = format!("# two\n{}\n{}", line("viewer", "one"), line("admin", "two"));
        let tokens = TokenTable::parse(&text).unwrap();
        let role = |value: &str| {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            tokens.peer(&headers).map(|peer| peer.role).ok().flatten()
        };
        assert_eq!(role("Bearer one"), Some(AdminRole::Viewer));
        assert_eq!(role("bearer two"), Some(AdminRole::Admin));
        let hash = text.split_whitespace().nth(4).unwrap();
        for wrong in ["Bearer three", "Bearer ", "Bearer", "", "Basic one", "one", hash] {
            assert_eq!(role(wrong), None, "{wrong:?}");
            assert_eq!(role(&format!("Bearer {hash}")), None);
        }
        assert!(tokens.peer(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_file_that_would_let_everybody_in_is_refused_with_its_line() {
        let told = |text: &str| TokenTable::parse(text).unwrap_err();
        assert_eq!(told("# nothing\n").0, 1);
        assert!(told(&line("admin", "")).1.contains("of nothing at all"));
        assert!(told("admin me secret").1.contains("not the token itself"));
        let (at, why) = told(&format!("{}admn me 00", line("viewer", "x")));
        assert!(at == 2 && why.ends_with("(did you mean \"admin\"?)"), "{why}");
    }
}
