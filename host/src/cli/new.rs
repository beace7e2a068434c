//! `jackfield new`.

use super::failure::{Failure, Outcome};
use super::output::print;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct NewArgs {
    /// Folder to make; its last part is the name of the package and of what it exports
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// What the plugin exports
    #[arg(short, long, value_enum)]
    kind: PluginKind,
    /// Folder of jackfield-plugin-api, which the package is built with
    #[arg(long, value_name = "DIR")]
    api: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  jackfield new ../rot --kind layer --api plugin-api
  (cd ../rot && cargo test && cargo build --release)
  jackfield plugins --plugins ../rot/target/release";

/// What a new plugin exports.
#[derive(Clone, Copy, clap::ValueEnum)]
enum PluginKind {
    /// A driver that changes bytes on their way
    Layer,
    /// A driver that reaches the outside world
    Transport,
    /// A driver of operations, for `call`
    Calls,
    /// A driver of messages
    Messages,
    /// Code that answers sessions
    Handler,
}

impl PluginKind {
    fn source(self) -> &'static str {
        match self {
            // Each becomes a package of its own, so that all of them have the same names, such as `TemplateDriver`.
            PluginKind::Layer => include_str!("../../templates/layer.rs"),
            PluginKind::Transport => include_str!("../../templates/transport.rs"),
            PluginKind::Calls => include_str!("../../templates/calls.rs"),
            PluginKind::Messages => include_str!("../../templates/messages.rs"),
            PluginKind::Handler => include_str!("../../templates/handler.rs"),
        }
    }

    /// What it depends on beside the API.
    fn more(self) -> &'static str {
        match self {
            PluginKind::Messages => "tokio-util = { version = \"0.7\", features = [\"codec\"] }\n",
            _ => "",
        }
    }
}

const PACKAGE: &str = include_str!("../../templates/package.toml");

pub(super) fn new(args: &NewArgs) -> Outcome {
    let name = name(&args.folder)?;
    let api = args.api.canonicalize().ok().filter(|api| api.join("Cargo.toml").is_file());
    let shown = args.api.display();
    let api = api.ok_or_else(|| {
        Failure::config(format!("--api {shown}: expected the folder of jackfield-plugin-api"))
    })?;
    let api = api.to_str().filter(|text| !text.contains(['"', '\\'])).ok_or_else(|| {
        Failure::config(format!("--api {shown}: its path cannot stand in a Cargo.toml"))
    })?;
    let package = PACKAGE.replace("template", name).replace("API", api).replacen(
        "\n\n[dev-dependencies]",
        &format!("\n{}\n[dev-dependencies]", args.kind.more()),
        1,
    );
    let source = args.kind.source().replace("template", name).replace("Template", &camel(name));
    write(&args.folder, &package, &source)?;
    print(&format!("{}: cargo test; cargo build --release\n", args.folder.display()))
}

/// A word that can be a package, a driver and a scheme.
fn name(folder: &Path) -> Outcome<&str> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("");
    let word = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if word && name != "test" && name != "jackfield-plugin-api" {
        return Ok(name);
    }
    let text = "expected a folder named by a word of lower-case letters, digits and `-`";
    Err(Failure::config(format!("{}: {text}", folder.display())))
}

fn camel(name: &str) -> String {
    let parts = name.split('-').filter_map(|part| {
        let mut letters = part.chars();
        Some(letters.next()?.to_ascii_uppercase().to_string() + letters.as_str())
    });
    parts.collect()
}

/// Makes the folder, which must not be there.
fn write(folder: &Path, package: &str, source: &str) -> Outcome<()> {
    let failed = |path: &Path, error| Failure::of_path(path, &error);
    fs::create_dir(folder).map_err(|error| failed(folder, error))?;
    let src = folder.join("src");
    fs::create_dir(&src).map_err(|error| failed(&src, error))?;
    let files = [("Cargo.toml", package), ("src/lib.rs", source), (".gitignore", "/target\n")];
    for (file, text) in files {
        let path = folder.join(file);
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}
