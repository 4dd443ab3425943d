//! Adds the path of libtorch to this crate's tests and benches, so that they need no
//! `LD_LIBRARY_PATH`. Cargo applies it to this package only; each binary repeats it.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Some(libtorch) = std::env::var_os("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}/lib", libtorch.display());
    }
}
