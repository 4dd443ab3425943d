//! Conversions of `FleetService`.

use std::collections::BTreeMap;

use rheo_core::fleet::{
    FleetCommand, FleetMode, FleetName, FleetProblem, FleetSpec, PilotEndCause, PilotPhase,
};
use rheo_core::id::SweepName;
use rheo_core::machine::{FleetView, PilotView};
use rheo_core::resources::ResourceOffer;
use rheo_core::time::Timestamp;
use uuid::Uuid;

use crate::convert::{parsed, required, sweep_name};
use crate::{InvalidMessage, v1};

fn name(text: &str) -> Result<FleetName, InvalidMessage> {
    FleetName::parse(text).map_err(|error| InvalidMessage::value("fleet", error))
}

impl TryFrom<v1::FleetSpec> for FleetSpec {
    type Error = InvalidMessage;

    fn try_from(wire: v1::FleetSpec) -> Result<Self, InvalidMessage> {
        if wire.max < wire.min {
            let detail = format!("{} is less than the lower bound {}", wire.max, wire.min);
            return Err(InvalidMessage::Value { field: "max", detail });
        }
        Ok(Self {
            name: name(&wire.name)?,
            launcher: wire.launcher,
            settings: wire.settings,
            min: wire.min,
            max: wire.max,
            workers: wire.workers.max(1),
            worker: ResourceOffer {
                cpus: wire.slots.max(1),
                gpus: wire.gpus,
                memory_mb: wire.memory_mb,
            },
            sweep: wire.sweep.as_deref().map(sweep_name).transpose()?,
        })
    }
}

impl From<FleetSpec> for v1::FleetSpec {
    fn from(spec: FleetSpec) -> Self {
        Self {
            name: spec.name.to_string(),
            launcher: spec.launcher,
            settings: spec.settings,
            min: spec.min,
            max: spec.max,
            workers: spec.workers,
            slots: spec.worker.cpus,
            gpus: spec.worker.gpus,
            memory_mb: spec.worker.memory_mb,
            sweep: spec.sweep.as_ref().map(SweepName::to_string),
        }
    }
}

impl TryFrom<v1::LaunchRequest> for FleetCommand {
    type Error = InvalidMessage;

    fn try_from(wire: v1::LaunchRequest) -> Result<Self, InvalidMessage> {
        let request = parsed(&wire.request_id, "request_id")?;
        let spec: FleetSpec = required(wire.spec, "spec")?.try_into()?;
        // The request id is unique, so it also identifies the fleet.
        let id = wire.request_id.parse::<Uuid>();
        let id = id.map_err(|error| InvalidMessage::value("request_id", error))?;
        Ok(Self::Launch { spec: Box::new(spec), id, request })
    }
}

impl TryFrom<v1::ScaleRequest> for FleetCommand {
    type Error = InvalidMessage;

    fn try_from(wire: v1::ScaleRequest) -> Result<Self, InvalidMessage> {
        let request = parsed(&wire.request_id, "request_id")?;
        let (min, max) = (wire.min, wire.max);
        Ok(Self::Scale { fleet: name(&wire.fleet)?, min, max, request })
    }
}

impl TryFrom<v1::DrainRequest> for FleetCommand {
    type Error = InvalidMessage;

    fn try_from(wire: v1::DrainRequest) -> Result<Self, InvalidMessage> {
        let request = parsed(&wire.request_id, "request_id")?;
        Ok(Self::Drain { fleet: name(&wire.fleet)?, request })
    }
}

impl TryFrom<v1::StopRequest> for FleetCommand {
    type Error = InvalidMessage;

    fn try_from(wire: v1::StopRequest) -> Result<Self, InvalidMessage> {
        let request = parsed(&wire.request_id, "request_id")?;
        Ok(Self::Stop { fleet: name(&wire.fleet)?, request })
    }
}

impl From<FleetView> for v1::Fleet {
    fn from(view: FleetView) -> Self {
        let since = view.problem.as_ref().map_or(0, |problem| problem.since.0);
        let ended = view.ended.iter().map(|(cause, count)| (cause.name().to_owned(), *count));
        Self {
            spec: Some(view.spec.into()),
            mode: view.mode.name().to_owned(),
            pilots: view.pilots.into_iter().map(Into::into).collect(),
            ended: ended.collect(),
            trouble: view.problem.map(|problem| problem.text),
            trouble_since_ms: since,
            not_before_ms: view.not_before.0,
            excluded: view.excluded,
        }
    }
}

impl TryFrom<v1::Fleet> for FleetView {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Fleet) -> Result<Self, InvalidMessage> {
        let since = Timestamp(wire.trouble_since_ms);
        let pilots: Result<_, _> = wire.pilots.into_iter().map(PilotView::try_from).collect();
        let ended =
            wire.ended.iter().filter_map(|(name, n)| Some((PilotEndCause::parse(name)?, *n)));
        let mode = FleetMode::parse(&wire.mode);
        Ok(Self {
            spec: required(wire.spec, "spec")?.try_into()?,
            mode: mode.ok_or_else(|| InvalidMessage::value("mode", &wire.mode))?,
            pilots: pilots?,
            ended: ended.collect::<BTreeMap<_, _>>(),
            problem: wire.trouble.map(|text| FleetProblem { text, since }),
            not_before: Timestamp(wire.not_before_ms),
            excluded: wire.excluded,
        })
    }
}

impl From<PilotView> for v1::Pilot {
    fn from(view: PilotView) -> Self {
        let phase = view.phase.name().to_owned();
        let reason = match view.phase {
            PilotPhase::Waiting { reason } => reason,
            PilotPhase::Planned | PilotPhase::Running => String::new(),
        };
        Self {
            number: view.number,
            tag: view.tag,
            handle: view.handle,
            phase,
            reason,
            since_ms: view.since.0,
            removing: view.removing,
            workers: view.workers,
            trials: view.trials,
        }
    }
}

impl TryFrom<v1::Pilot> for PilotView {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Pilot) -> Result<Self, InvalidMessage> {
        let phase = match wire.phase.as_str() {
            "planned" => PilotPhase::Planned,
            "waiting" => PilotPhase::Waiting { reason: wire.reason },
            "running" => PilotPhase::Running,
            other => return Err(InvalidMessage::value("phase", other)),
        };
        Ok(Self {
            number: wire.number,
            tag: wire.tag,
            handle: wire.handle,
            phase,
            since: Timestamp(wire.since_ms),
            removing: wire.removing,
            workers: wire.workers,
            trials: wire.trials,
        })
    }
}
