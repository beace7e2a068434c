//! What is agreed on with servers that can do little.

use jackfield_plugin_api::ErrorKind;
use serde_json::json;

use super::{Lab, output};

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_only_one_of_todays_algorithms_are_reached_as_they_are() {
    for (line, fact, name) in [
        ("KexAlgorithms ecdh-sha2-nistp256", "kex", "ecdh-sha2-nistp256"),
        ("KexAlgorithms ecdh-sha2-nistp384", "kex", "ecdh-sha2-nistp384"),
        ("KexAlgorithms ecdh-sha2-nistp521", "kex", "ecdh-sha2-nistp521"),
        ("Ciphers aes128-gcm@openssh.com", "cipher", "aes128-gcm@openssh.com"),
        ("Ciphers aes256-gcm@openssh.com", "cipher", "aes256-gcm@openssh.com"),
    ] {
        let lab = Lab::with(line).await;
        let session = lab.session(&json!({})).await;
        assert_eq!(session.info().facts[fact], name);
        assert_eq!(output(&session, "echo in").await, "in\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_algorithms_are_for_servers_whose_options_name_them() {
    for (line, option, name, fact) in [
        ("KexAlgorithms diffie-hellman-group14-sha1", "kex", "diffie-hellman-group14-sha1", "kex"),
        ("KexAlgorithms diffie-hellman-group1-sha1", "kex", "diffie-hellman-group1-sha1", "kex"),
        ("Ciphers aes128-cbc", "cipher", "aes128-cbc", "cipher"),
        ("Ciphers 3des-cbc", "cipher", "3des-cbc", "cipher"),
        ("Ciphers aes128-ctr\nMACs hmac-sha1", "mac", "hmac-sha1", "mac"),
    ] {
        let lab = Lab::with(line).await;
        let error = lab.open(&lab.options(&json!({}))).await.expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains(name), "the server's list: {error}");
        let session = lab.session(&json!({ "algorithms": { option: format!("+{name}") } })).await;
        assert_eq!(session.info().facts[fact], name);
        assert_eq!(output(&session, "echo in").await, "in\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rsa_with_sha1_is_for_hosts_and_keys_whose_options_name_it() {
    let lines = "HostKeyAlgorithms ssh-rsa\nPubkeyAcceptedAlgorithms ssh-rsa\n";
    let mut lab = Lab::with(lines).await;
    lab.sshd.change_host_key("rsa").await;
    let key = lab.sshd.make_key("rsa").await;
    lab.sshd.authorize(&key);
    let with = |algorithms| lab.options(&json!({ "key_file": key, "algorithms": algorithms }));
    let error = lab.open(&with(json!({}))).await.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    let error = lab.open(&with(json!({ "host_key": "+ssh-rsa" }))).await.expect_err("a denial");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let both = with(json!({ "host_key": "+ssh-rsa", "public_key": "+ssh-rsa" }));
    let session = lab.open(&both).await.unwrap_or_else(|e| panic!("{e}\n{}", lab.sshd.log()));
    assert_eq!(session.info().facts["host_key"], "ssh-rsa");
}
