//! `jackfield run`.

use crate::config::{Overrides, load};
use crate::manager::Manager;
use std::path::PathBuf;
use std::process::ExitCode;

pub(super) fn run(files: &[PathBuf]) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let loaded = match load(files, &Overrides::from_environment()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    runtime.block_on(async {
        match Manager::start(&loaded).await {
            Ok(manager) => {
                let _ = tokio::signal::ctrl_c().await;
                manager.shutdown().await;
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    })
}
