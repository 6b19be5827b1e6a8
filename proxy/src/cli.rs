//! The command line: commands, help, exit codes.
//! It holds no logic of its own; each command calls into the library.

mod check;
mod demo;
mod print;
mod run;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::schema;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Success,
    /// Something failed at run time: a socket, a file, a peer.
    Failure,
    /// The configuration or the command line is wrong; nothing was started.
    Misuse,
}

/// An edge proxy that shows what flows through it.
///
/// Tidegate stands in front of your services. It routes HTTP and WebSocket traffic, limits rates, breaks circuits, runs
/// sandboxed WASM plugins, and sends metrics, traces and access logs to the tools you have.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_long_help = AFTER_HELP, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy
    ///
    /// Everything is read, checked and compiled before a port is opened. SIGHUP, a change of the file, and POST /-/reload
    /// on the admin port load it again; SIGTERM and Ctrl-C finish what is under way and end. Logs of the proxy itself go to
    /// standard error, from the level in TIDEGATE_LOG (error, warn, info, debug; default info).
    #[command(
        after_long_help = "Examples:\n  tidegate run\n  tidegate run -c /etc/tidegate/tidegate.yaml\n  TIDEGATE_LOG=debug tidegate run\n"
    )]
    Run(ConfigArguments),
    /// Check a configuration and print everything that is wrong with it, at once
    ///
    /// Does all that a start does, except to open a port. Errors come with file, line, column, and what was probably
    /// meant; warnings do not change the exit code. It is stricter than a start in one thing: a plugin that cannot load is
    /// an error here, while `run` goes on without it unless it is `required`.
    #[command(
        after_long_help = "Examples:\n  tidegate check\n  tidegate check -c /etc/tidegate/tidegate.yaml\n  tidegate check --format json | jq '.diagnostics[].message'\n"
    )]
    Check(check::Arguments),
    /// Show in a minute what Tidegate does, with nothing else installed
    ///
    /// Starts an origin, the proxy with its plugins, an OpenTelemetry collector and a little load, all in this process and
    /// on loopback only, and shows live what arrives: metrics, traces and log lines. Send requests of your own meanwhile.
    /// Ports that are taken are replaced by free ones; nothing is left behind.
    #[command(
        after_long_help = "Examples:\n  tidegate demo\n  tidegate demo --rate 200\n  tidegate demo --for 10s      ends by itself; exit code 1 if a metric, span or log field did not arrive\n"
    )]
    Demo(demo::Arguments),
    /// Print the JSON schema of the configuration, for editors and other tools
    #[command(
        after_long_help = "Example:\n  tidegate schema > tidegate.schema.json\n  Then begin tidegate.yaml with this line for completion and checks in the editor:\n  # yaml-language-server: $schema=tidegate.schema.json\n"
    )]
    Schema,
    /// Print the version
    Version,
    /// Print a script that completes commands in your shell
    #[command(
        after_long_help = "Examples:\n  tidegate completions bash > /etc/bash_completion.d/tidegate\n  tidegate completions fish > ~/.config/fish/completions/tidegate.fish\n"
    )]
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
}

/// Which configuration is meant.
#[derive(Debug, clap::Args)]
struct ConfigArguments {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = source::DEFAULT, env = "TIDEGATE_CONFIG")]
    config: PathBuf,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  all went well
  1  something failed at run time: a port, a file, a peer
  2  the configuration or the command line is wrong; nothing was started
";

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    // Usage errors end the process here, with exit code 2.
    run(Arguments::parse().command).into()
}

fn run(command: Command) -> Exit {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Schema => print::out(&schema::text()),
        Command::Version => print::out(&format!("tidegate {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "tidegate", &mut script);
            print::out(&String::from_utf8_lossy(&script))
        }
    }
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failure => Self::from(1),
            Exit::Misuse => Self::from(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_is_misuse() {
        let error = Arguments::try_parse_from(["tidegate", "chekc"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("check"), "{error}");
    }
}
