//! Tells the linker where this crate's tests and benches find libtorch when they run, so that no
//! `LD_LIBRARY_PATH` is needed. Cargo applies it to this package alone; a binary says it again.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Some(libtorch) = std::env::var_os("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}/lib", libtorch.display());
    }
}
