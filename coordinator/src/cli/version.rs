//! The text of `rheo --version`.

use std::sync::LazyLock;

/// The version, the commit, and the optional parts that were built in.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let features = [
        ("s3", cfg!(feature = "s3")),
        ("gcs", cfg!(feature = "gcs")),
        ("azure", cfg!(feature = "azure")),
        ("jemalloc", cfg!(feature = "jemalloc")),
    ];
    let chosen = features.iter().filter(|(_, is_chosen)| *is_chosen).map(|(name, _)| *name);
    let chosen: Vec<&str> = chosen.collect();
    let features = if chosen.is_empty() { "none".to_owned() } else { chosen.join(", ") };
    // `make install` and `make wheel` set it. A build for development has none, because every commit would
    // build the program anew.
    let commit = option_env!("RHEO_COMMIT").unwrap_or("not recorded");
    format!("{} (commit {commit}; features: {features})", env!("CARGO_PKG_VERSION"))
});
