//! Sets the search path of libtorch, so that the binary needs no LD_LIBRARY_PATH: first beside the
//! binary, where `make install` puts the libraries, then where libtorch was at build time.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    println!("cargo:rustc-link-arg-bins=-Wl,-rpath,$ORIGIN/../lib/rheobase");
    let libtorch = std::env::var_os("LIBTORCH").map(std::path::PathBuf::from);
    if let Some(library) = libtorch.and_then(|path| path.join("lib").canonicalize().ok()) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", library.display());
    }
}
