//! The plugin's key-value store on the host: shared by all workers, kept over reloads, bounded by `budget.key_value`.
//! Nothing of it is kept on this side.

use std::cell::Cell;
use std::time::Duration;

use tidegate_abi::ABSENT_NUMBER;

use crate::wait::milliseconds;
use crate::{Bytes, Refused, ffi};

/// The plugin's store, see [`store`].
#[derive(Clone, Copy, Debug)]
pub struct Store(());

/// The key-value store of this plugin. All its instances share it, on every worker and over reloads, and no other plugin sees it.
///
/// It can be used in every hook but `configure`, where it is [`Refused::Stage`]: a plugin that is only tried out leaves no trace.
///
/// A key has 1 to 1024 bytes, a value 1 MiB at most, and all of them together with 64 bytes each what `budget.key_value` says (1 MiB
/// where nothing is said). When that is used up, what has expired goes first; then a write is [`Refused::Budget`].
///
/// A time to live counts in whole milliseconds, rounded up; `None` is for ever, which ends with the proxy.
pub const fn store() -> Store {
    Store(())
}

// === impl Store ===

impl Store {
    /// A value, if there is one that has not expired.
    ///
    /// # Errors
    /// When the key is not valid, or the operator does not allow the store.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, Refused> {
        let status = Cell::new(0);
        let value = Bytes::read(|buffer| {
            status.set(ffi::store_get(key.as_ref(), buffer));
            status.get()
        });
        match (value, Refused::check(status.get())) {
            (Some(value), _) => Ok(Some(value)),
            (None, Err(Refused::Absent) | Ok(_)) => Ok(None),
            (None, Err(why)) => Err(why),
        }
    }

    /// The number that [`Store::increment`] counts under a key, if there is one.
    ///
    /// # Errors
    /// When the key is not valid or its value is no number, or the operator does not allow the store.
    pub fn get_number(&self, key: impl AsRef<[u8]>) -> Result<Option<i64>, Refused> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        let bytes = <[u8; 8]>::try_from(&*value).map_err(|_| Refused::Invalid)?;
        Ok(Some(i64::from_le_bytes(bytes)))
    }

    /// Sets a value, for this long.
    ///
    /// # Errors
    /// When key or value are too long, the store is full, or the operator does not allow it; then nothing has changed.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<(), Refused> {
        Refused::check(ffi::store_set(key.as_ref(), value.as_ref(), ttl_of(ttl))).map(drop)
    }

    /// Sets a value if it is `old` now; `None` is for one that is absent. Returns whether it was so. No other worker comes between the two.
    ///
    /// # Errors
    /// As [`Store::set`].
    pub fn swap(
        &self,
        key: impl AsRef<[u8]>,
        old: Option<&[u8]>,
        new: impl AsRef<[u8]>,
        ttl: Option<Duration>,
    ) -> Result<bool, Refused> {
        match Refused::check(ffi::store_swap(key.as_ref(), old, new.as_ref(), ttl_of(ttl))) {
            Ok(_) => Ok(true),
            Err(Refused::Conflict) => Ok(false),
            Err(why) => Err(why),
        }
    }

    /// Adds to a number and returns it. An absent one counts as 0 and begins its time to live; that of one that is there stays.
    ///
    /// `None` when that cannot be: the value is no number or would overflow, the store is full, or the operator does not allow it.
    pub fn increment(&self, key: impl AsRef<[u8]>, delta: i64, ttl: Option<Duration>) -> Option<i64> {
        Some(ffi::store_increment(key.as_ref(), delta, ttl_of(ttl))).filter(|&number| number != ABSENT_NUMBER)
    }

    /// Removes a value. Returns whether there was one.
    ///
    /// # Errors
    /// When the key is not valid, or the operator does not allow the store.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool, Refused> {
        match Refused::check(ffi::store_remove(key.as_ref())) {
            Ok(_) => Ok(true),
            Err(Refused::Absent) => Ok(false),
            Err(why) => Err(why),
        }
    }
}

/// 0 is for ever, so a time of nothing is the shortest there is.
fn ttl_of(ttl: Option<Duration>) -> i64 {
    ttl.map_or(0, |ttl| milliseconds(ttl).max(1))
}
