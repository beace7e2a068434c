//! The OpenSSH server, with an account of its own: the machine's accounts stay untouched, because
//! `nss_wrapper` shows the server another `passwd`. Works as any user.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Pid;

use crate::support::{
    need::{need, need_library},
    ports,
    process::{Process, command, descendants, run, tempdir},
};

/// The account every server here has.
pub(crate) const USER: &str = "tester";
/// Another with the same keys and password, which the README names.
const LAB: &str = "lab";
/// Its password.
pub(crate) const PASSWORD: &str = "secret";
/// The passphrase of the encrypted key.
pub(crate) const PASSPHRASE: &str = "correct horse";

/// A running server on 127.0.0.1 that takes the password and both keys.
pub(crate) struct Sshd {
    process: Process,
    port: u16,
}

impl Sshd {
    /// A server with OpenSSH's own defaults.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// A server whose configuration begins with `extra`, for instance `MaxSessions 2\n`. OpenSSH
    /// takes the first value of a keyword, so these lines win. `{port}` in them is the server's.
    pub(crate) async fn start_with(extra: &str) -> Self {
        need("sshd", "openssh-server");
        ports::with_free_port(async |port| {
            let dir = tempdir();
            prepare(dir.path(), port, extra).await;
            let command = server(dir.path());
            let mut process = Process::spawn_in("sshd", dir, command);
            process.logged(&format!("Server listening on 127.0.0.1 port {port}")).await?;
            Ok(Self { process, port })
        })
        .await
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A private key without passphrase that the server accepts.
    pub(crate) fn key(&self) -> PathBuf {
        self.file("id")
    }

    /// A private key the server accepts, locked with `PASSPHRASE`.
    pub(crate) fn encrypted_key(&self) -> PathBuf {
        self.file("id_encrypted")
    }

    /// A private key the server does not know.
    pub(crate) fn stranger_key(&self) -> PathBuf {
        self.file("id_stranger")
    }

    /// A `known_hosts` file with the server's real key.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.known_hosts_with("known_hosts", "hostkey.pub")
    }

    /// A `known_hosts` file with another key for this very address.
    pub(crate) fn wrong_known_hosts(&self) -> PathBuf {
        self.known_hosts_with("known_hosts_wrong", "id_stranger.pub")
    }

    /// A `known_hosts` file that names nobody, to be written to.
    pub(crate) fn empty_known_hosts(&self) -> PathBuf {
        let path = self.file("known_hosts_empty");
        fs::write(&path, "").expect("a known_hosts file");
        path
    }

    /// The server's host key as OpenSSH prints it: `SHA256:…`.
    pub(crate) async fn fingerprint(&self) -> String {
        let mut keygen = command(need("ssh-keygen", "openssh-client"));
        keygen.arg("-lf").arg(self.file("hostkey.pub"));
        let line = run(keygen, "").await.ok().text();
        line.split_whitespace().nth(1).expect("a fingerprint").to_owned()
    }

    /// The home of the account.
    pub(crate) fn home(&self) -> PathBuf {
        self.file("home")
    }

    /// The process that listens.
    pub(crate) fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// The server's log, at level VERBOSE.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Waits for a line with `text` in the server's log.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        self.process.logged(text).await.unwrap_or_else(|log| panic!("{log}"))
    }

    /// Kills what serves the open connections; the server keeps listening. The number killed.
    pub(crate) fn kill_sessions(&self) -> usize {
        let sessions = descendants(self.process.pid());
        for pid in &sessions {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(*pid, rustix::process::Signal::KILL);
        }
        sessions.len()
    }

    /// A new private key of that type (`ssh-keygen -t`), which the server does not know.
    pub(crate) async fn make_key(&self, kind: &str) -> PathBuf {
        let path = self.file(&format!("id_{kind}"));
        make_key(&path, kind, "").await;
        path
    }

    /// Lets the owner of `key` in.
    pub(crate) fn authorize(&self, key: &Path) {
        let public = fs::read_to_string(key.with_extension("pub")).expect("a public key");
        let path = self.file("authorized_keys");
        let known = fs::read_to_string(&path).expect("the keys that are known");
        fs::write(path, known + &public).expect("the keys that are known");
    }

    /// A certificate for `key`, by an authority of its own, which the server trusts from then on.
    pub(crate) async fn certify(&mut self, key: &Path) -> PathBuf {
        let authority = self.file("authority");
        if !authority.exists() {
            make_key(&authority, "ecdsa", "").await;
        }
        let mut keygen = command(need("ssh-keygen", "openssh-client"));
        keygen.arg("-q").arg("-s").arg(&authority).args(["-I", "lab", "-n", USER]);
        keygen.arg(key.with_extension("pub"));
        run(keygen, "").await.ok();
        let trusted = format!("TrustedUserCAKeys {}\n", authority.with_extension("pub").display());
        self.reconfigure(&trusted).await;
        PathBuf::from(format!("{}-cert.pub", key.display()))
    }

    /// The server's host key as a known-hosts file has it, without the name.
    pub(crate) fn host_key(&self) -> String {
        self.public("hostkey.pub")
    }

    /// Another key in that form.
    pub(crate) fn stranger(&self) -> String {
        self.public("id_stranger.pub")
    }

    fn public(&self, name: &str) -> String {
        let line = fs::read_to_string(self.file(name)).expect("a public key");
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// Gives the host key a certificate for `names`, valid as `ssh-keygen -V` takes it, by an authority, which is
    /// told as a known-hosts file has it.
    pub(crate) async fn certify_host(&mut self, names: &str, validity: &str) -> String {
        let authority = self.file("host_authority");
        if !authority.exists() {
            make_key(&authority, "ed25519", "").await;
            let line = format!("HostCertificate {}\n", self.file("hostkey-cert.pub").display());
            let path = self.file("sshd_config");
            let before = fs::read_to_string(&path).expect("its configuration");
            fs::write(path, before + &line).expect("its configuration");
        }
        let mut keygen = command(need("ssh-keygen", "openssh-client"));
        keygen.arg("-q").arg("-h").arg("-s").arg(&authority).args(["-I", "lab-host", "-n", names]);
        keygen.args(["-V", validity]).arg(self.file("hostkey.pub"));
        run(keygen, "").await.ok();
        self.reconfigure("").await;
        self.public("host_authority.pub")
    }

    /// Whether OpenSSH's client takes this server with that known-hosts file.
    pub(crate) async fn is_known_by(&self, known_hosts: &Path) -> bool {
        let mut ssh = command(need("ssh", "openssh-client"));
        ssh.args(["-F", "none", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]);
        ssh.args(["-o", "GlobalKnownHostsFile=none", "-o", "LogLevel=ERROR"]);
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known_hosts.display()));
        ssh.arg("-i").arg(self.key()).args(["-p", &self.port.to_string()]);
        ssh.arg(format!("{USER}@127.0.0.1")).arg("true");
        run(ssh, "").await.code == Some(0)
    }

    /// Gives the server another host key, of that type.
    pub(crate) async fn change_host_key(&mut self, kind: &str) {
        let key = self.make_key(kind).await;
        fs::rename(key.with_extension("pub"), self.file("hostkey.pub")).expect("its public half");
        fs::rename(key, self.file("hostkey")).expect("a host key");
        self.reconfigure("").await;
    }

    /// Starts the server again on the same port, with further lines of configuration.
    async fn reconfigure(&mut self, lines: &str) {
        let path = self.file("sshd_config");
        let before = fs::read_to_string(&path).expect("its configuration");
        fs::write(path, before + lines).expect("its configuration");
        self.kill_listener();
        self.listen_again().await;
    }

    /// Kills what listens; open connections go on.
    pub(crate) fn kill_listener(&mut self) {
        self.process.kill_alone();
    }

    /// Listens again on the same port after [`Sshd::kill_listener`].
    pub(crate) async fn listen_again(&mut self) {
        self.process.start_again(server(self.process.dir()));
        self.logged("Server listening on 127.0.0.1").await;
    }

    /// Stops what listens: the kernel goes on to accept, and nobody answers.
    pub(crate) fn pause(&self) {
        self.process.signal(rustix::process::Signal::STOP);
    }

    /// Ends a [`Sshd::pause`].
    pub(crate) fn resume(&self) {
        self.process.signal(rustix::process::Signal::CONT);
    }

    /// Kills the server with everything it serves.
    pub(crate) fn kill(&mut self) {
        self.process.kill_tree();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.process.dir().join(name)
    }

    fn known_hosts_with(&self, name: &str, key: &str) -> PathBuf {
        let key = fs::read_to_string(self.file(key)).expect("a public key");
        let path = self.file(name);
        fs::write(&path, format!("[127.0.0.1]:{} {key}", self.port)).expect("a known_hosts file");
        path
    }
}

/// A running agent that holds one key.
pub(crate) struct Agent {
    process: Process,
}

impl Agent {
    /// Starts an agent and adds `key`, which must have no passphrase.
    pub(crate) async fn with_key(key: &Path) -> Self {
        let dir = tempdir();
        let socket = dir.path().join("agent");
        let mut agent = command(need("ssh-agent", "openssh-client"));
        agent.arg("-D").arg("-a").arg(&socket);
        let mut process = Process::spawn_in("ssh-agent", dir, agent);
        let ready = process.ready(async |_| socket.exists()).await;
        ready.unwrap_or_else(|log| panic!("{log}"));
        let mut add = command(need("ssh-add", "openssh-client"));
        add.arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket);
        run(add, "").await.ok();
        Self { process }
    }

    /// What `SSH_AUTH_SOCK` has to say.
    pub(crate) fn socket(&self) -> PathBuf {
        self.process.dir().join("agent")
    }
}

async fn prepare(dir: &Path, port: u16, extra: &str) {
    fs::create_dir(dir.join("home")).expect("a home");
    if rustix::process::geteuid().is_root() {
        // The package makes it at boot, and a container has no boot. Failure shows in the log.
        let _ = fs::create_dir_all("/run/sshd");
    }
    for (name, passphrase) in
        [("hostkey", ""), ("id", ""), ("id_stranger", ""), ("id_encrypted", PASSPHRASE)]
    {
        make_key(&dir.join(name), "ed25519", passphrase).await;
    }
    let public = |name: &str| fs::read_to_string(dir.join(name)).expect("a public key");
    write(dir, "authorized_keys", &(public("id.pub") + &public("id_encrypted.pub")));
    accounts(dir).await;
    let extra = extra.replace("{port}", &port.to_string());
    write(dir, "sshd_config", &configuration(dir, port, &extra));
}

async fn make_key(path: &Path, kind: &str, passphrase: &str) {
    let mut keygen = command(need("ssh-keygen", "openssh-client"));
    keygen.args(["-q", "-t", kind, "-C", "test", "-N", passphrase, "-f"]).arg(path);
    run(keygen, "").await.ok();
}

/// The files `nss_wrapper` shows to the server.
async fn accounts(dir: &Path) {
    let mut openssl = command(need("openssl", "openssl"));
    openssl.args(["passwd", "-6", "-stdin"]);
    let hash = run(openssl, PASSWORD).await.ok().text();
    let hash = hash.trim();
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let home = dir.join("home");
    let machine = fs::read_to_string("/etc/passwd").expect("the machine's accounts");
    let needed =
        |line: &&str| ["root:", "sshd:", "nobody:"].iter().any(|name| line.starts_with(name));
    let machine: String = machine.lines().filter(needed).map(|line| format!("{line}\n")).collect();
    let line = |name| format!("{name}:{hash}:{uid}:{gid}:{name}:{}:/bin/bash\n", home.display());
    write(dir, "passwd", &(line(USER) + &line(LAB) + &machine));
    let shadow = |name| format!("{name}:{hash}:19000:0:99999:7:::\n");
    write(dir, "shadow", &(shadow(USER) + &shadow(LAB)));
    // No group `tty`: the server would give terminals to it, which only root may do.
    write(dir, "group", &format!("root:x:{gid}:\nnogroup:x:65534:\n"));
}

fn configuration(dir: &Path, port: u16, extra: &str) -> String {
    let dir = dir.display();
    format!(
        "{extra}\n\
         Port {port}\n\
         ListenAddress 127.0.0.1\n\
         HostKey {dir}/hostkey\n\
         AuthorizedKeysFile {dir}/authorized_keys\n\
         PidFile none\n\
         StrictModes no\n\
         UsePAM no\n\
         PermitRootLogin yes\n\
         PasswordAuthentication yes\n\
         KbdInteractiveAuthentication no\n\
         AcceptEnv JACKFIELD_*\n\
         AllowTcpForwarding yes\n\
         MaxSessions 64\n\
         MaxStartups 200\n\
         UseDNS no\n\
         PrintMotd no\n\
         PrintLastLog no\n\
         Subsystem sftp internal-sftp\n\
         LogLevel VERBOSE\n"
    )
}

fn server(dir: &Path) -> Command {
    let mut sshd = command(need("sshd", "openssh-server"));
    sshd.args(["-D", "-e", "-f"])
        .arg(dir.join("sshd_config"))
        .env("LD_PRELOAD", need_library("libnss_wrapper.so", "libnss-wrapper"))
        .env("NSS_WRAPPER_PASSWD", dir.join("passwd"))
        .env("NSS_WRAPPER_GROUP", dir.join("group"))
        .env("NSS_WRAPPER_SHADOW", dir.join("shadow"));
    sshd
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::write(&path, text).expect("a file for the server");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its permissions");
}
