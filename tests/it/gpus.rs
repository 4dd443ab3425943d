//! GPUs, on made-up machines: `RHEO_GPUS` names the GPUs that a machine has, and a trial that gets one of
//! them computes on the processor. What is tested is who gets which, which the logs of attempts say; that
//! libtorch computes on the GPU whose number it is given takes a real one.

use std::collections::BTreeMap;
use std::fs;

use rheo_tests::{RunningProgram, TestBench, wait_for};
use serde_json::Value;

use crate::sweeps::{LONG, SMALL};

const TWO: &str = "GPU-aaaa1111-0000,GPU-bbbb2222-0000";

/// The same sweep on GPUs: `gpus` of one for each trial, or a whole one.
fn on_gpus(sweep: &str, gpus: Option<f64>) -> String {
    let gpus = gpus.map(|gpus| format!(", gpus: {gpus}")).unwrap_or_default();
    format!("{sweep}resources: {{device: cuda{gpus}}}\n")
}

/// A bench on a machine with these GPUs.
fn machine(gpus: &str) -> TestBench {
    TestBench::with([("RHEO_GPUS".to_owned(), gpus.to_owned())])
}

fn serve(bench: &TestBench, args: &[&str]) -> RunningProgram {
    let serve = RunningProgram::start(bench.rheo(&[&["serve", "--poll", "0.3"], args].concat()));
    wait_for("the coordinator", || bench.state().join("server").exists().then_some(()));
    serve
}

fn workers(bench: &TestBench) -> Vec<Value> {
    let workers = bench.run(&["workers", "--output", "json"]).expect(0).json();
    workers.as_array().unwrap().clone()
}

/// The GPU of every attempt that has ended, as its log says.
fn gpus_of_attempts(bench: &TestBench) -> Vec<(u64, String)> {
    let sql = "select trial, message from logs where message like '%on GPU %' order by trial";
    let rows = bench.query(sql).into_iter().map(|row| {
        let message = row["message"].as_str().unwrap();
        let gpu = message.split("on GPU ").nth(1).unwrap().split(' ').next().unwrap();
        (row["trial"].as_u64().unwrap(), gpu.to_owned())
    });
    rows.collect()
}

#[test]
fn four_trials_of_a_quarter_share_one_gpu() {
    let bench = machine("GPU-aaaa1111-0000");
    let _serve = serve(&bench, &[]);
    // Six would fit into the slots.
    let sweep = on_gpus(&LONG.replace("seeds: [1, 2]", "seeds: [1, 2, 3]"), Some(0.25));
    bench.run(&["submit", bench.file("long.yaml", &sweep)]).expect(0);
    let _worker = RunningProgram::start(bench.worker(&["--slots", "6"]));
    let worker = wait_for("four trials", || {
        let worker = workers(&bench).into_iter().next()?;
        (worker["busy"] == 4).then_some(worker)
    });
    assert_eq!((&worker["busy_gpus"], &worker["slots"]), (&1.0.into(), &6.into()), "{worker}");
    assert_eq!(worker["gpus"], serde_json::json!(["GPU-aaaa1111-0000"]));
    let table = bench.run(&["workers"]).expect(0).out;
    assert!(table.contains("GPUS") && table.contains("1/1") && table.contains("4/6"), "{table}");
    let log = bench.run(&["logs", "long/0"]).expect(0).out;
    let line = "attempt begins on GPU GPU-aaaa1111-0000 (simulated: computes on the processor)";
    assert!(log.contains(line), "{log}");
    bench.run(&["cancel", "long"]).expect(0);
}

#[test]
fn each_slot_has_a_gpu_of_its_own_at_every_moment() {
    let bench = machine(TWO);
    bench.run(&["run", bench.file("small.yaml", &on_gpus(SMALL, None)), "--slots", "4"]).expect(0);
    let gpus = gpus_of_attempts(&bench);
    assert_eq!(gpus.len(), 6, "{gpus:?}");
    // Whole GPUs: no two attempts on the same one at the same time.
    let sql = "select trial, cast(started as bigint) as started, cast(ended as bigint) as ended \
               from attempts order by trial";
    let mut terms: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for (row, (trial, gpu)) in bench.query(sql).iter().zip(&gpus) {
        assert_eq!(row["trial"], *trial);
        let at = |name: &str| row[name].as_i64().unwrap();
        terms.entry(gpu).or_default().push((at("started"), at("ended")));
    }
    assert_eq!(terms.keys().copied().collect::<Vec<_>>(), TWO.split(',').collect::<Vec<_>>());
    for (gpu, mut terms) in terms {
        terms.sort_unstable();
        let apart = terms.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        assert!(apart, "{gpu}: {terms:?}");
    }
    // The same rows as on the processor, whatever the device.
    let plain = TestBench::default();
    plain.run(&["run", plain.file("small.yaml", SMALL), "--slots", "4"]).expect(0);
    let sql = "select trial, epoch, train_loss from epochs order by trial, epoch";
    assert_eq!(bench.query(sql), plain.query(sql));
}

#[test]
fn each_process_sees_its_own_gpus_alone_and_names_pass_through() {
    let uuid = "GPU-12345678-90ab-cdef-1234-567890abcdef";
    let mig = "MIG-5c89852c-d268-5f02-b6a7-48b1c2f0a3de";
    let bench = machine(&format!("{uuid},{mig}"));
    let file = bench.file("long.yaml", &on_gpus(LONG, None));
    let run = RunningProgram::start(bench.rheo(&["run", file, "--workers", "3", "--slots", "2"]));
    let seen = wait_for("two busy workers", || {
        let busy = bench.run(&["workers", "--output", "json"]);
        let busy = busy.status.success().then(|| busy.json())?;
        let gpus = |worker: &Value| (worker["gpus"].clone(), worker["busy"].clone());
        let seen: Vec<_> = busy.as_array()?.iter().map(gpus).collect();
        let working = seen.iter().filter(|(_, busy)| *busy == 1).count();
        (seen.len() == 3 && working == 2).then_some(seen)
    });
    // The third has none and takes no such trial.
    for expected in [(vec![uuid], 1), (vec![mig], 1), (vec![], 0)] {
        let (gpus, busy) = (serde_json::json!(expected.0), Value::from(expected.1));
        assert!(seen.contains(&(gpus, busy)), "{expected:?}: {seen:?}");
    }
    let mut variables: Vec<String> = bench.worker_pids().into_iter().map(visible).collect();
    variables.sort();
    assert_eq!(variables, ["", uuid, mig]);
    drop(run);
}

/// The GPUs that a process sees, as its environment says.
fn visible(pid: u32) -> String {
    let environment = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let mut variables = environment.split('\0');
    let value = variables.find_map(|variable| variable.strip_prefix("CUDA_VISIBLE_DEVICES="));
    value.unwrap_or_else(|| panic!("worker {pid} sees all")).to_owned()
}

#[test]
fn a_worker_that_offers_less_than_it_was_asked_to_is_named() {
    let bench = machine(TWO);
    let _serve = serve(&bench, &[]);
    let mut command = std::process::Command::new("taskset");
    let worker = bench.worker(&["--slots", "3", "--gpus", "2"]);
    command.args(["-c", "0"]).arg(worker.get_program()).args(worker.get_args());
    command.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // As Slurm would that has given one of the two to somebody else.
    command.current_dir(bench.path()).env("SLURM_JOB_GPUS", "1");
    let _worker = RunningProgram::start(command);
    let told = wait_for("the shortfalls", || {
        let told = bench.run(&["status"]).expect(0).err;
        told.contains("was asked to offer").then_some(told)
    });
    for expected in [
        "was asked to offer 3 slots (`--slots`), and may use 1 processor",
        "was asked to offer 2 GPUs (`--gpus`), and sees 1",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    let status = bench.run(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(status["shortfalls"].as_array().unwrap().len(), 2, "{status}");
    assert_eq!(workers(&bench)[0]["gpus"], serde_json::json!(["GPU-bbbb2222-0000"]));
}

#[test]
fn pilots_share_the_gpus_of_a_machine_until_none_is_left() {
    let bench = machine(TWO);
    let _serve = serve(&bench, &[]);
    let file = bench.file("long.yaml", &on_gpus(LONG, None));
    // Without GPUs none of its trials would ever run.
    bench.run(&["launch", "local", file, "--max", "3"]).expect(0);
    let text = "takes 1 of a GPU (`resources.gpus`), and a worker of this fleet has 0 GPUs";
    wait_for("that to be said", || bench.run(&["status"]).err.contains(text).then_some(()));
    bench.run(&["launch", "local", "--max", "3", "--gpus", "1"]).expect(0);
    let text = "of the 2 on this machine 0 are free";
    wait_for("that there are no more", || bench.run(&["status"]).err.contains(text).then_some(()));
    let mut variables: Vec<String> = bench.worker_pids().into_iter().map(visible).collect();
    variables.sort();
    assert_eq!(variables, TWO.split(',').collect::<Vec<_>>());
    bench.run(&["launch", "stop", "local"]).expect(0);
    wait_for("their processes to end", || bench.worker_pids().is_empty().then_some(()));
}

#[test]
fn memory_that_a_worker_was_given_bounds_what_runs_side_by_side() {
    let bench = TestBench::default();
    let _serve = serve(&bench, &[]);
    let sweep = format!("{LONG}resources: {{memory_mb: 300}}\n");
    bench.run(&["submit", bench.file("long.yaml", &sweep)]).expect(0);
    let worker = RunningProgram::start(bench.worker(&["--slots", "4", "--memory-mb", "700"]));
    let table = wait_for("two trials", || {
        let said = bench.run(&["workers"]).expect(0).out;
        said.contains("2/4").then_some(said)
    });
    assert!(table.contains("600/700 MB"), "{table}");
    drop(worker);
}
