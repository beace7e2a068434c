//! Secrets that the configuration gives to one plugin.

use jackfield::config::{Overrides, load};
use jackfield::manager::Manager;
use jackfield::reload::{ReloadCause, Reloader};
use jackfield_plugin_api::ErrorKind;
use serde_json::{Map, json};

use super::{Folder, PROBE, ask, start};
use crate::support::{host::TestHost, jackfield::Config, jackfield::ran};

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_reads_the_secrets_that_it_is_given_as_they_are_now_and_no_others() {
    let folder = crate::support::process::tempdir();
    let file = folder.path().join("token");
    std::fs::write(&file, "hunter2\n").unwrap();
    let (host, _plugins) = start(&format!(
        "[plugins.jackfield-probe.secrets]\ntoken = {{ file = {file:?} }}\n\
         [plugins.jackfield-echo.secrets]\nother = {{ file = {file:?} }}\n"
    ))
    .await;
    let read = async |name: &str| ask(&host, PROBE, "read", json!({ "name": name })).await;
    assert_eq!(read("token").await.unwrap(), "hunter2");
    std::fs::write(&file, "changed").unwrap();
    assert_eq!(read("token").await.unwrap(), "changed");
    for name in ["other", "tokne", ""] {
        let denied = read(name).await.unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::Denied, "{denied}");
        assert!(denied.to_string().contains("plugins.jackfield-probe.secrets"), "{denied}");
    }
    std::fs::remove_file(&file).unwrap();
    let gone = read("token").await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Config, "{gone}");
    assert!(!format!("{gone:?}").contains("changed"), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_runs_may_read_what_a_change_of_the_configuration_gives_it_and_no_more_what_it_takes()
 {
    let folder = Folder::new();
    let file = folder.0.path().join("jackfield.toml");
    let given = "[plugins.jackfield-probe.secrets]\ntoken = { file = \"token\" }\n";
    std::fs::write(folder.0.path().join("token"), "hunter2").unwrap();
    std::fs::write(&file, folder.with("")).unwrap();
    let loaded = load(std::slice::from_ref(&file), &Overrides::new()).unwrap();
    let manager = Manager::start(&loaded).await.unwrap_or_else(|error| panic!("{error}"));
    let reloader =
        Reloader::new(manager.clone(), vec![file.clone()], Overrides::new(), loaded).await;
    let params = json!({ "name": "token" });
    let read = async || manager.call(PROBE, &Map::new(), "read", &params).await;
    assert_eq!(read().await.unwrap_err().kind(), ErrorKind::Denied);
    std::fs::write(&file, folder.with(given)).unwrap();
    let report = reloader.reload(ReloadCause::Call, false).await.unwrap();
    assert_eq!(report.to_string(), "added plugins.jackfield-probe");
    assert_eq!(read().await.unwrap(), "hunter2");
    std::fs::write(&file, folder.with("")).unwrap();
    reloader.reload(ReloadCause::Call, false).await.unwrap();
    assert_eq!(read().await.unwrap_err().kind(), ErrorKind::Denied);
    let wrong = given.replace("probe", "prob");
    std::fs::write(&file, folder.with(&wrong)).unwrap();
    let error = reloader.reload(ReloadCause::Call, false).await.unwrap_err().to_string();
    assert!(error.contains("no plugin of that name was found"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_for_a_plugin_that_is_not_there_are_a_mistake_with_the_nearest_name() {
    let folder = Folder::new();
    let toml = "[plugins.jackfield-prob.secrets]\ntoken = { env = \"TOKEN\" }\n";
    let error = TestHost::try_start(&folder.with(toml)).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("plugins.jackfield-prob: no plugin of that name was found"), "{error}");
    assert!(error.contains("did you mean \"jackfield-probe\"?"), "{error}");
}

#[tokio::test]
async fn where_a_secret_is_kept_is_said_by_a_reference_and_never_in_plain_text() {
    for (value, hint) in [
        ("\"hunter2\"", None),
        ("{ enw = \"hunter2\" }", Some("env")),
        ("{ env = \"A\", file = \"hunter2\" }", None),
    ] {
        let config = Config::new(&format!("[plugins.jackfield-probe.secrets]\ntoken = {value}\n"));
        let checked = ran(&["check", "--config", &config.file()], "").await;
        assert_eq!(checked.code, Some(2), "{}", checked.stderr);
        let line = "plugins.jackfield-probe.secrets.token: expected { env = \"NAME\" }";
        assert!(checked.stderr.contains(line), "{}", checked.stderr);
        assert!(!checked.stderr.contains("hunter2"), "{}", checked.stderr);
        let hint = hint.map(|near| format!("(did you mean {near:?}?)"));
        assert!(hint.is_none_or(|hint| checked.stderr.contains(&hint)), "{}", checked.stderr);
    }
}
