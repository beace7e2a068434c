//! Files and folders that are not there, or are not what they should be: the line names what is missing.

use std::fs;

use crate::support::{jackfield::ran, process::tempdir};

#[tokio::test]
async fn what_is_missing_of_a_path_is_named() {
    let folder = tempdir();
    let at = |path: &str| folder.path().join(path).display().to_string();
    fs::write(at("file"), "x").unwrap();
    let api = format!("{}/../plugin-api", env!("CARGO_MANIFEST_DIR"));
    let config = |name: &str, toml: String| {
        fs::write(at(name), format!("[admin]\nlisten = []\n{toml}")).unwrap();
        at(name)
    };
    let state = config("state.toml", format!("[host]\nstate_dir = \"{}\"\n", at("file/state")));
    let socket = at("socket.toml");
    fs::write(&socket, format!("admin.listen = [\"unix:{}\"]\n", at("none/run/x.sock"))).unwrap();
    let tokens = at("tokens.toml");
    fs::write(&tokens, "[admin]\nlisten = [\"tcp://127.0.0.1:0\"]\ntokens = \"none/tokens\"\n")
        .unwrap();
    let secret = config(
        "secret.toml",
        "[connections.a]\nuri = \"ssh://a@127.0.0.1:1\"\n\
         options = { password = { file = \"none/password\" } }\n"
            .to_owned(),
    );
    let (deep, there, below) = (at("none/deep/rot"), at("there"), at("file/rot"));
    fs::create_dir(&there).unwrap();
    let (no_folder, is_file) =
        (format!("there is no folder {}", at("none")), format!("{} is no folder", at("file")));
    let (missing, manual, copy) = (at("none/a.toml"), at("none/man"), at("none/copy"));
    let (from, token) = (at("file"), at("none/token"));
    for (arguments, code, said) in [
        (&["new", &deep, "--kind", "layer", "--api", &api][..], 2, &no_folder[..]),
        (&["new", &there, "--kind", "layer", "--api", &api], 2, "it is there already"),
        (&["new", &below, "--kind", "layer", "--api", &api], 2, &is_file),
        (&["check", "-c", &missing], 2, &no_folder),
        (&["run", "-c", &missing], 2, &no_folder),
        (&["run", "-c", &state], 2, &is_file),
        (&["run", "-c", &socket], 2, &no_folder),
        (&["check", "-c", &tokens], 2, &no_folder),
        (&["check", "-c", &secret], 2, &no_folder),
        (&["__manual", &manual], 2, &no_folder),
        (&["cp", &from, &copy], 1, &no_folder),
        (&["status", "--admin", "https://127.0.0.1:1", "--admin-token", &token], 2, &no_folder),
        (&["status", "--admin", &there], 3, "a folder, and no socket"),
        (&["status", "--admin", &from], 3, "a file, and no socket"),
    ] {
        let ran = ran(arguments, "").await;
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{arguments:?}: no {said:?} in {}", ran.stderr);
    }
}
