//! What the benches share: rounds that alternate, medians, ratios.
#![allow(dead_code, reason = "each bench takes what it needs")]

use std::path::PathBuf;
use std::time::Instant;

/// The middle of the values; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Nanoseconds of one call of `work`, over `count` calls.
pub(crate) fn nanos_each(count: u32, mut work: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..count {
        work();
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

/// A line `name  value unit`.
pub(crate) fn line(name: &str, value: f64, unit: &str) {
    println!("{name:<58} {value:>12.2} {unit}");
}

/// A line with a ratio and the goal it has.
pub(crate) fn ratio(name: &str, value: f64, goal: &str) {
    println!("{name:<58} {value:>12.3} ratio (goal {goal})");
}

/// The folder of the plugins built in the profile that this bench is built in.
pub(crate) fn built() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this bench");
    // What `cargo bench` builds is one folder further down than the plugins.
    let folder = program.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    folder.expect("a bench runs from a cargo target folder").to_owned()
}

/// The first line that `program --version` prints.
pub(crate) fn version(program: &str, flag: &str) -> String {
    let output = std::process::Command::new(program).arg(flag).output();
    let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("not installed").to_owned()
}
