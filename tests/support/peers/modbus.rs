//! Devices and masters of Modbus that are not ours: Python's pymodbus, libmodbus, and mbpoll, which is made of it.

use std::path::Path;

use crate::support::{
    need::need,
    peers::python::python,
    ports,
    process::{Process, command, run, script, tempdir},
};

/// A running device; it ends with this value.
pub(crate) struct Device {
    _process: Process,
    pub(crate) port: u16,
}

impl Device {
    /// `modbus_device.py` behind a port, with the frames of `tcp` or `rtu-tcp`.
    pub(crate) async fn pymodbus(mode: &str) -> Self {
        ports::with_free_port(async |port| {
            let mut python = python("modbus_device.py");
            python.args([mode, &port.to_string()]);
            let mut process = Process::spawn("pymodbus", python);
            process.logged("ready").await?;
            Ok(Self { _process: process, port })
        })
        .await
    }

    /// The same at a line, with the frames of `rtu` or `ascii`.
    pub(crate) async fn pymodbus_at(mode: &str, line: &Path) -> Self {
        let mut python = python("modbus_device.py");
        python.arg(mode).arg(line);
        Self::at_line("pymodbus", python).await
    }

    async fn at_line(name: &str, command: std::process::Command) -> Self {
        let mut process = Process::spawn(name, command);
        process.logged("ready").await.unwrap_or_else(|log| panic!("{log}"));
        Self { _process: process, port: 0 }
    }

    /// `modbus_device.c` behind a port.
    pub(crate) async fn libmodbus() -> Self {
        let (folder, program) = compiled().await;
        let device = ports::with_free_port(async |port| {
            let mut device = command(&program);
            device.args(["tcp", &port.to_string()]);
            let mut process = Process::spawn("libmodbus", device);
            process.logged("ready").await?;
            Ok(Self { _process: process, port })
        });
        let device = device.await;
        drop(folder);
        device
    }

    /// The same at a line.
    pub(crate) async fn libmodbus_at(line: &Path) -> Self {
        let (_folder, program) = compiled().await;
        let mut device = command(&program);
        device.arg("rtu").arg(line);
        Self::at_line("libmodbus", device).await
    }
}

async fn compiled() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempdir();
    let program = folder.path().join("modbus_device");
    let mut compiler = command(need("gcc", "gcc"));
    compiler.arg("-o").arg(&program).arg(script("modbus_device.c")).arg("-lmodbus");
    let compiled = run(compiler, "").await;
    assert_eq!(compiled.code, Some(0), "libmodbus-dev is needed: {}", compiled.stderr);
    (folder, program)
}

/// What a master by pymodbus says that it has read.
pub(crate) async fn master(mode: &str, place: &str) -> String {
    let mut python = python("modbus_master.py");
    python.args([mode, place]);
    run(python, "").await.ok().text()
}

/// What `mbpoll ARGUMENTS` prints.
pub(crate) async fn mbpoll(arguments: &[&str]) -> String {
    let mut mbpoll = command(need("mbpoll", "mbpoll"));
    mbpoll.args(["-1", "-0", "-o", "10"]).args(arguments);
    let ran = run(mbpoll, "").await;
    format!("{}{}", ran.text(), ran.stderr)
}
