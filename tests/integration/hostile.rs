//! Plugins that are broken or mean harm, and each consequence: for their exchange, for their instance, for other plugins, and for a
//! bystander who must never notice. The modules are in `tests/fixtures/hostile`; what is too large to keep is made here.

mod bystander;
mod faults;
mod held;
mod hooks;
mod lies;
mod loading;
mod scene;
mod spam;

use tidegate_tests::workspace;

/// The module of this name.
#[track_caller]
fn fixture(name: &str) -> Vec<u8> {
    let path = workspace().join("tests/fixtures/hostile").join(format!("{name}.wat"));
    wat::parse_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_fixture_is_used() {
    let used: String =
        crate::house::files("tests/integration/hostile", ".rs").into_iter().map(|(_, text)| text).collect();
    let folder = std::fs::read_dir(workspace().join("tests/fixtures/hostile")).unwrap();
    for path in folder.map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(used.contains(&format!("\"{name}\"")), "no test uses {name}");
    }
}
