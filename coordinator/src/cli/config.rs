//! `rheo config`: the settings that are in effect.

use rheo_proto::access::{CA_FILE, TLS_DIRECTORY};
use serde_json::json;

use super::env;
use super::failure::Failure;
use super::{GlobalArgs, format};
use crate::app::Settings;
use crate::paths;
use crate::storage::StorageLayout;

pub(super) fn run(global: &GlobalArgs) -> Result<(), Failure> {
    let settings = Settings::new(global.state.clone());
    let absolute = paths::resolve(&settings.state);
    let access = global.access();
    let tls = absolute.join(TLS_DIRECTORY);
    let ca = access.ca_file.unwrap_or_else(|| tls.join(CA_FILE));
    let token = access.token_file.unwrap_or_else(|| tls.join(access.role.token_file()));
    let storage = StorageLayout::resolve(&settings.state, &settings.storage, || false);
    let storage = storage.map_err(|error| Failure::Usage(error.into()))?;
    let (results, checkpoints) = (storage.results.to_string(), storage.checkpoints.to_string());
    let id = storage.known_id(&absolute).map(|id| id.to_string());
    if global.json()? {
        let environment: serde_json::Map<_, _> =
            env::ALL.iter().map(|(name, _)| ((*name).to_owned(), json!(env::get(name)))).collect();
        return Ok(format::print_json(&json!({
            "server": global.server,
            "state": absolute,
            "state_id": id,
            "journal": absolute.join("journal.redb"),
            "results": results,
            "checkpoints": checkpoints,
            "ca_file": ca,
            "token_file": token,
            "environment": environment,
        }))?);
    }
    let mut table = format::table(&["SETTING", "VALUE"]);
    table.add_row(["server", global.server.as_deref().unwrap_or("found in the state directory")]);
    table.add_row(["state", &absolute.display().to_string()]);
    table.add_row(["state_id", id.as_deref().unwrap_or("none until a coordinator starts")]);
    table.add_row(["journal", &absolute.join("journal.redb").display().to_string()]);
    table.add_row(["results", &results]);
    table.add_row(["checkpoints", &checkpoints]);
    table.add_row(["ca_file", &ca.display().to_string()]);
    table.add_row(["token_file", &token.display().to_string()]);
    for (name, purpose) in env::ALL {
        let value = env::get(name).unwrap_or_else(|| format!("not set ({purpose})"));
        table.add_row([name.to_owned(), value]);
    }
    Ok(format::print(table)?)
}
