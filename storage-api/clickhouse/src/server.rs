//! One ClickHouse, or the cluster that it is part of: statements of each sort.

use bytes::Bytes;

use crate::http::{Answer, Http};
use crate::settings::Profiles;
use crate::sql::{Name, Text};
use crate::{Address, Features, OpenError, Options, RequestError, probe};

/// A server that has been opened, with what it can do.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: Address,
    pub(crate) version: String,
    pub(crate) features: Features,
    /// How many shards the cluster has, if there is one.
    pub(crate) shards: Option<u32>,
    profiles: Profiles,
    http: Http,
}

impl Server {
    /// Makes the database be there, and finds out what the server can do.
    pub(crate) async fn open(address: Address, options: &Options) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Request { address: address.to_string(), source };
        let http = Http::new(&address, options).map_err(failed)?;
        let profiles = Profiles::tried(&http, "system", &options.limits).await.map_err(failed)?;
        let (version, features) = (String::new(), Features::NONE);
        let mut server = Self { address, version, features, shards: None, profiles, http };
        server.version = server.ask_version().await?;
        if let Some(cluster) = server.address.cluster.clone() {
            server.shards = Some(server.count_shards(&cluster).await?);
        }
        server.create_database(options.features).await?;
        let failed = |source| OpenError::Request { address: server.place(), source };
        let database = &server.address.database;
        server.profiles = Profiles::tried(&server.http, database, &options.limits).await.map_err(failed)?;
        let found = probe::features(&server, options.features).await?;
        server.features = server.features | found;
        Ok(server)
    }

    /// Where it is, for errors.
    pub(crate) fn place(&self) -> String {
        self.address.to_string()
    }

    /// Settings that this server does not know.
    pub(crate) fn unknown_settings(&self) -> &[String] {
        &self.profiles.unknown
    }

    /// Begins to read; more settings may be given.
    pub(crate) async fn read(&self, more: &str, statement: String) -> Result<Answer, RequestError> {
        self.http.send(&format!("{}&default_format=ArrowStream&{more}", self.profiles.read), statement).await
    }

    /// The rows of a short answer, one line each, in the format TabSeparated.
    pub(crate) async fn lines(&self, statement: String) -> Result<Vec<String>, RequestError> {
        let settings = format!("{}&default_format=TabSeparated", self.profiles.read);
        let text = self.http.send(&settings, statement).await?.text().await?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Inserts: the statement with its data behind it. `shard` is counted from 1; 0 is no matter of shards.
    pub(crate) async fn insert(&self, shard: u32, more: &str, body: impl Into<Bytes>) -> Result<(), RequestError> {
        let shard = if shard == 0 { String::new() } else { format!("&insert_shard_id={shard}") };
        self.http.send(&format!("{}{shard}&{more}", self.profiles.insert), body).await?.text().await.map(drop)
    }

    /// Changes something on the host that is asked.
    pub(crate) async fn change(&self, statement: String) -> Result<(), RequestError> {
        self.http.send(&self.profiles.change, statement).await?.text().await.map(drop)
    }

    /// Changes something on all shards and replicas. The words stand before and behind the place of `ON CLUSTER`.
    pub(crate) async fn change_all(&self, before: &str, behind: &str) -> Result<(), RequestError> {
        match &self.address.cluster {
            Some(cluster) if self.features.has(Features::ON_CLUSTER) => {
                let statement = format!("{before} ON CLUSTER {} {behind}", Text(cluster.as_bytes()));
                self.change(statement).await
            }
            _ => {
                let statement = Bytes::from(format!("{before} {behind}"));
                for host in 0..self.http.hosts() {
                    self.http.send_to(host, &self.profiles.change, statement.clone()).await?.text().await?;
                }
                Ok(())
            }
        }
    }

    async fn ask_version(&self) -> Result<String, OpenError> {
        let lines = self.lines("SELECT version()".to_owned()).await;
        let mut lines = lines.map_err(|source| OpenError::Request { address: self.place(), source })?;
        Ok(lines.pop().unwrap_or_default())
    }

    async fn count_shards(&self, cluster: &str) -> Result<u32, OpenError> {
        let name = Text(cluster.as_bytes());
        let lines = self.lines(format!("SELECT max(shard_num) FROM system.clusters WHERE cluster = {name}")).await;
        let lines = lines.map_err(|source| OpenError::Request { address: self.place(), source })?;
        match lines.first().and_then(|line| line.parse().ok()) {
            Some(shards) if shards > 0 => Ok(shards),
            _ => Err(OpenError::UnknownCluster { address: self.place(), cluster: cluster.to_owned() }),
        }
    }

    async fn create_database(&mut self, allowed: Features) -> Result<(), OpenError> {
        let create = format!("CREATE DATABASE IF NOT EXISTS {}", Name(&self.address.database));
        if self.shards.is_some() && allowed.has(Features::ON_CLUSTER) {
            self.features = Features::ON_CLUSTER;
            match self.change_all(&create, "").await {
                Ok(()) => return Ok(()),
                Err(RequestError::Refused { .. }) => self.features = Features::NONE,
                Err(source) => return Err(OpenError::Request { address: self.place(), source }),
            }
        }
        self.change_all(&create, "").await.map_err(|source| OpenError::Request { address: self.place(), source })
    }
}
