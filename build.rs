//! With the feature `torch`, binaries find libtorch where it was when they were built, and nobody needs `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // torch-sys says so to those who depend on it, and nobody does without the feature.
    let folder = std::env::var("DEP_TCH_LIBTORCH_LIB");
    if let Ok(folder) = folder
        && std::env::var_os("CARGO_CFG_UNIX").is_some()
    {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
