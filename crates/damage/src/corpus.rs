//! Sound files, and what becomes of them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::change::Change;

/// Changes of one file, at most.
const MAX_CHANGES: usize = 5;

/// Pieces that mean something in many formats.
const TOKENS: [&[u8]; 10] =
    [b",", b"\n", b"\r", b"\"", b"'", b"{", b"[", b"\0", b"\xFF", "\u{FEFF}".as_bytes()];

/// Sound files of one format.
#[derive(Debug, Clone)]
pub struct Corpus {
    seeds: Arc<Vec<Vec<u8>>>,
    tokens: Arc<Vec<Vec<u8>>>,
}

impl Corpus {
    /// At least one file.
    pub fn new(seeds: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let seeds: Vec<Vec<u8>> = seeds.into_iter().collect();
        assert!(!seeds.is_empty(), "a corpus has a file");
        Self { seeds: Arc::new(seeds), tokens: Arc::new(TOKENS.map(<[u8]>::to_vec).to_vec()) }
    }

    /// With pieces that mean something in the format and are put in anywhere.
    pub fn with_tokens(self, tokens: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { tokens: Arc::new(self.tokens.iter().cloned().chain(tokens).collect()), ..self }
    }

    /// Files with one to five changes.
    pub fn damaged(&self) -> impl Strategy<Value = Damaged> + use<> {
        let Self { seeds, tokens } = self.clone();
        let changes = prop::collection::vec(Change::any(), 1..=MAX_CHANGES);
        (any::<Index>(), changes).prop_map(move |(seed, changes)| {
            let seed = seed.index(seeds.len());
            let mut bytes = seeds[seed].clone();
            changes.iter().for_each(|change| change.apply(&mut bytes, &seeds, &tokens));
            Damaged { bytes, seed, changes }
        })
    }
}

/// A damaged file; it dereferences to its bytes, and shows how they came about.
#[derive(Clone)]
pub struct Damaged {
    bytes: Vec<u8>,
    seed: usize,
    changes: Vec<Change>,
}

impl Deref for Damaged {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Damaged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "file {} with {:?}", self.seed, self.changes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;

    #[test]
    fn damage_is_of_many_kinds_and_the_same_in_every_run() {
        let corpus =
            Corpus::new([b"width=17\nheight=3\n".to_vec(), vec![200; 300]]).with_tokens([b"TOKEN".to_vec()]);
        let draw = || -> Vec<Vec<u8>> {
            let mut runner = TestRunner::new(crate::config(1));
            let strategy = corpus.damaged();
            let next = |_| strategy.new_tree(&mut runner).map(|tree| tree.current().to_vec());
            (0..1000).map(next).collect::<Result<_, _>>().expect("no file is rejected")
        };
        let files = draw();
        assert_eq!(files, draw());
        assert!(files.iter().collect::<BTreeSet<_>>().len() > 900);
        for piece in ["TOKEN", "18446744073709551616", "NaN", "width=1e999"] {
            let has_piece =
                |file: &&Vec<u8>| file.windows(piece.len()).any(|window| window == piece.as_bytes());
            assert!(files.iter().any(|file| has_piece(&file)), "{piece}");
        }
    }
}
