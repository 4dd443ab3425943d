//! Conversions of the needs of trials and the inventories of workers.

use rheo_core::machine::{PlacementFailure, UnfitWorker};
use rheo_core::needs::{AvailableDataset, Inventory, Need, UnmetNeed};
use rheo_core::time::Timestamp;

use crate::bounds::CAUSE_LENGTH;
use crate::convert::{gpus, parsed, required, worker_id};
use crate::worker::truncate;
use crate::{InvalidMessage, v1};

fn sizes(wire: &[u32]) -> Result<[u32; 3], InvalidMessage> {
    let detail = || format!("{} sizes, not 3", wire.len());
    wire.try_into().map_err(|_| InvalidMessage::Value { field: "sizes", detail: detail() })
}

impl TryFrom<v1::Need> for Need {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Need) -> Result<Self, InvalidMessage> {
        use v1::need::Kind;
        Ok(match required(wire.kind, "need")? {
            Kind::Data(data) => Self::Data { set: data.set, directory: data.directory },
            Kind::Samples(data) => Self::Samples {
                set: data.set,
                sizes: sizes(&data.sizes)?,
                directory: data.directory,
            },
            Kind::Device(name) => Self::Device(name),
            Kind::MemoryMb(mb) => Self::Memory { mb },
            Kind::Slots(slots) => Self::Slots { slots },
            Kind::GpuThousandths(thousandths) => Self::Gpus { gpus: gpus(thousandths)? },
            Kind::Disk(_) => Self::Disk,
            Kind::System(_) => Self::System,
        })
    }
}

impl From<Need> for v1::Need {
    fn from(need: Need) -> Self {
        use v1::need::{Data, Empty, Kind};
        let kind = match need {
            Need::Data { set, directory } => Kind::Data(Data { set, directory, sizes: Vec::new() }),
            Need::Samples { set, directory, sizes } => {
                Kind::Samples(Data { set, directory, sizes: sizes.into() })
            }
            Need::Device(device) => Kind::Device(device),
            Need::Memory { mb } => Kind::MemoryMb(mb),
            Need::Slots { slots } => Kind::Slots(slots),
            Need::Gpus { gpus } => Kind::GpuThousandths(gpus.thousandths()),
            Need::Disk => Kind::Disk(Empty {}),
            Need::System => Kind::System(Empty {}),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::Inventory> for Inventory {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Inventory) -> Result<Self, InvalidMessage> {
        let found = |found: v1::FoundData| AvailableDataset {
            set: found.set,
            sizes: found.sizes.try_into().ok(),
        };
        let lack = |lack: v1::Lack| {
            // A need that only a newer worker knows: no trial here has it.
            let need = Need::try_from(lack.need?).ok()?;
            Some(UnmetNeed { need, cause: lack.cause })
        };
        Ok(Self {
            data: wire.data.into_iter().map(found).collect(),
            devices: wire.devices,
            memory_mb: wire.memory_mb,
            lacks: wire.lacks.into_iter().filter_map(lack).collect(),
            revision: wire.revision,
        })
    }
}

impl From<Inventory> for v1::Inventory {
    fn from(inventory: Inventory) -> Self {
        let found = |found: AvailableDataset| v1::FoundData {
            set: found.set,
            sizes: found.sizes.map(Vec::from).unwrap_or_default(),
        };
        let lack = |lack: UnmetNeed| v1::Lack {
            need: Some(lack.need.into()),
            cause: truncate(&lack.cause, CAUSE_LENGTH).to_owned(),
        };
        Self {
            data: inventory.data.into_iter().map(found).collect(),
            devices: inventory.devices,
            memory_mb: inventory.memory_mb,
            lacks: inventory.lacks.into_iter().map(lack).collect(),
            revision: inventory.revision,
        }
    }
}

impl From<UnfitWorker> for v1::UnfitWorker {
    fn from(unfit: UnfitWorker) -> Self {
        Self {
            worker: unfit.worker.to_string(),
            host: unfit.host,
            pid: unfit.pid,
            pilot: unfit.pilot.map(|pilot| pilot.to_string()),
            left: unfit.left,
            cause: unfit.cause,
        }
    }
}

impl TryFrom<v1::UnfitWorker> for UnfitWorker {
    type Error = InvalidMessage;

    fn try_from(wire: v1::UnfitWorker) -> Result<Self, InvalidMessage> {
        Ok(Self {
            worker: worker_id(&wire.worker)?,
            host: wire.host,
            pid: wire.pid,
            pilot: wire.pilot.as_deref().map(|pilot| parsed(pilot, "pilot")).transpose()?,
            left: wire.left,
            cause: wire.cause,
        })
    }
}

impl From<PlacementFailure> for v1::sweep::NoFit {
    fn from(no_fit: PlacementFailure) -> Self {
        Self { since_ms: no_fit.since.0, cause: no_fit.cause }
    }
}

impl From<v1::sweep::NoFit> for PlacementFailure {
    fn from(wire: v1::sweep::NoFit) -> Self {
        Self { since: Timestamp(wire.since_ms), cause: wire.cause }
    }
}

#[cfg(test)]
mod tests {
    use rheo_core::resources::GpuAmount;

    use super::*;

    #[test]
    fn an_inventory_with_every_need_round_trips() {
        let directory = Some("/data".to_owned());
        let needs = [
            Need::Data { set: "ptb".to_owned(), directory: directory.clone() },
            Need::Samples { set: "mnist".to_owned(), directory, sizes: [1, 2, 3] },
            Need::Device("cuda".to_owned()),
            Need::Memory { mb: 5 },
            Need::Slots { slots: 6 },
            Need::Gpus { gpus: GpuAmount::from_thousandths(250).unwrap() },
            Need::Disk,
            Need::System,
        ];
        let inventory = Inventory {
            data: vec![AvailableDataset { set: "cifar10".to_owned(), sizes: Some([9, 1, 2]) }],
            devices: vec!["cpu".to_owned()],
            memory_mb: Some(7),
            lacks: needs.map(|need| UnmetNeed { need, cause: "because".to_owned() }).into(),
            revision: 8,
        };
        let wire = v1::Inventory::from(inventory.clone());
        assert_eq!(Inventory::try_from(wire).unwrap(), inventory);
    }
}
