//! Folders of plugins that the configuration names while the host runs.

use std::fs;

use jackfield::reload::ReloadCause;

use super::{FAULTY, Plugged, copy};
use crate::loading::write;

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_added_is_searched_and_one_that_is_left_out_is_not_any_more() {
    let host = Plugged::start(&[], "").await;
    let more = host.folder.path().join("more");
    fs::create_dir(&more).unwrap();
    write(&more.join(FAULTY), &copy("added"));
    let file = host.folder.path().join("jackfield.toml");
    let before = fs::read_to_string(&file).unwrap();
    let after = before.replace("[\"plugins\"]", "[\"plugins\", \"more\"]");
    // What it brings is used by the same change.
    let uses = "[connections.f]\nuri = \"faulty://x\"\n";
    fs::write(&file, format!("{after}{uses}")).unwrap();
    let report = host.reloader.reload(ReloadCause::Watch, false).await.unwrap();
    assert!(report.plugins.iter().any(|line| line.starts_with("admitted plugin")), "{report}");
    assert_eq!(host.mode().await, "added");
    let session = host.open("connections.f").await.unwrap();
    fs::write(&file, &before).unwrap();
    let report = host.reloader.reload(ReloadCause::Watch, false).await.unwrap();
    assert!(report.plugins.iter().any(|line| line.starts_with("removed plugin")), "{report}");
    assert!(host.open("faulty://x").await.is_err());
    assert_eq!(super::mode(&session).await, "added", "its session goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_comes_with_a_mistake_goes_with_it() {
    let host = Plugged::start(&[], "").await;
    let more = host.folder.path().join("more");
    fs::create_dir(&more).unwrap();
    write(&more.join(FAULTY), &copy("added"));
    let file = host.folder.path().join("jackfield.toml");
    let before = fs::read_to_string(&file).unwrap();
    let after = before.replace("[\"plugins\"]", "[\"plugins\", \"more\"]");
    fs::write(&file, format!("{after}[connections.f]\nuri = \"nowhere://x\"\n")).unwrap();
    let error = host.reloader.reload(ReloadCause::Watch, false).await.unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
    assert!(host.open("faulty://x").await.is_err());
    let stop = after.replace("\"more\"", "\"no-such\"").replace("\"warn\"", "\"stop\"");
    fs::write(&file, stop).unwrap();
    let error = host.reloader.reload(ReloadCause::Watch, false).await.unwrap_err().to_string();
    assert!(error.contains("host.plugins.1") && error.contains("no-such"), "{error}");
}
