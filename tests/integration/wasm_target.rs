//! The build where the plugins' target is missing: it is installed through rustup, or one sentence says what to do.
//! It touches no toolchain: rustc, cargo and rustup are stand-ins, and only the build script is real.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use tidegate_tests::{Scratch, workspace};

/// A folder with the build script, compiled, a rustc that knows of the target what `libraries` has, and a cargo that fails.
struct Machine {
    folder: Scratch,
    libraries: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let folder = Scratch::new();
        let libraries = folder.path().join("libraries");
        let script = workspace().join("proxy/build.rs");
        let compiled = Command::new(option_env!("RUSTC").unwrap_or("rustc"))
            .current_dir(workspace())
            .args(["--edition", "2024", "-o"])
            .args([&folder.path().join("build"), &script])
            .status();
        assert!(compiled.unwrap().success());
        let machine = Self { folder, libraries };
        machine.program("rustc", &format!("echo '{}'", machine.libraries.display()));
        machine.program("cargo", "echo 'the stand-in compiles nothing' >&2; exit 1");
        machine
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.folder.write(name, format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What the build script tells cargo, but for what it watches.
    fn build(&self) -> Vec<String> {
        let output = Command::new(self.folder.path().join("build"))
            .env_clear()
            .env("PATH", self.folder.path())
            .env("RUST_BACKTRACE", "1")
            .env("RUSTC", self.folder.path().join("rustc"))
            .env("CARGO", self.folder.path().join("cargo"))
            .env("CARGO_MANIFEST_DIR", workspace().join("proxy"))
            .env("OUT_DIR", self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines().filter(|line| !line.contains("rerun-if-changed")).map(str::to_owned).collect()
    }
}

fn errors(said: &[String]) -> Vec<&String> {
    said.iter().filter(|line| line.starts_with("cargo::error=")).collect()
}

#[test]
fn it_is_installed_through_rustup() {
    let machine = Machine::new();
    let asked = machine.folder.path().join("asked");
    let install = format!("echo \"$@\" > {}; /bin/mkdir {}", asked.display(), machine.libraries.display());
    machine.program("rustup", &install);
    let said = machine.build();
    assert!(said[0].contains("installing it with `rustup target add wasm32-wasip1`"), "{said:#?}");
    assert_eq!(std::fs::read_to_string(asked).unwrap(), "target add wasm32-wasip1\n");
    // It goes on to compile the plugins.
    assert!(said.iter().any(|line| line.contains("the stand-in compiles nothing")), "{said:#?}");
}

#[test]
fn where_it_cannot_be_installed_one_sentence_says_what_to_do() {
    let machine = Machine::new();
    machine.program(
        "rustup",
        "echo 'error: no network' >&2; [ -z \"$RUST_BACKTRACE\" ] || echo '15: <unknown>' >&2; exit 1",
    );
    let said = machine.build();
    assert_eq!(errors(&said).len(), 1, "{said:#?}");
    assert!(errors(&said)[0].contains("`rustup target add wasm32-wasip1`"), "{said:#?}");
    assert!(errors(&said)[0].ends_with("error: no network"), "{said:#?}");
}

#[test]
fn without_rustup_it_says_so() {
    let said = Machine::new().build();
    assert_eq!(errors(&said).len(), 1, "{said:#?}");
    assert!(errors(&said)[0].contains("wasm32-wasip1") && errors(&said)[0].contains("no `rustup`"), "{said:#?}");
}
