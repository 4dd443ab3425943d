//! Generates the protocol from `rheobase/v1/*.proto`, without protoc.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["common", "worker", "sweep", "fleet", "admin"]
        .map(|name| format!("rheobase/v1/{name}.proto"));
    let descriptors = protox::compile(&files, ["."])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("rheobase.v1.bin"), descriptors.encode_to_vec())?;
    // Sorted maps, so that equal counts have equal bytes.
    let builder = tonic_prost_build::configure().bytes(".").btree_map(".");
    let mut config = prost_build::Config::new();
    config.enable_type_names();
    let builder = builder.codec_path("crate::codec::BoundedCodec");
    builder.compile_fds_with_config(descriptors, config)?;
    for file in &files {
        println!("cargo:rerun-if-changed={file}");
    }
    Ok(())
}
