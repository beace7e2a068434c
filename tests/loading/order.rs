//! Files are loaded one after the other, in the order of their folders and names.

use std::{env, fs, process::Command, time::Duration};

use super::folder::{Folder, echo, faulty, report};
use super::trials::{initialiser, named_initialiser};
use crate::support::process::{run, tempdir};

#[tokio::test(flavor = "multi_thread")]
async fn initialisers_never_run_at_a_time_and_reports_have_the_order_of_names() {
    let mut folder = Folder::empty();
    let log = folder.outside("log");
    // Each takes long enough for another to begin, if one could.
    let code = |name: &str| {
        format!(
            "FILE *log = fopen(\"{}\", \"a\"); fputs(\"{name} begins\\n\", log); fflush(log); \
             usleep(20000); fputs(\"{name} ends\\n\", log); fclose(log);",
            log.display()
        )
    };
    for name in ["c", "a", "b"] {
        folder.put(&format!("{name}.so"), &named_initialiser(name, &code(name)));
    }
    folder.options.init_timeout = Duration::from_secs(60);
    let registry = folder.load().await;
    let names: Vec<_> = registry.reports().iter().map(|report| report.path.clone()).collect();
    assert_eq!(names, ["a.so", "b.so", "c.so"].map(|name| folder.path(name)));
    let ran = fs::read_to_string(&log).expect("a log");
    assert_eq!(ran, "a begins\na ends\nb begins\nb ends\nc begins\nc ends\n");
    for name in ["a.so", "b.so", "c.so"] {
        assert_eq!(report(&registry, name).state(), "no_symbol");
    }
}

/// The file that the process of its own writes to.
const PLACE: &str = "JACKFIELD_TESTS_HANGING_LOADER";

/// In a process of its own: nothing can be loaded after it, and it cannot end by itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run in a process of its own by the test below"]
async fn in_the_hanging_loader() {
    let Some(place) = env::var_os(PLACE) else { return };
    let mut folder = Folder::empty();
    folder.put("a.so", &echo());
    folder.put("b.so", &initialiser("for (;;) pause();"));
    folder.put("c.so", &faulty());
    folder.options.init_timeout = Duration::from_secs(5);
    let registry = folder.load().await;
    let states: Vec<&str> = registry.reports().iter().map(|report| report.state()).collect();
    let refusal = report(&registry, "c.so").refusal.clone().expect("a refusal");
    fs::write(place, format!("{}: {refusal}", states.join(" "))).expect("what came of it");
    // Its end would wait for the loader.
    let me = rustix::process::getpid();
    rustix::process::kill_process(me, rustix::process::Signal::KILL).expect("an end");
}

#[tokio::test]
async fn without_trials_a_file_that_hangs_in_the_loader_is_named_by_those_after_it() {
    let folder = tempdir();
    let place = folder.path().join("said");
    let mut command = Command::new(env::current_exe().expect("this test"));
    command.args(["--exact", "loading::order::in_the_hanging_loader", "--ignored"]);
    command.env(PLACE, &place);
    run(command, "").await;
    let text = fs::read_to_string(place).expect("what came of it");
    assert!(text.starts_with("running init_hung not_tried: was not tried: "), "{text}");
    assert!(text.contains("b.so hangs in the system's loader"), "{text}");
}
