//! Verification of a whole data set against the published one.

use std::io::{self, Read};
use std::path::Path;

use rheo_model::dataset::{DataFile, DataSet, MNIST};
use sha2::{Digest as _, Sha256};

use crate::{Error, files, find, labels, open};

/// Checks that `set` in `directory` is complete, and that files of the published length have the
/// published content. Reduced sets of users are accepted.
pub fn verify(set: DataSet, directory: Option<&Path>) -> Result<(), Error> {
    find(set, directory)?;
    let files = files(set, directory)?;
    if set == DataSet::Cifar10 {
        return labels::check(&files);
    }
    // In the order of `files`.
    let published: Vec<DataFile> = match set {
        DataSet::Mnist => MNIST.files().into(),
        DataSet::Cifar10 | DataSet::Text => Vec::new(),
    };
    for (number, path) in files.all().enumerate() {
        let unreadable = |source| Error::Read { path: path.clone(), source };
        let (bytes, found) = digest(path).map_err(unreadable)?;
        let Some(file) = published.get(number).filter(|file| file.bytes == bytes) else { continue };
        if found != file.sha256 {
            let expected = file.sha256;
            return Err(Error::Differs { set, path: path.clone(), found, expected });
        }
    }
    Ok(())
}

/// The uncompressed length of a file, and the SHA-256 of its content.
fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut content = open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                bytes += read as u64;
                hasher.update(&buffer[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digest = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, digest))
}
