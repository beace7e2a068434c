//! Key files in every format that OpenSSH reads, and the names of those that are not read.

use jackfield_plugin_api::ErrorKind;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Lab;
use crate::support::{
    need::need,
    process::{command, run, tempdir},
};

const PASSPHRASE: &str = "correct horse";

async fn made(program: &str, package: &str, arguments: &[&str]) {
    let mut make = command(need(program, package));
    make.args(arguments);
    run(make, "").await.ok();
}

async fn openssl(arguments: &[&str]) {
    made("openssl", "openssl", arguments).await;
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A key file with its public half, as OpenSSH's own tool finds it.
async fn public(path: &Path) {
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("its mode");
    let mut keygen = command(need("ssh-keygen", "openssh-client"));
    keygen.args(["-y", "-P", PASSPHRASE, "-f"]).arg(path);
    let public = run(keygen, "").await.ok().text();
    std::fs::write(path.with_extension("pub"), public).expect("its public half");
}

/// One file for each format, all locked with the passphrase but the last ones.
async fn formats(folder: &Path) -> Vec<PathBuf> {
    let at = |name: &str| folder.join(name);
    let pass = format!("pass:{PASSPHRASE}");
    let (rsa, ec) = (at("rsa"), at("ec"));
    openssl(&["genrsa", "-traditional", "-out", text(&rsa), "2048"]).await;
    let curve = ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"];
    openssl(&[&curve[..], &[text(&ec)]].concat()).await;
    let mut files = Vec::new();
    for (kind, plain, cipher) in [
        ("rsa", &rsa, "-aes128"),
        ("rsa", &rsa, "-aes256"),
        ("rsa", &rsa, "-des3"),
        ("ec", &ec, "-aes128"),
        ("ec", &ec, "-aes192"),
    ] {
        let path = at(&format!("pem-{kind}{cipher}"));
        let traditional: &[&str] = if kind == "rsa" { &["-traditional"] } else { &[] };
        let (from, to) = (["-in", text(plain)], ["-passout", &pass, "-out", text(&path)]);
        openssl(&[&[kind, cipher], traditional, &from, &to].concat()).await;
        files.push(path);
    }
    for (name, how) in [
        ("des3", &["-v2", "des3"][..]),
        ("sha1", &["-v2", "aes256", "-v2prf", "hmacWithSHA1"]),
        ("usual", &["-v2", "aes256"]),
        ("scrypt", &["-scrypt"]),
    ] {
        let path = at(&format!("pkcs8-{name}"));
        let (from, to) = (["-topk8", "-in", text(&rsa)], ["-passout", &pass, "-out", text(&path)]);
        openssl(&[&["pkcs8"], &from[..], how, &to].concat()).await;
        files.push(path);
    }
    for cipher in
        ["3des-cbc", "aes128-cbc", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"]
    {
        let path = at(cipher);
        let key = ["-q", "-t", "ed25519", "-N", PASSPHRASE, "-Z", cipher, "-f", text(&path)];
        made("ssh-keygen", "openssh-client", &key).await;
        files.push(path);
    }
    // Not locked, and as editors and mail leave them.
    let blanks = std::fs::read_to_string(&rsa).expect("a key").replace('\n', "  \r\n");
    std::fs::write(at("blanks"), blanks).expect("a key file");
    files.extend([rsa, ec, at("blanks")]);
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_that_openssh_reads_lets_us_in() {
    let lab = Lab::new().await;
    let folder = tempdir();
    for file in formats(folder.path()).await {
        public(&file).await;
        lab.sshd.authorize(&file);
        let options = lab.options(&json!({ "key_file": file, "passphrase": PASSPHRASE }));
        let opened = lab.open(&options).await;
        opened.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_key_says_so_in_every_format() {
    let lab = Lab::new().await;
    let folder = tempdir();
    let files = formats(folder.path()).await;
    for file in &files[..files.len() - 3] {
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file, mode).expect("its mode");
        for (passphrase, reason) in
            [(None, "needs its passphrase"), (Some("wr0ng"), "does not open")]
        {
            let options = lab.options(&json!({ "key_file": file, "passphrase": passphrase }));
            let error = lab.open(&options).await.expect_err("a refusal");
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
            assert!(error.message().contains(reason), "{}: {error}", file.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_format_that_is_not_read_is_named() {
    let lab = Lab::new().await;
    let folder = tempdir();
    let path = folder.path().join("pbes1");
    let pass = format!("pass:{PASSPHRASE}");
    let key = lab.sshd.key();
    let mut plain = command(need("openssl", "openssl"));
    plain.args(["genrsa", "2048"]);
    let plain = run(plain, "").await.ok().text();
    let mut pkcs8 = command(need("openssl", "openssl"));
    pkcs8.args(["pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-passout", &pass, "-out"]).arg(&path);
    run(pkcs8, plain.as_str()).await.ok();
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, mode).expect("its mode");
    let public = key.with_extension("pub");
    for (file, what) in [(&path, "PBE-SHA1-3DES"), (&public, "public key")] {
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file, mode).expect("its mode");
        let options = lab.options(&json!({ "key_file": file }));
        let error = lab.open(&options).await.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.message().contains(what), "{error}");
    }
}
