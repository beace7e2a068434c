//! What a change of one object among many costs, as counts.

use super::stage;
use crate::config::diff::{
    Changes, ConfigSide, ObjectId, ObjectKind, Secrets, WaitingObjects, diff,
};
use crate::config::{Loaded, Overrides, load};
use crate::manager::parts::Parts;
use crate::manager::target_builder::Programs;
use crate::manager::tests::manager;
use std::fs;

const MANY: usize = 1000;

/// Connections, upstreams that lead to every tenth, of which `timeout` is another one in the seventh.
fn written(folder: &tempfile::TempDir, timeout: &str) -> Loaded {
    let mut text = String::new();
    for at in 0..MANY {
        let own = if at == 7 { timeout } else { "5s" };
        text +=
            &format!("[connections.c{at}]\nuri = \"null://x{at}\"\nconnect_timeout = \"{own}\"\n");
        if at % 10 == 0 {
            text += &format!("[upstreams.u{at}]\ntargets = [\"connections.c{at}\"]\n");
        }
    }
    let file = folder.path().join("jackfield.toml");
    fs::write(&file, text).unwrap();
    load(&[file], &Overrides::new()).unwrap()
}

fn changed(old: &Loaded, new: &Loaded) -> Changes {
    let (none, waiting) = (Secrets::default(), WaitingObjects::new());
    let side = |loaded| ConfigSide { loaded, secrets: &none, waiting: &waiting };
    diff(side(old), side(new), &())
}

fn parts(loaded: &Loaded) -> Parts<'_> {
    Parts { loaded, errors: Vec::new(), programs: Programs::Run, unresolved: Vec::new() }
}

#[tokio::test]
async fn of_a_thousand_objects_one_that_changes_is_read_and_built_alone() {
    let (manager, folder) = (manager(10), tempfile::tempdir().unwrap());
    let (old, new) = (written(&folder, "5s"), written(&folder, "6s"));
    let all = Changes::everything(&old, &WaitingObjects::new());
    let staged = stage(&manager, &mut parts(&old), &all).await;
    assert_eq!((staged.connections.len(), staged.upstreams.len()), (MANY, MANY / 10));
    manager.enter(&staged, &all, old.config.reload.drain);

    let read = crate::config::diff::read_whole();
    let changes = changed(&old, &new);
    // The object before and after, and once more with the one key that is written differently.
    assert!(crate::config::diff::read_whole() - read <= 4, "each object was read as a whole");
    let ids: Vec<&ObjectId> = changes.iter().map(|change| &change.object).collect();
    assert_eq!(ids, [&ObjectId::new(ObjectKind::Connection, "c7")]);

    let mut parts = parts(&new);
    let staged = stage(&manager, &mut parts, &changes).await;
    assert!(parts.errors.is_empty(), "{:?}", parts.errors);
    assert_eq!((staged.connections.len(), staged.upstreams.len()), (1, 0));
    let same = |name: &str| {
        let of = |manager: &crate::manager::Manager| manager.core.named.entries.get(name).unwrap();
        std::sync::Arc::ptr_eq(&of(&manager), &of(&staged.next))
    };
    assert!(same("c6") && same("c8") && !same("c7"));
}
