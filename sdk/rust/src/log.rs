//! Log lines of the plugin's own: [`error!`](crate::error!), [`warn!`](crate::warn!), [`info!`](crate::info!) and [`debug!`](crate::debug!).
//! The host stamps them with the plugin's name, the correlation id and the trace id; nothing of that is known here.

use std::fmt;

pub use tidegate_abi::Level;

use crate::ffi;

/// Writes a line; the macros are easier to use. The host bounds how many a second.
pub fn line(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(message) => ffi::log_line(level as i32, message.as_bytes()),
        None => ffi::log_line(level as i32, message.to_string().as_bytes()),
    };
}

/// Logs that something failed; takes what `format!` takes.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::log::line($crate::log::Level::Error, ::std::format_args!($($message)+)) };
}

/// Logs that something is odd; takes what `format!` takes.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log::line($crate::log::Level::Warn, ::std::format_args!($($message)+)) };
}

/// Logs something worth telling; takes what `format!` takes.
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::log::line($crate::log::Level::Info, ::std::format_args!($($message)+)) };
}

/// Logs a detail for whoever debugs the plugin; takes what `format!` takes.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log::line($crate::log::Level::Debug, ::std::format_args!($($message)+)) };
}
