//! The configuration that a command is for: read, with everything that is wrong with it told.
//! It does not know what the command does with it.

use std::path::Path;

use super::{Exit, print};
use crate::config::{self, Diagnostics, Loaded};

/// The file that is meant when none is named.
pub(super) const DEFAULT: &str = "tidegate.yaml";

const HOW_TO: &str = r#"
A few lines are enough to begin with. Write this to `tidegate.yaml`, with your service in `endpoints`:

listeners: [{ address: "0.0.0.0:8080" }]
routes:
  - upstream: app
    plugins: [ids]
upstreams:
  app: { endpoints: ["127.0.0.1:3000"] }
plugins:
  ids: { builtin: correlation-id }

Then `tidegate check` says whether it is right, and `tidegate run` serves on port 8080. docs/configuration.md has every
key, and so has `tidegate schema`. `tidegate demo` needs no file.
"#;

/// Reads a configuration. What is wrong with it has been printed when this fails; warnings are printed, too.
pub(super) fn open(file: &Path) -> Result<Loaded, Exit> {
    if !file.exists() {
        print::err(&format!("error: there is no configuration file {}\n", file.display()));
        if file == Path::new(DEFAULT) {
            print::err(HOW_TO);
        }
        return Err(Exit::Misuse);
    }
    match config::load(file) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                print::err(&format!("{warning}\n"));
            }
            Ok(loaded)
        }
        Err(faults) => Err(refuse(&faults)),
    }
}

/// Prints what is wrong.
pub(super) fn refuse(faults: &Diagnostics) -> Exit {
    print::err(&format!("{faults}\n{}\n", faults.summary()));
    Exit::Misuse
}

#[cfg(test)]
mod tests {
    use super::HOW_TO;
    use crate::config;

    #[test]
    fn the_example_is_right() {
        let yaml = HOW_TO.split("\n\n").nth(1).unwrap();
        let loaded = config::parse(yaml, "tidegate.yaml", &|_| None).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(loaded.warnings.is_empty());
        assert!(yaml.lines().count() <= 10);
    }
}
