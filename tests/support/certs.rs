//! Certificates for every case a TLS peer can present, made anew for each test.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;

use super::process::tempdir;

/// A certificate file and its key file, both PEM.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// One authority and what it signed, as files in a folder that goes away on drop.
pub(crate) struct Certs {
    dir: TempDir,
    /// The authority's certificate, PEM.
    pub(crate) ca: PathBuf,
    /// For `localhost` and 127.0.0.1, in order.
    pub(crate) server: Pair,
    /// As `server`, but valid until 2021 only.
    pub(crate) expired: Pair,
    /// For `elsewhere.test` only.
    pub(crate) wrong_name: Pair,
    /// For `localhost` and 127.0.0.1, signed by nobody else.
    pub(crate) self_signed: Pair,
    /// For the client side; the common name is `tester`.
    pub(crate) client: Pair,
    /// As `client`, of the common name `guest`.
    pub(crate) guest: Pair,
    /// As `client`, but valid until 2021 only.
    pub(crate) expired_client: Pair,
}

impl Certs {
    pub(crate) fn new() -> Self {
        let dir = tempdir();
        let folder = dir.path();
        let authority = Authority::new();
        let ca = folder.join("ca.crt");
        fs::write(&ca, &authority.pem).expect("a certificate file");

        let mut expired = server_params(&["localhost", "127.0.0.1"]);
        expired.not_before = date_time_ymd(2020, 1, 1);
        expired.not_after = date_time_ymd(2021, 1, 1);
        let client = client_params("tester");
        let mut expired_client = client.clone();
        (expired_client.not_before, expired_client.not_after) =
            (expired.not_before, expired.not_after);
        let server = server_params(&["localhost", "127.0.0.1"]);
        Self {
            ca,
            self_signed: self_signed(folder, &server),
            server: authority.sign(folder, "server", &server),
            expired: authority.sign(folder, "expired", &expired),
            wrong_name: authority.sign(folder, "wrong_name", &server_params(&["elsewhere.test"])),
            client: authority.sign(folder, "client", &client),
            guest: authority.sign(folder, "guest", &client_params("guest")),
            expired_client: authority.sign(folder, "expired_client", &expired_client),
            dir,
        }
    }

    /// The folder that holds all of them.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = params(&[], "Jackfield test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, folder: &Path, name: &str, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        write(folder, name, &certificate.pem(), &key)
    }
}

fn self_signed(folder: &Path, params: &CertificateParams) -> Pair {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    write(folder, "self_signed", &certificate.pem(), &key)
}

fn params(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("valid names");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn server_params(names: &[&str]) -> CertificateParams {
    let mut params = params(names, names[0]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn client_params(common_name: &str) -> CertificateParams {
    let mut params = params(&[], common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn write(folder: &Path, name: &str, certificate: &str, key: &KeyPair) -> Pair {
    let pair = Pair {
        certificate: folder.join(format!("{name}.crt")),
        key: folder.join(format!("{name}.key")),
    };
    fs::write(&pair.certificate, certificate).expect("a certificate file");
    fs::write(&pair.key, key.serialize_pem()).expect("a key file");
    fs::set_permissions(&pair.key, Permissions::from_mode(0o600)).expect("a private file");
    pair
}
