use super::*;
use crate::handover::Handover;

fn config(port: u16) -> ConnectionConfig {
    let uri = format!("tcp://127.0.0.1:{port}").parse().unwrap();
    ConnectionConfig { uri, ..ConnectionConfig::default() }
}

fn names(restored: &Restored) -> Vec<&str> {
    restored.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn what_was_written_is_read_again_and_a_torn_end_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, restored) = StateDir::open(folder.path(), &Handover::default()).unwrap();
    assert!(restored.is_empty());
    for name in ["a", "b", "c"] {
        state.define(name, &config(7), true).unwrap();
    }
    state.define("a", &config(8), false).unwrap();
    state.remove("b").unwrap();
    drop(state);
    let path = folder.path().join(NAME);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"0123456789abcdef {\"define\":\"torn").unwrap();
    let (mut state, restored) = StateDir::open(folder.path(), &Handover::default()).unwrap();
    assert_eq!(names(&restored), ["c", "a"]);
    assert_eq!(restored[1].1, config(8));
    state.define("d", &config(9), true).unwrap();
    drop(state);
    assert_eq!(
        names(&StateDir::open(folder.path(), &Handover::default()).unwrap().1),
        ["c", "a", "d"]
    );
}

#[test]
fn damage_is_an_error_with_file_and_offset_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, _) = StateDir::open(folder.path(), &Handover::default()).unwrap();
    state.define("a", &config(7), true).unwrap();
    state.define("b", &config(7), true).unwrap();
    drop(state);
    let path = folder.path().join(NAME);
    let mut bytes = fs::read(&path).unwrap();
    bytes[30] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = StateDir::open(folder.path(), &Handover::default()).unwrap_err().to_string();
    assert!(error.contains("connections.journal: byte 18: the checksum does not"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn two_processes_cannot_use_one_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (state, _) = StateDir::open(folder.path(), &Handover::default()).unwrap();
    let error = StateDir::open(folder.path(), &Handover::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    drop(state);
    StateDir::open(folder.path(), &Handover::default()).unwrap();
}

#[test]
fn rewriting_keeps_what_lives_and_bounds_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, _) = StateDir::open(folder.path(), &Handover::default()).unwrap();
    state.define("kept", &config(1), true).unwrap();
    let mut longest = 0;
    for port in 0..5000 {
        state.define("kept", &config(port), false).unwrap();
        if state.wants_rewriting() {
            let now = config(port);
            state.rewrite(std::iter::once(("kept", &now))).unwrap();
        }
        longest = longest.max(fs::metadata(folder.path().join(NAME)).unwrap().len());
    }
    assert!(longest < 120 * (SLACK as u64 + 8), "{longest}");
    drop(state);
    let (_, restored) = StateDir::open(folder.path(), &Handover::default()).unwrap();
    assert_eq!(restored, [("kept".to_owned(), config(4999))]);
}

#[test]
fn what_was_found_by_name_is_kept_apart_from_what_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut state, _) = StateDir::open(folder.path(), &Handover::default()).unwrap();
    let target = |port: u16| Box::new(format!("tcp://127.0.0.1:{port}").parse().unwrap());
    state.change_target("web", "found", TargetEdit::Find(target(1))).unwrap();
    state.change_target("web", "added", TargetEdit::Add(target(2))).unwrap();
    state.change_target("web", "found", TargetEdit::Weigh(3)).unwrap();
    let again = |state: StateDir| {
        drop(state);
        StateDir::open(folder.path(), &Handover::default()).unwrap().0
    };
    let mut state = again(state);
    let layer = &state.targets()["web"];
    assert_eq!((layer.found.len(), layer.added.len(), layer.weights["found"]), (1, 1, 3));
    state.reset_targets("web", true).unwrap();
    state.rewrite(std::iter::empty()).unwrap();
    let mut state = again(state);
    let layer = &state.targets()["web"];
    assert!(layer.is_unchanged() && layer.found.contains_key("found"), "{layer:?}");
    state.reset_targets("web", false).unwrap();
    assert!(again(state).targets().is_empty());
}
