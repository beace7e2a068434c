//! Every command of the three READMEs does what is printed there: in a network and with devices of its own,
//! so that addresses, ports and names stand as a reader types them.
//!
//! A fenced block of `toml` whose first line is `# NAME.toml` is a file. A block of `console` is typed: what
//! follows `$ ` is a command, the lines after it what it prints on standard output; `…` stands for anything
//! on that line, and alone for any number of lines. A command that ends with `&` is waited for until it says that it is ready; all of them must
//! end well at the end of the block. A command without lines may print anything.

mod blocks;
mod fieldbus;
mod world;

use blocks::{Command, commands, files};
use std::{fs, path::Path};
use world::World;

use crate::support::network;

const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn readme(name: &str) -> String {
    fs::read_to_string(Path::new(TOP).join(name)).expect("a README")
}

#[test]
fn every_command_of_the_readme_does_what_is_printed() {
    network::of_its_own("readme::in_a_world_of_its_own");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above, with a network of its own"]
async fn in_a_world_of_its_own() {
    let world = World::make().await;
    let text = readme("README.md");
    for (name, content) in files(&text) {
        world.put(&name, &content);
    }
    let blocks = commands(&text);
    assert!(!blocks.is_empty(), "the README has no commands");
    for block in &blocks {
        run(&world, block).await;
    }
}

/// What the page for programs shows is a program that is built and run: `examples` does.
#[test]
fn the_program_that_embeds_is_one_of_the_examples() {
    let page = readme("host/README.md");
    let shown = page.split_once("```rust\n").expect("a program").1.split_once("\n```").unwrap().0;
    let example = readme("host/examples/embed.rs");
    assert!(example.ends_with(&format!("{shown}\n")), "host/README.md shows another program");
}

/// Types one block, and compares.
async fn run(world: &World, block: &[Command]) {
    let (printed, complaints) = world.typed(block).await;
    for (command, printed) in block.iter().zip(&printed) {
        assert!(
            command.is_printed(printed),
            "$ {}\n--- printed\n{printed}\n--- expected\n{}\n--- complaints\n{complaints}",
            command.line,
            command.expected.join("\n"),
        );
    }
    assert_eq!(printed.len(), block.len(), "not all was typed: {printed:?}");
}
