//! A workload that is an external program: its schema arrives as a JSON document at run time, its
//! metric has its own name, and its rows go into one long table.

use std::time::Duration;

use rheo_core::id::{Digest, IncarnationId, StateId};
use rheo_core::machine::{
    AttemptClaim, AttemptEnd, Caller, Command, CommitManifest, State, WorkerInfo, execute,
};
use rheo_core::metric::{Goal, MetricReport, Objective};
use rheo_core::name::{MetricName, TableName, WorkloadName};
use rheo_core::resources::FreeResources;
use rheo_core::rows::RowCounts;
use rheo_core::schema::{
    MetricField, NoRules, ObjectSchema, Vocabulary, WorkloadRegistry, WorkloadSchema,
};
use rheo_core::spec;
use rheo_core::time::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::world::{demo, slots, worker};

const FILE: &str = "
name: demo
workload: solver
metric: {name: residual.norm, goal: minimize}
mesh: {cells: 100}
parameters:
  mesh.order: {values: [1, 2, 3]}
";

/// The self-description of a program.
fn document() -> serde_json::Value {
    json!({
        "type": "object",
        "properties": {
            "seed": {"type": "integer", "format": "uint64", "default": 0},
            "mesh": {"$ref": "#/$defs/Mesh", "default": {"cells": 10, "order": 1}},
            "resources": {"$ref": "#/$defs/Resources", "default": {"threads": 1}},
        },
        "$defs": {
            "Mesh": {
                "type": "object",
                "properties": {
                    "cells": {"type": "integer", "format": "uint32", "default": 10},
                    "order": {"type": "integer", "format": "uint32", "default": 1},
                },
            },
            "Resources": {
                "type": "object",
                "properties": {"threads": {"type": "integer", "format": "uint32", "default": 1}},
            },
        },
    })
}

fn workloads() -> WorkloadRegistry {
    let metric = MetricName::parse("residual.norm").unwrap();
    let docs = "The norm of the residual.".to_owned().into();
    WorkloadRegistry::new([WorkloadSchema {
        workload: WorkloadName::parse("solver").unwrap(),
        fields: ObjectSchema::from_json(&document()),
        json: document(),
        metrics: vec![MetricField { name: metric.clone(), docs, rises: false, of_epochs: true }],
        objective: Objective { name: metric, goal: Goal::Minimize, target: None },
        words: Vocabulary::default(),
        rules: Box::new(NoRules),
    }])
}

/// Returns rows of the long table, each with a name, a step and a value.
fn rows(count: u64) -> RowCounts {
    [(TableName::parse("metrics").unwrap(), count)].into_iter().collect()
}

#[test]
fn a_program_brings_its_schema_its_metric_and_its_table() {
    let parsed = spec::parse(&workloads(), "solver.yaml", FILE).unwrap();
    let mut state = State::new(workloads());
    let mut ask = |caller, command: Command| {
        execute(&mut state, caller, &command, Timestamp(1_000)).unwrap();
        state.clone()
    };
    let lease = Duration::from_secs(30);
    let (id, incarnation) = (StateId(Uuid::from_u128(1)), IncarnationId(Uuid::from_u128(2)));
    ask(Caller::Coordinator, Command::Start { lease, state: id, incarnation });
    let (definition, source) = (Box::new(parsed.definition), FILE.to_owned());
    ask(Caller::Admin, Command::Submit { definition, source });
    let solver = vec![WorkloadName::parse("solver").unwrap()];
    let info = WorkerInfo { offer: slots(1), workloads: solver, ..WorkerInfo::default() };
    let me = worker(0);
    ask(Caller::Worker, Command::Join { worker: me, info, state: None });
    for index in 0..3u32 {
        let held = Vec::new();
        let acquire =
            Command::Acquire { worker: me, held, free: FreeResources::slots(1), only: None, lease };
        let leased = ask(Caller::Worker, acquire);
        let assignment = leased.assignments(me, &[]).remove(0);
        let config = &leased.sweeps[&demo()].trial(u64::from(index)).unwrap().resolved;
        assert_eq!(config["mesh"], json!({"cells": 100, "order": index + 1}));

        let norm = 1.0 / f64::from(index + 1);
        let metric = MetricName::parse("residual.norm").unwrap();
        let report = MetricReport { epoch: 0, metrics: [(metric.clone(), norm)].into() };
        let attempt = assignment.attempt.clone();
        let claim =
            AttemptClaim { attempt, worker: me, sequence: 1, origin: Some(assignment.origin) };
        let work = CommitManifest {
            checkpoint: Digest::of(&index.to_le_bytes()),
            produced: rows(7),
            rows: rows(7),
            reports: vec![report],
            fraction: 1.0,
        };
        let committed = ask(Caller::Worker, Command::Commit { claim: claim.clone(), work });
        assert_eq!(committed.live(&claim.attempt.trial).unwrap().durable, rows(7));
        let summary = Box::new(json!({"anything": ["the", "program", "says"]}));
        let ending = AttemptEnd::Completed { metrics: [(metric, norm)].into(), summary };
        let claim = AttemptClaim { sequence: 2, ..claim };
        ask(Caller::Worker, Command::Finish { claim, work: None, ending });
    }
    let sweep = &state.sweeps[&demo()];
    assert!(sweep.ended.is_some());
    assert_eq!(sweep.best().unwrap().point, 2, "the smallest norm");
}
