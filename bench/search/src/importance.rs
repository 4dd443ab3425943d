//! Tests that our importances of parameters are those of Optuna, on the tables of
//! `bench/search/importance.py`.

use std::collections::BTreeMap;

use rheo_core::importance::importances;
use rheo_core::metric::Goal;
use rheo_core::space::Point;
use rheo_core::spec;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::workload;

#[derive(Deserialize)]
struct Golden {
    tables: Vec<GoldenTable>,
}

#[derive(Deserialize)]
struct GoldenTable {
    goal: Goal,
    parameters: Map<String, Json>,
    points: Vec<(Point, f64)>,
    importances: BTreeMap<String, f64>,
}

#[test]
fn importances_are_those_of_optuna() {
    let golden: Golden = serde_json::from_str(include_str!("../goldens/importance.json")).unwrap();
    for table in golden.tables {
        let file = json!({"name": "golden", "method": "random", "run_cap": 1, "parameters": table.parameters});
        let workloads = workload::of(&file).unwrap();
        let definition = spec::parse(&workloads, "golden", &file.to_string()).unwrap().definition;
        let schema = workloads.schema(&definition.workload);
        let ours = importances(&definition, &schema, &table.points, table.goal);
        assert_eq!(ours.parameters.len(), table.importances.len());
        for parameter in &ours.parameters {
            let (ours, theirs) = (parameter.importance, table.importances[&parameter.paths[0]]);
            // The probabilities of the normal distribution differ in the last digits.
            assert!((ours - theirs).abs() < 1e-9, "{:?}: {ours} and {theirs}", parameter.paths);
        }
    }
}
