//! The service's code is kept in the repository, so that building needs no generator. This holds it to its description.
#![allow(clippy::unwrap_used, reason = "tests end by it")]

use std::path::Path;

use tonic_build::manual::{Builder, Method, Service};

#[test]
fn the_kept_code_is_what_the_description_gives() {
    let method = |name: &str, route: &str, input: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::messages::{input}"))
            .output_type(format!("crate::messages::{output}"))
            .codec_path("tonic_prost::ProstCodec")
            .build()
    };
    let service = Service::builder()
        .package("metaflow.v1")
        .name("Ingest")
        .method(method("hello", "Hello", "HelloRequest", "HelloResponse"))
        .method(method("append", "Append", "AppendRequest", "AppendResponse"))
        .build();
    let folder = tempfile::tempdir().unwrap();
    Builder::new().build_transport(false).out_dir(folder.path()).compile(&[service]);
    let made = std::fs::read_to_string(folder.path().join("metaflow.v1.Ingest.rs")).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated/metaflow.v1.Ingest.rs");
    if std::env::var_os("METAFLOW_BLESS").is_some() {
        std::fs::write(&kept, &made).unwrap();
    }
    assert!(std::fs::read_to_string(&kept).unwrap() == made, "the kept code differs: METAFLOW_BLESS=1 rewrites it");
}
