//! What is not started yet: for one stack alone, only the plugins that it is made of need to run.

use super::LoadOptions;
use super::file::{FoundFile, ProbedFile};
use super::load::load_files;
use super::registry::Registry;
use jackfield_plugin_api::DriverManifest;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Takes the files out of `probes` that a stack of `schemes` is not made of. None where a scheme is not known: who is told
/// so is told of all that there are.
pub(super) fn set_aside(
    probes: &mut Vec<ProbedFile>,
    found: Vec<FoundFile>,
    schemes: &[String],
) -> Vec<FoundFile> {
    let Some(needed) = needed(probes, schemes) else { return Vec::new() };
    // What was refused is told of.
    let stays = |probe: &ProbedFile| probe.result.is_err() || needed.contains(&probe.path);
    let aside: BTreeSet<PathBuf> =
        probes.iter().filter(|probe| !stays(probe)).map(|probe| probe.path.clone()).collect();
    probes.retain(stays);
    found.into_iter().filter(|file| aside.contains(&file.path)).collect()
}

/// The files of the drivers that the schemes stand for, as far as their manifests tell before they run; `None`: not all of
/// them are there.
fn needed(probes: &[ProbedFile], schemes: &[String]) -> Option<BTreeSet<PathBuf>> {
    let candidates = probes.iter().filter_map(|probe| probe.result.as_ref().ok());
    let drivers: Vec<(&PathBuf, &DriverManifest)> = candidates
        .flat_map(|it| it.manifest.drivers.iter().map(move |driver| (&it.path, driver)))
        .collect();
    let mut needed = BTreeSet::new();
    for name in schemes {
        let (file, scheme) = drivers.iter().find_map(|(file, driver)| {
            Some((*file, driver.schemes.iter().find(|scheme| scheme.name == *name)?))
        })?;
        needed.insert(file.clone());
        for part in scheme.stack.split('+') {
            let (file, _) = drivers.iter().find(|(_, driver)| driver.name == part)?;
            needed.insert((*file).clone());
        }
    }
    Some(needed)
}

/// Starts what was set aside, in another registry; `None`: nothing was. Not cancel safe: to be run to its end.
pub(super) async fn load_rest(before: &Registry, options: &LoadOptions) -> Option<Registry> {
    if before.aside.is_empty() {
        return None;
    }
    let mut next = before.clone();
    let aside = std::mem::take(&mut next.aside);
    let options = LoadOptions { only: None, ..options.clone() };
    load_files(&mut next, aside, &[], &options).await;
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::set_aside;
    use crate::driver::file::{Candidate, FoundFile, ProbedFile};
    use crate::driver::refusal::Refusal;
    use crate::driver::trust::Trust;
    use jackfield_plugin_api::PluginManifest;
    use serde_json::json;
    use std::path::{Path, PathBuf};

    /// A file of one driver with a scheme of its own name.
    fn probe(name: &str, stack: &str) -> ProbedFile {
        let path = PathBuf::from(format!("/plugins/{name}.so"));
        let manifest: PluginManifest = serde_json::from_value(json!({
            "manifest": 1, "name": name, "version": "1", "target": "", "symbol": "",
            "abi": { "major": 1, "minor": 0, "required_minor": 0, "layouts": [] },
            "drivers": [{
                "name": name, "summary": "", "kind": "layer", "roles": [], "facets": [],
                "runtime": "host", "query": "options",
                "schemes": [{ "name": name, "stack": stack }],
            }],
        }))
        .unwrap();
        let candidate = Candidate {
            path: path.clone(),
            sha256: String::new(),
            manifest: manifest.clone(),
            place: path.clone(),
            tried: true,
        };
        ProbedFile { path, sha256: None, manifest: Some(manifest), result: Ok(candidate) }
    }

    fn names(paths: impl Iterator<Item = PathBuf>) -> Vec<String> {
        let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        paths.map(name).collect()
    }

    fn aside_of(schemes: &[&str]) -> (Vec<String>, Vec<String>) {
        let refused = ProbedFile::refused(PathBuf::from("/plugins/bad.so"), Refusal::NotAFile);
        let mut probes = vec![
            probe("snmp", "snmp"),
            probe("ssh", "ssh+tcp"),
            probe("tcp", "tcp"),
            probe("tls", "tls+tcp"),
            probe("unix", "unix"),
            refused,
        ];
        let found = probes.iter().map(|it| FoundFile::at(it.path.clone(), Trust::Strict)).collect();
        let schemes: Vec<String> = schemes.iter().map(|name| (*name).to_owned()).collect();
        let aside = set_aside(&mut probes, found, &schemes);
        let stays = names(probes.into_iter().map(|it| it.path));
        (stays, names(aside.into_iter().map(|it| Path::to_owned(&it.path))))
    }

    #[test]
    fn what_a_stack_is_made_of_stays_and_what_was_refused() {
        let (stays, aside) = aside_of(&["snmp"]);
        assert_eq!(stays, ["snmp", "bad"]);
        assert_eq!(aside, ["ssh", "tcp", "tls", "unix"]);
        assert_eq!(aside_of(&["ssh", "tls", "unix"]).1, ["snmp"]);
    }

    #[test]
    fn with_a_scheme_that_nobody_has_all_are_started() {
        let (stays, aside) = aside_of(&["snmp", "sntp"]);
        assert_eq!((stays.len(), aside.len()), (6, 0));
    }
}
