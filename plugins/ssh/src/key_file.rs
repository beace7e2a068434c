//! Reading private keys in the formats that OpenSSH reads, and the name of a format that is not read.
//!
//! The protocol crate reads plain keys, those of OpenSSH's own format and PKCS#8. Here is what it lacks: OpenSSL's
//! older encryption of PEM (`DEK-Info`), blanks at the ends of lines, a passphrase for a key that has none.

use aes::cipher::block_padding::{Error as PaddingError, Pkcs7};
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use data_encoding::{BASE64_MIME, HEXLOWER_PERMISSIVE};
use pkcs8::der::{Decode, Reader, SliceReader};
use pkcs8::spki::AlgorithmIdentifierRef;
use russh::keys::{Algorithm, Error as KeyError, PrivateKey, decode_secret_key};
use std::fmt::Write;

/// Why a file gives no key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It needs a passphrase.
    Locked,
    /// The passphrase is wrong.
    WrongPassphrase,
    /// It is something else than a private key that can be used.
    Format(String),
}

/// How to make a readable key of an old one.
const CONVERT: &str = "`ssh-keygen -p -f FILE` writes it in a newer one";

/// The key in the text of a file.
///
/// # Errors
/// Naming the format where that is the reason.
pub(crate) fn read_key(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, Problem> {
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().map(str::trim).collect();
    let label = lines.iter().find_map(|line| {
        line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"))
    });
    let key = match label {
        Some("OPENSSH PRIVATE KEY") => open_ssh(&lines.join("\n"), passphrase),
        Some("ENCRYPTED PRIVATE KEY") => encrypted_pkcs8(&lines, passphrase),
        Some(label @ ("RSA PRIVATE KEY" | "EC PRIVATE KEY")) => match dek_info(&lines) {
            Some(info) => encrypted_pem(&lines, label, info, passphrase),
            None => decode(&lines.join("\n"), None),
        },
        Some("PRIVATE KEY") => decode(&lines.join("\n"), None),
        Some("DSA PRIVATE KEY") => Err(Problem::Format(DSA.to_owned())),
        Some(other) => Err(Problem::Format(format!("the file has a {other}, no private key"))),
        None if text.trim_start().starts_with("PuTTY-User-Key-File-") => putty(text, passphrase),
        None => Err(Problem::Format(without_label(text))),
    }?;
    usable(key)
}

const DSA: &str = "a DSA key (ssh-dss), which servers do not take any more";

/// Of a key that was read, whether it can sign.
fn usable(key: PrivateKey) -> Result<PrivateKey, Problem> {
    match key.algorithm() {
        Algorithm::Dsa => Err(Problem::Format(DSA.to_owned())),
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => Err(Problem::Format(
            "a key that is kept on a security token; add it to an agent (`ssh-add`) and use that"
                .to_owned(),
        )),
        _ => Ok(key),
    }
}

fn without_label(text: &str) -> String {
    let first = text.trim_start().lines().next().unwrap_or_default();
    let public = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];
    if first.starts_with("SSH PRIVATE KEY FILE FORMAT 1.1") {
        "a key for SSH 1, which no server speaks any more".to_owned()
    } else if first.starts_with("---- BEGIN SSH2") {
        "a key in the format of ssh.com (SSH2); `ssh-keygen -i -f FILE` converts one without passphrase".to_owned()
    } else if public.iter().any(|name| first.starts_with(name)) {
        "a public key; expected the private one, whose name usually has no .pub".to_owned()
    } else {
        "expected a private key that begins with `-----BEGIN OPENSSH PRIVATE KEY-----` or the like"
            .to_owned()
    }
}

fn decode(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, Problem> {
    decode_secret_key(text, passphrase).map_err(|error| match error {
        KeyError::KeyIsEncrypted => Problem::Locked,
        KeyError::SshKey(ssh_key::Error::Crypto) if passphrase.is_some() => {
            Problem::WrongPassphrase
        }
        KeyError::UnknownAlgorithm(oid) => {
            Problem::Format(format!("a key of a type that is not known here (OID {oid})"))
        }
        other => Problem::Format(format!("not a private key that can be used: {other}")),
    })
}

/// OpenSSH's own format (PROTOCOL.key).
fn open_ssh(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, Problem> {
    decode(text, passphrase).map_err(|problem| match problem {
        Problem::Format(why) => match cipher_of(text) {
            Some(cipher) if why.contains("unknown algorithm") => {
                Problem::Format(format!("encrypted with {cipher}, which is not read; {CONVERT}"))
            }
            _ => Problem::Format(format!("in OpenSSH's format, but {why}")),
        },
        other => other,
    })
}

/// The cipher that a key in OpenSSH's format names.
fn cipher_of(text: &str) -> Option<String> {
    let der = body(&text.lines().collect::<Vec<_>>())?;
    let rest = der.strip_prefix(b"openssh-key-v1\0")?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let name = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    String::from_utf8(name.to_vec()).ok().filter(|name| name.len() < 64)
}

fn putty(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, Problem> {
    decode_secret_key(text.trim_start(), passphrase).map_err(|error| {
        let locked = !text.contains("Encryption: none");
        match (locked, passphrase) {
            (true, None) => Problem::Locked,
            (true, Some(_)) if matches!(error, KeyError::SshKey(ssh_key::Error::Crypto)) => {
                Problem::WrongPassphrase
            }
            _ => {
                Problem::Format(format!("in PuTTY's format, but not one that can be used: {error}"))
            }
        }
    })
}

/// What stands between the first BEGIN and END, without headers.
fn body(lines: &[&str]) -> Option<Vec<u8>> {
    let begin = lines.iter().position(|line| line.starts_with("-----BEGIN "))?;
    let rest = lines.get(begin + 1..)?;
    let end = rest.iter().position(|line| line.starts_with("-----END "))?;
    let text: String = rest[..end].iter().filter(|line| !line.contains(':')).copied().collect();
    BASE64_MIME.decode(text.as_bytes()).ok()
}

fn not_base64() -> Problem {
    Problem::Format("between BEGIN and END is no base64".to_owned())
}

/// PKCS#8 with a passphrase (RFC 5958, RFC 8018).
fn encrypted_pkcs8(lines: &[&str], passphrase: Option<&str>) -> Result<PrivateKey, Problem> {
    let der = body(lines).ok_or_else(not_base64)?;
    let scheme = SliceReader::new(&der)
        .and_then(|mut reader| {
            reader.sequence(|inner: &mut SliceReader<'_>| {
                let scheme = AlgorithmIdentifierRef::decode(inner)?.oid;
                inner.drain(inner.remaining_len())?;
                Ok::<_, pkcs8::der::Error>(scheme)
            })
        })
        .map_err(|_| Problem::Format("the encrypted PKCS#8 key is malformed".to_owned()))?
        .to_string();
    if scheme != "1.2.840.113549.1.5.13" {
        let name = match scheme.as_str() {
            "1.2.840.113549.1.5.3" => "PBES1 with MD5 and DES",
            "1.2.840.113549.1.5.10" => "PBES1 with SHA-1 and DES",
            "1.2.840.113549.1.12.1.3" => "PBE-SHA1-3DES of PKCS#12",
            other if other.starts_with("1.2.840.113549.1.5.") => "PBES1",
            _ => "an unknown scheme",
        };
        return Err(Problem::Format(format!(
            "a PKCS#8 key encrypted with {name} (OID {scheme}), which is not read; {CONVERT}"
        )));
    }
    let Some(passphrase) = passphrase else { return Err(Problem::Locked) };
    decode_secret_key(&lines.join("\n"), Some(passphrase)).map_err(|error| match error {
        KeyError::Pkcs8(pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::UnsupportedAlgorithm { oid },
        )) => Problem::Format(format!(
            "a PKCS#8 key encrypted with an algorithm that is not read (OID {oid}); {CONVERT}"
        )),
        KeyError::UnknownAlgorithm(oid) => {
            Problem::Format(format!("a key of a type that is not known here (OID {oid})"))
        }
        _ => Problem::WrongPassphrase,
    })
}

/// The cipher and its initialization vector of a PEM that is encrypted (RFC 1421 §4.6.1.3).
fn dek_info<'a>(lines: &[&'a str]) -> Option<&'a str> {
    lines.iter().find_map(|line| line.strip_prefix("DEK-Info:")).map(str::trim)
}

/// OpenSSL's older encryption of PEM: the key of the cipher is one round of MD5 for each 16 bytes.
fn encrypted_pem(
    lines: &[&str],
    label: &str,
    info: &str,
    passphrase: Option<&str>,
) -> Result<PrivateKey, Problem> {
    let (cipher, iv) = info.split_once(',').unwrap_or((info, ""));
    let iv = HEXLOWER_PERMISSIVE.decode(iv.trim().as_bytes()).map_err(|_| {
        Problem::Format("the initialization vector in DEK-Info is no hexadecimal".to_owned())
    })?;
    let Some(passphrase) = passphrase else { return Err(Problem::Locked) };
    let sealed = body(lines).ok_or_else(not_base64)?;
    let open = match cipher.trim() {
        "AES-128-CBC" => open::<aes::Aes128>,
        "AES-192-CBC" => open::<aes::Aes192>,
        "AES-256-CBC" => open::<aes::Aes256>,
        "DES-EDE3-CBC" => open::<des::TdesEde3>,
        "DES-CBC" => open::<des::Des>,
        other => {
            let message = format!("a PEM key encrypted with {other}, which is not read; {CONVERT}");
            return Err(Problem::Format(message));
        }
    };
    let plain = open(passphrase.as_bytes(), &iv, sealed)?;
    let mut text = format!("-----BEGIN {label}-----\n");
    // Writing to a string cannot fail.
    let _ = write!(text, "{}\n-----END {label}-----\n", data_encoding::BASE64.encode(&plain));
    // What a wrong passphrase opens is no key.
    decode(&text, None).map_err(|_| Problem::WrongPassphrase)
}

fn open<C>(passphrase: &[u8], iv: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>, Problem>
where
    C: BlockCipherDecrypt + KeyInit,
    cbc::Decryptor<C>: KeyIvInit + BlockModeDecrypt,
{
    let malformed =
        || Problem::Format("the initialization vector in DEK-Info has the wrong length".to_owned());
    let salt = iv.get(..8).ok_or_else(malformed)?;
    let mut key: Vec<u8> = Vec::new();
    let mut last: Vec<u8> = Vec::new();
    while key.len() < C::key_size() {
        last = md5::compute([&last, passphrase, salt].concat()).to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(C::key_size());
    let cipher =
        <cbc::Decryptor<C> as KeyIvInit>::new_from_slices(&key, iv).map_err(|_| malformed())?;
    let plain = cipher
        .decrypt_padded::<Pkcs7>(&mut sealed)
        .map_err(|_: PaddingError| Problem::WrongPassphrase)?
        .len();
    sealed.truncate(plain);
    Ok(sealed)
}
