//! What the server says of itself when it starts: one readable screen.

use crate::config::Id;
use crate::state::Server;

/// Logs version, addresses, workers, memory and persistence settings, pid.
pub fn print(server: &Server, addresses: &[String]) {
    let config = &server.config;
    let maxmemory = match config.maxmemory() {
        0 => "no limit".to_owned(),
        bytes => {
            format!("{} MB, {}", bytes >> 20, String::from_utf8_lossy(&config.text(Id::maxmemory_policy)))
        }
    };
    let file = server.config_file.as_ref().map_or("none (defaults)".to_owned(), |f| f.display().to_string());
    tracing::warn!("Nuthatch {} is starting, PID: {}", env!("CARGO_PKG_VERSION"), std::process::id());
    tracing::info!("  listening on   {}", addresses.join(", "));
    tracing::info!(
        "  workers        {} ({} shards per database)",
        server.workers,
        server.keyspace.shards_per_database()
    );
    tracing::info!("  databases      {}", server.keyspace.databases());
    tracing::info!("  memory         {maxmemory}");
    let points: Vec<String> =
        config.save().iter().map(|point| format!("{} s/{} changes", point.seconds, point.changes)).collect();
    let snapshots = match points.as_slice() {
        [] => "snapshots only when asked for".to_owned(),
        points => format!("snapshots after {}", points.join(", ")),
    };
    let log = if config.appendonly() { "every write logged, " } else { "" };
    tracing::info!("  persistence    {log}{snapshots}, in {}", config.directory().display());
    tracing::info!("  configuration  {file}");
}
