//! A server from before Arrow: Debian's 18.16.

use std::fs;
use std::process::{Command, Stdio};

use metaflow_storage_clickhouse::{Address, ClickHouse, OpenError, Options};
use tempfile::TempDir;
use xtask::child::{Running, find, free_port};

use crate::support::run_alone;

#[test]
fn a_server_that_is_too_old_is_refused_with_what_it_lacks_and_keeps_nothing_of_the_attempt() {
    let Some(program) = find("clickhouse-server") else {
        return println!("skipped: there is no clickhouse-server (Debian's package of this name)");
    };
    let folder = TempDir::new().unwrap();
    let place = folder.path().display();
    let [http, tcp, interserver] = [(); 3].map(|()| free_port().unwrap());
    let users = "<yandex><profiles><default/></profiles><quotas><default/></quotas><users><default><password></password>\
                 <networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default></users></yandex>";
    let config = format!(
        "<yandex><logger><level>warning</level><log>{place}/log</log><errorlog>{place}/errors</errorlog></logger>\
         <listen_host>127.0.0.1</listen_host><http_port>{http}</http_port><tcp_port>{tcp}</tcp_port>\
         <interserver_http_port>{interserver}</interserver_http_port><path>{place}/data/</path><tmp_path>{place}/tmp/</tmp_path>\
         <user_files_path>{place}/files/</user_files_path><format_schema_path>{place}/formats/</format_schema_path>\
         <mark_cache_size>67108864</mark_cache_size><users_config>users.xml</users_config>\
         <default_profile>default</default_profile><default_database>default</default_database></yandex>"
    );
    fs::write(folder.path().join("config.xml"), config).unwrap();
    fs::write(folder.path().join("users.xml"), users).unwrap();
    let mut command = Command::new(program);
    command.arg(format!("--config={place}/config.xml")).current_dir(folder.path());
    let mut server = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    if let Err(error) = server.wait_for_port(([127, 0, 0, 1], http).into()) {
        return println!("skipped: {error:#}");
    }
    let address: Address = format!("clickhouse://127.0.0.1:{http}/x").parse().unwrap();
    let Err(error) = run_alone(ClickHouse::open(address, Options::default())) else {
        return println!("skipped: this clickhouse-server is not the old one");
    };
    assert!(matches!(&error, OpenError::Unsupported { what, .. } if what.contains("Map")), "{error}");
    assert!(!error.is_retryable());
    let tables = fs::read_dir(folder.path().join("data/metadata/x")).unwrap().count();
    assert_eq!(tables, 0, "tables of the attempt are left");
    server.kill().unwrap();
}
