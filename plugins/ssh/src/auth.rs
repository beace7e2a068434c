//! Logging in. Methods in this order: the key of `key_file`, the keys of the agent, the password, answers to
//! questions; without any of them, `none`. A server that wants several methods gets them, in whatever
//! order it asks.

use crate::answers::Questions;
use crate::channels::Channels;
use crate::client::Client;
use crate::credentials::{Credentials, Key};
use crate::failure::of_ssh;
use crate::received::Received;
use crate::signer::KeySigner;
use jackfield_plugin_api::{Error, ErrorKind, Result, Secret};
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Asked};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg};
use russh::{AgentAuthError, MethodKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Keys of an agent that are shown to a server; OpenSSH hangs up after six attempts.
const MAX_AGENT_KEYS: usize = 16;
/// Rounds of questions that are answered.
const MAX_ROUNDS: usize = 16;
/// How long a server may say nothing after something that is no answer to a password.
const QUIET: Duration = Duration::from_secs(1);

enum Method<'a> {
    Key(&'a Key),
    Agent(&'a Path),
    Password(&'a Secret),
    Questions,
    None,
}

impl Method<'_> {
    fn kind(&self) -> MethodKind {
        match self {
            Method::Key(_) | Method::Agent(_) => MethodKind::PublicKey,
            Method::Password(_) => MethodKind::Password,
            Method::Questions => MethodKind::KeyboardInteractive,
            Method::None => MethodKind::None,
        }
    }

    /// For people; never a secret.
    fn describe(&self) -> String {
        match self {
            Method::Key(key) if key.certificate.is_some() => {
                format!("certificate for {}", key.path.display())
            }
            Method::Key(key) => format!("key {}", key.path.display()),
            Method::Agent(socket) => format!("agent {}", socket.display()),
            Method::Password(_) => "password".to_owned(),
            Method::Questions => "keyboard-interactive".to_owned(),
            Method::None => "none".to_owned(),
        }
    }
}

/// What a server said to one attempt.
enum Answer {
    In,
    /// These methods may go on; whether this one counted.
    Not {
        remaining: Vec<MethodKind>,
        counted: bool,
    },
}

impl From<AuthResult> for Answer {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Answer::In,
            AuthResult::Failure { remaining_methods, partial_success } => {
                Answer::Not { remaining: remaining_methods.to_vec(), counted: partial_success }
            }
        }
    }
}

/// One login over a connection whose keys are exchanged.
pub(crate) struct Login<'a> {
    pub(crate) handle: &'a mut Handle<Client>,
    pub(crate) channels: &'a Channels,
    pub(crate) received: &'a Received,
    pub(crate) user: &'a str,
    pub(crate) credentials: &'a Credentials,
    /// The URI's, which goes before the options'.
    pub(crate) password: Option<&'a Secret>,
    pub(crate) password_in_uri: bool,
    /// Whether an RSA key may sign with SHA-1 for a server that knows no better.
    pub(crate) sign_with_sha1: bool,
}

impl Login<'_> {
    /// Logs in and tells by which method.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] with what was tried and what the server would take.
    pub(crate) async fn run(mut self) -> Result<String> {
        let mut left = plan(self.credentials, self.password, self.password_in_uri);
        let mut done = Vec::new();
        let mut failed = Vec::new();
        let mut tried = Vec::new();
        let mut accepted: Option<Vec<MethodKind>> = None;
        if let Some(Method::Password(_)) = left.first() {
            match self.attempt(&Method::None).await?.0 {
                Answer::In => return Ok(name(MethodKind::None).to_owned()),
                Answer::Not { remaining, .. } => accepted = Some(remaining),
            }
        }
        while let Some(at) = next(&left, accepted.as_deref()) {
            let method = left.remove(at);
            let (answer, note) = self.attempt(&method).await?;
            tried.push(note.map_or_else(
                || method.describe(),
                |note| format!("{} ({note})", method.describe()),
            ));
            match answer {
                Answer::In => {
                    done.push(name(method.kind()));
                    return Ok(done.join("+"));
                }
                Answer::Not { remaining, counted } => {
                    if counted {
                        done.push(name(method.kind()));
                        left.append(&mut failed);
                    } else {
                        failed.push(method);
                    }
                    if !remaining.is_empty() || accepted.is_none() {
                        accepted = Some(remaining);
                    }
                }
            }
        }
        Err(denied(&tried, accepted.as_deref().unwrap_or_default(), &done))
    }
}

/// What is tried, in this order.
fn plan<'a>(
    credentials: &'a Credentials,
    password: Option<&'a Secret>,
    password_in_uri: bool,
) -> Vec<Method<'a>> {
    let mut plan = Vec::new();
    plan.extend(credentials.key.as_ref().map(Method::Key));
    // An agent that is only there by chance is not asked when the URI has a password.
    let agent = credentials.agent.as_deref();
    plan.extend(agent.filter(|_| credentials.agent_asked || !password_in_uri).map(Method::Agent));
    plan.extend(password.map(Method::Password));
    if password.is_some() || !credentials.answers.is_empty() {
        plan.push(Method::Questions);
    }
    if plan.is_empty() {
        plan.push(Method::None);
    }
    plan
}

/// The first method that the server would take, as far as it has said.
fn next(left: &[Method<'_>], accepted: Option<&[MethodKind]>) -> Option<usize> {
    left.iter().position(|method| accepted.is_none_or(|kinds| kinds.contains(&method.kind())))
}

fn name(kind: MethodKind) -> &'static str {
    (&kind).into()
}

fn denied(tried: &[String], accepted: &[MethodKind], done: &[&str]) -> Error {
    let accepted: Vec<_> = accepted.iter().map(|kind| name(*kind)).collect();
    let message = match tried {
        [only] if only == "none" => {
            "the server asks for credentials: set key_file, password or agent"
        }
        _ if !done.is_empty() => "the server asks for more credentials than are set",
        _ => "the server did not accept the credentials",
    };
    let tried = if tried.is_empty() { "nothing".to_owned() } else { tried.join(", ") };
    Error::new(ErrorKind::Denied, message).with("tried", tried).with(
        "server accepts",
        if accepted.is_empty() { "nothing more".to_owned() } else { accepted.join(", ") },
    )
}

impl Login<'_> {
    async fn attempt(&mut self, method: &Method<'_>) -> Result<(Answer, Option<String>)> {
        let answer = match method {
            Method::Key(key) => self.key(key).await,
            Method::Agent(socket) => return self.agent(socket).await,
            Method::Password(secret) => {
                let answer = self.handle.authenticate_password(self.user, secret.expose());
                let answer = answered(answer, self.received).await.ok_or_else(expired)?;
                answer.map(Answer::from).map_err(of_ssh)
            }
            Method::Questions => return self.questions().await,
            Method::None => {
                let answer = self.handle.authenticate_none(self.user).await;
                answer.map(Answer::from).map_err(of_ssh)
            }
        };
        Ok((self.alive(answer)?, None))
    }

    /// A server that hung up has denied: the protocol crate reports it as a failure like any other.
    fn alive(&self, answer: Result<Answer>) -> Result<Answer> {
        match self.channels.lost() {
            Some(error) => Err(Error::new(ErrorKind::Denied, error.message())),
            None => answer,
        }
    }

    async fn key(&mut self, key: &Key) -> Result<Answer> {
        let hash = self.hash_for(&key.private.algorithm()).await?;
        let answer = self.key_signing(key, hash).await?;
        match &answer {
            // Some servers that know no better say that they do.
            Answer::Not { remaining, counted: false }
                if hash.is_some()
                    && self.sign_with_sha1
                    && remaining.contains(&MethodKind::PublicKey) =>
            {
                self.key_signing(key, None).await
            }
            _ => Ok(answer),
        }
    }

    async fn key_signing(&mut self, key: &Key, hash: Option<HashAlg>) -> Result<Answer> {
        let private = Arc::clone(&key.private);
        let answer = match &key.certificate {
            Some(certificate) => {
                let (certificate, mut signer) = (certificate.clone(), KeySigner(private));
                self.handle
                    .authenticate_certificate_with(self.user, certificate, hash, &mut signer)
                    .await
                    .map_err(|error| match error {
                        AgentAuthError::Key(error) => error.into(),
                        AgentAuthError::Send(_) => russh::Error::SendError,
                    })
            }
            None => {
                let key = PrivateKeyWithHashAlg::new(private, hash);
                self.handle.authenticate_publickey(self.user, key).await
            }
        };
        answer.map(Answer::from).map_err(of_ssh)
    }

    /// RSA signs with SHA-2 (RFC 8332); a server that only knows SHA-1 is refused.
    async fn hash_for(&self, algorithm: &Algorithm) -> Result<Option<HashAlg>> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return Ok(None);
        }
        match self.handle.best_supported_rsa_hash().await.map_err(of_ssh)? {
            Some(Some(hash)) => Ok(Some(hash)),
            _ if self.sign_with_sha1 => Ok(None),
            None => Ok(Some(HashAlg::Sha512)),
            Some(None) => {
                let message = "the server takes RSA keys with SHA-1 only, which is not safe";
                Err(Error::new(ErrorKind::Denied, message)
                    .with("to allow it", "algorithms.public_key = \"+ssh-rsa\""))
            }
        }
    }

    async fn agent(&mut self, socket: &Path) -> Result<(Answer, Option<String>)> {
        let no = |note: String| (Answer::Not { remaining: Vec::new(), counted: false }, Some(note));
        let agent = async {
            let mut agent = AgentClient::connect_uds(socket).await?;
            let identities = agent.request_identities().await?;
            Ok::<_, russh::keys::Error>((agent, identities))
        };
        let (mut agent, identities) = match agent.await {
            Ok(found) => found,
            Err(error) => return Ok(no(error.to_string())),
        };
        let mut last = Answer::Not { remaining: Vec::new(), counted: false };
        let mut count = 0;
        for identity in identities.into_iter().take(MAX_AGENT_KEYS) {
            count += 1;
            let hash = self.hash_for(&identity.public_key().algorithm()).await?;
            let answer = match identity {
                AgentIdentity::PublicKey { key, .. } => {
                    self.handle.authenticate_publickey_with(self.user, key, hash, &mut agent).await
                }
                AgentIdentity::Certificate { certificate, .. } => {
                    self.handle
                        .authenticate_certificate_with(self.user, certificate, hash, &mut agent)
                        .await
                }
            };
            // An agent may refuse to sign with one key and have another.
            let Ok(answer) = answer else { continue };
            last = self.alive(Ok(answer.into()))?;
            match &last {
                Answer::Not { remaining, counted: false }
                    if remaining.contains(&MethodKind::PublicKey) => {}
                _ => break,
            }
        }
        Ok((last, Some(format!("{count} keys"))))
    }

    /// Answers questions round by round.
    async fn questions(&mut self) -> Result<(Answer, Option<String>)> {
        let mut questions = Questions::new(&self.credentials.answers, self.password, self.user);
        let mut asked = self.handle.authenticate_keyboard_interactive_start(self.user, None).await;
        for _ in 0..MAX_ROUNDS {
            let answer = match asked.map_err(of_ssh) {
                Ok(Asked::InfoRequest { name, instructions, prompts }) => {
                    let notice = format!("{name} {instructions}");
                    let round: Vec<_> =
                        prompts.iter().map(|ask| (ask.prompt.as_str(), ask.echo)).collect();
                    let answers = questions.round(&notice, &round)?;
                    asked = self.handle.authenticate_keyboard_interactive_respond(answers).await;
                    continue;
                }
                Ok(Asked::Success) => Ok(Answer::In),
                Ok(Asked::Failure { remaining_methods, partial_success }) => Ok(Answer::Not {
                    remaining: remaining_methods.to_vec(),
                    counted: partial_success,
                }),
                Err(error) => Err(error),
            };
            let note = questions
                .open
                .map(|question| format!("no answer for {question:?}; `answers` can have one"));
            return Ok((self.alive(answer)?, note));
        }
        Err(Error::new(ErrorKind::Denied, "the server asks more questions than are answered"))
    }
}

/// For a server that neither accepts nor refuses a password.
fn expired() -> Error {
    let message = "the server neither accepted nor refused the password, as servers do when it has expired: \
                   change it with another client";
    Error::new(ErrorKind::Denied, message)
}

/// The answer to a password, or `None` once the server has sent something that is none. The protocol crate passes
/// over the message by which servers ask for a new password (RFC 4252 §8), and then waits for ever.
async fn answered<T>(answer: impl Future<Output = T>, received: &Received) -> Option<T> {
    received.explain();
    tokio::select! {
        biased;
        answer = answer => Some(answer),
        () = received.unexplained(QUIET) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_go_from_key_to_questions() {
        let credentials = Credentials {
            password: Some(Secret::new("one")),
            answers: crate::answers::Answers::default(),
            key: None,
            agent: Some("/agent".into()),
            agent_asked: true,
        };
        let uri = Secret::new("two");
        let plan = plan(&credentials, Some(&uri), true);
        let names: Vec<_> = plan.iter().map(Method::describe).collect();
        assert_eq!(names, ["agent /agent", "password", "keyboard-interactive"]);
        assert!(matches!(plan[1], Method::Password(secret) if secret.expose() == "two"));
    }

    #[test]
    fn methods_the_server_does_not_take_are_passed_over() {
        let secret = Secret::new("x");
        let left = [Method::Password(&secret), Method::Questions];
        assert_eq!(next(&left, None), Some(0));
        assert_eq!(next(&left, Some(&[MethodKind::KeyboardInteractive])), Some(1));
        assert_eq!(next(&left, Some(&[MethodKind::PublicKey])), None);
    }

    #[test]
    fn a_denial_says_what_was_tried_and_what_would_do() {
        let error = denied(&["password".to_owned()], &[MethodKind::PublicKey], &[]);
        assert_eq!(error.kind(), ErrorKind::Denied);
        let text = error.to_string();
        assert!(text.contains("tried=password") && text.contains("accepts=publickey"), "{text}");
        let text = denied(&["none".to_owned()], &[MethodKind::PublicKey], &[]).to_string();
        assert!(text.contains("set key_file, password or agent"), "{text}");
    }
}
