//! Where the built `tidegate` binary is: built once for each test process, by cargo, in the test's own profile.
//! It knows nothing of what the binary does.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The workspace's root.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The path of the built binary. `TIDEGATE_BIN` names another one to test.
pub fn tidegate() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("TIDEGATE_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    // Of the whole workspace, as `cargo test` is: for one package alone, dependencies have other features and are built again.
    cargo.current_dir(workspace()).args(["build", "--workspace", "--bin", "tidegate"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    // Of what cargo says to a running test nothing may reach the build: scripts of dependencies look at it (ring's does), and
    // half of the dependencies would be built anew each time.
    let said = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "OUT_DIR";
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(said) {
            cargo.env_remove(name);
        }
    }
    // Into the folder that this test was built into, whatever it was called by.
    cargo.arg("--target-dir").arg(target_dir());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "the proxy does not build");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "tidegate" && message["target"]["kind"][0] == "bin")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the executable")
}

/// Where the proxies of all tests keep compiled plugins: not where the user who runs the tests has theirs.
pub(crate) fn caches() -> PathBuf {
    target_dir().join("tmp").join("caches")
}

/// `target` of `target/debug/deps/integration-0123`, `target/debug/examples/origin` and the like.
fn target_dir() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().skip(1).find(|folder| folder.join("deps").is_dir()).expect("a target folder");
    profile.parent().unwrap().to_path_buf()
}
