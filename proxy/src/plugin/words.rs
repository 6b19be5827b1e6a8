//! Words that a guest says again and again, like the key of a log field: each is checked once.
//! It knows no rule by which they are checked.

use std::rc::Rc;

/// Words that were found to be good.
#[derive(Debug, Default)]
pub(super) struct Words {
    known: Vec<Rc<str>>,
}

// === impl Words ===

impl Words {
    /// A guest that has more of them has them checked each time.
    const MOST: usize = 16;

    /// The word that these bytes are, if `check` lets it pass, or has before.
    pub fn find(&mut self, bytes: &[u8], check: impl FnOnce(&[u8]) -> Option<&str>) -> Option<Rc<str>> {
        if let Some(known) = self.known.iter().find(|known| known.as_bytes() == bytes) {
            return Some(Rc::clone(known));
        }
        let word: Rc<str> = check(bytes)?.into();
        if self.known.len() < Self::MOST {
            self.known.push(Rc::clone(&word));
        }
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn a_word_is_checked_until_it_is_known() {
        let mut words = Words::default();
        let mut checks = 0;
        let mut find = |bytes: &'static [u8]| {
            let word = words.find(bytes, |bytes| {
                checks += 1;
                str::from_utf8(bytes).ok()
            });
            word.is_some()
        };
        assert_eq!([b"a".as_slice(), b"b", b"a", b"\xff", b"\xff"].map(&mut find), [true, true, true, false, false]);
        assert_eq!(checks, 4);
    }

    #[test]
    fn no_more_than_a_few_are_kept() {
        let mut words = Words::default();
        for number in 0..100 {
            let word = number.to_string();
            assert_eq!(words.find(word.as_bytes(), |bytes| str::from_utf8(bytes).ok()).as_deref(), Some(&*word));
        }
        assert_eq!(words.known.len(), Words::MOST);
    }
}
