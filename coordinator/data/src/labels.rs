//! Checks of the labels of CIFAR-10. Only a digest of the whole archive was published, not of its
//! single files, but also the number of images of each class
//! (<https://www.cs.toronto.edu/~kriz/cifar.html>).

use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use crate::{DataFiles, Error, RECORD_BYTES, open};

/// The number of images of each class.
type ClassCounts = [u64; 10];

/// The number of images of each class in all training files, and in the test file.
const PUBLISHED_COUNTS: [u64; 2] = [5_000, 1_000];

/// Checks that every image has a valid label and that a set of the published size has the published
/// number of images of each class.
pub(crate) fn check(files: &DataFiles) -> Result<(), Error> {
    for (paths, published) in [&files.train, &files.test].into_iter().zip(PUBLISHED_COUNTS) {
        let mut counts = ClassCounts::default();
        for path in paths {
            let unreadable = |source| Error::Read { path: path.clone(), source };
            let reader = BufReader::new(open(path).map_err(unreadable)?);
            let wrong = count(reader, &mut counts).map_err(unreadable)?;
            if let Some((image, label)) = wrong {
                return Err(Error::Label { path: path.clone(), image, label });
            }
        }
        if let Some((class, found)) = first_mismatch(&counts, published) {
            let paths: Vec<PathBuf> = paths.clone();
            return Err(Error::Classes { paths, class, found, published });
        }
    }
    Ok(())
}

/// Counts the labels of all records. Returns the first invalid label, with the index of its image.
fn count(mut records: impl Read, counts: &mut ClassCounts) -> io::Result<Option<(u64, u8)>> {
    for image in 0.. {
        let mut label = [0];
        if records.read(&mut label)? == 0 {
            break;
        }
        let [label] = label;
        match counts.get_mut(usize::from(label)) {
            Some(count) => *count += 1,
            None => return Ok(Some((image, label))),
        }
        let pixels = RECORD_BYTES - 1;
        if io::copy(&mut records.by_ref().take(pixels), &mut io::sink())? < pixels {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(None)
}

/// The first class with another number of images than published, in a set of the published size.
fn first_mismatch(counts: &ClassCounts, published: u64) -> Option<(usize, u64)> {
    let is_reduced = counts.iter().sum::<u64>() != published * counts.len() as u64;
    let mismatch = counts.iter().copied().enumerate().find(|(_, count)| *count != published);
    mismatch.filter(|_| !is_reduced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(labels: &[u8]) -> Vec<u8> {
        let record = |label: &u8| {
            let mut record = vec![*label];
            // Pixel values that would be invalid labels.
            record.resize(usize::try_from(RECORD_BYTES).unwrap(), 255);
            record
        };
        labels.iter().flat_map(record).collect()
    }

    #[test]
    fn labels_are_counted_by_class_and_invalid_ones_found() {
        let mut counts = ClassCounts::default();
        assert_eq!(count(&records(&[0, 9, 3, 9])[..], &mut counts).unwrap(), None);
        assert_eq!(counts, [1, 0, 0, 1, 0, 0, 0, 0, 0, 2]);
        let wrong = count(&records(&[1, 10])[..], &mut counts).unwrap();
        assert_eq!(wrong, Some((1, 10)));
        let cut = &records(&[1, 1])[..4000];
        assert!(count(cut, &mut counts).is_err());
    }

    #[test]
    fn only_a_set_of_published_size_must_match_published_counts() {
        assert_eq!(first_mismatch(&[5_000; 10], 5_000), None);
        assert_eq!(first_mismatch(&[600; 10], 5_000), None);
        let mut moved = [5_000; 10];
        (moved[2], moved[7]) = (4_999, 5_001);
        assert_eq!(first_mismatch(&moved, 5_000), Some((2, 4_999)));
        moved[7] = 5_000;
        assert_eq!(first_mismatch(&moved, 5_000), None, "a reduced set");
    }
}
