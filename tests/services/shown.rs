//! What the commands show of plugins: what they have, how they are, what a change of an option means.

use serde_json::Value;

use super::Folder;
use crate::support::jackfield::ran;

async fn shown(arguments: &[&str]) -> String {
    let folder = Folder::new();
    let plugins = folder.0.path().display().to_string();
    let arguments = [arguments, &["--plugins", &plugins]].concat();
    ran(&arguments, "").await.ok().text()
}

#[tokio::test]
async fn plugins_shows_interceptors_health_builds_and_readmes() {
    let table = shown(&["plugins"]).await;
    for word in ["HEALTH", "interceptor probe-audit", "handler probe-events"] {
        assert!(table.contains(word), "{word} is not in\n{table}");
    }
    let json: Value = serde_json::from_str(&shown(&["plugins", "--json"]).await).unwrap();
    let all = json["plugins"].as_array().expect("plugins");
    let own = all.iter().find(|one| one["manifest"]["name"] == "jackfield-probe").expect("it");
    assert_eq!(own["health"]["status"], "ok");
    assert_eq!(own["health"]["parts"][0]["name"], "probe");
    assert_eq!(
        table.contains("a debug build, which is slow"),
        own["manifest"]["profile"] == "debug"
    );
    let readme = shown(&["plugins", "--readme", "jackfield-probe"]).await;
    assert!(readme.starts_with("# probe\n"), "{readme}");
}

#[tokio::test]
async fn a_readme_that_is_not_there_is_told_with_the_nearest_name() {
    let folder = Folder::new();
    let plugins = folder.0.path().display().to_string();
    let asked = ran(&["plugins", "--readme", "jackfield-prob", "--plugins", &plugins], "").await;
    assert_eq!(asked.code, Some(2), "{}", asked.stderr);
    assert!(asked.stderr.contains("did you mean \"jackfield-probe\"?"), "{}", asked.stderr);
}

#[tokio::test]
async fn drivers_shows_interceptors_descriptions_and_what_a_change_means() {
    let table = shown(&["drivers"]).await;
    assert!(table.contains("INTERCEPTOR") && table.contains("probe-outer"), "{table}");
    let driver = shown(&["drivers", "probe"]).await;
    assert!(
        driver.contains("Each of its operations uses one service,\nas it is told."),
        "{driver}"
    );
    let change = |option: &str| {
        let mut rows = driver.lines().filter(|line| line.trim_start().starts_with(option));
        rows.next().map(|row| ["live", "new_sessions", "restart"].map(|word| row.contains(word)))
    };
    assert_eq!(change("reset "), Some([true, false, false]), "{driver}");
    assert_eq!(change("depth "), Some([false, true, false]), "{driver}");
    assert_eq!(change("label "), Some([false, false, true]), "{driver}");
    let interceptor = shown(&["drivers", "probe-outer"]).await;
    for word in ["interceptor", "-10", "refuse", "jackfield-probe"] {
        assert!(interceptor.contains(word), "{word} is not in\n{interceptor}");
    }
    let json: Value =
        serde_json::from_str(&shown(&["drivers", "probe-audit", "--json"]).await).unwrap();
    assert_eq!((&json["name"], &json["order"]), (&"probe-audit".into(), &0.into()));
}
