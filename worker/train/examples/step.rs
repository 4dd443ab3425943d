//! Runs training steps on demand. `bench/step.py` alternates them with PyTorch's.
//!
//! ```text
//! step KIND [--hidden 400] [--controller 50] [--batch 100] [--steps 784] [--threads 2] [--memory MB]
//!      [--kernel fused|libtorch|autograd] [--serve | --iters 3]
//! ```
//!
//! With `--serve` it prints `ready`, then answers every line of standard input with one line:
//! `step` with the seconds and the loss of one training step (forward, backward, Adam), `forward`
//! with the seconds and the loss of a pass without gradients. It stops at the end of the input.
//! Otherwise it makes one warm-up step and `--iters` timed ones, and prints the median as a line of
//! JSON.
//!
//! The inputs are uniform noise and the targets random; the time does not depend on them.

use std::error::Error;
use std::io::{self, BufRead as _, Write as _};
use std::process::ExitCode;

use rheo_core::rng::{Purpose, TrialRng};
use rheo_model::config::{self, InputInit, Kernel, NetworkKind};
use rheo_train::ShapeStats;
use rheo_train::network::{ExecutionBackend, Interface, Network, Readout, ReadoutInit};
use rheo_train::optimizer::Optimizer;
use rheo_train::step::{self, Batch, StepInput, UpdateRecipe};
use tch::{Device, Kind, Tensor};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CLASSES: u32 = 10;

/// Command-line arguments.
struct Args {
    kind: NetworkKind,
    hidden: u32,
    controller: u32,
    batch: u32,
    steps: u32,
    threads: u32,
    memory: u32,
    kernel: Kernel,
    iters: usize,
    serve: bool,
}

impl Args {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let name = words.next().ok_or("missing kind of network")?;
        let kind = NetworkKind::ALL.into_iter().find(|kind| kind.name() == name);
        let mut args = Self {
            kind: kind.ok_or_else(|| format!("no such kind of network: `{name}`"))?,
            hidden: 400,
            controller: 50,
            batch: 100,
            steps: 784,
            threads: 2,
            memory: config::Resources::default().memory_mb,
            kernel: Kernel::Fused,
            iters: 3,
            serve: false,
        };
        while let Some(option) = words.next() {
            if option == "--serve" {
                args.serve = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--hidden" => args.hidden = value.parse()?,
                "--controller" => args.controller = value.parse()?,
                "--batch" => args.batch = value.parse()?,
                "--steps" => args.steps = value.parse()?,
                "--memory" => args.memory = value.parse()?,
                "--threads" => args.threads = value.parse()?,
                "--iters" => args.iters = value.parse()?,
                "--kernel" => args.kernel = kernel(&value)?,
                _ => return Err(format!("no such option: `{option}`").into()),
            }
        }
        Ok(args)
    }
}

fn kernel(name: &str) -> Result<Kernel> {
    match name {
        "fused" => Ok(Kernel::Fused),
        "libtorch" => Ok(Kernel::Libtorch),
        "autograd" => Ok(Kernel::Autograd),
        _ => Err(format!("no such kernel: `{name}`").into()),
    }
}

/// A network in training with its single batch.
struct Training {
    network: Network,
    optimizer: Optimizer,
    batch: Batch,
}

impl Training {
    fn new(args: &Args) -> Result<Self> {
        tch::manual_seed(0);
        let config = config::Network {
            kind: args.kind,
            hidden: args.hidden,
            controller: args.controller,
            ..config::Network::default()
        };
        let interface = Interface {
            inputs: 1,
            classes: CLASSES,
            readout: Readout::Last,
            readout_init: ReadoutInit::Uniform,
            input_init: InputInit::Kaiming,
            embedding: None,
        };
        let mut rng = TrialRng::new(0, Purpose::Init);
        let mut network = Network::new(&config, interface, Kind::Float, &mut rng)?;
        let resources = config::Resources {
            kernel: args.kernel,
            threads: args.threads,
            memory_mb: args.memory,
            ..config::Resources::default()
        };
        let backend = ExecutionBackend::new(&resources);
        backend.use_threads();
        network.set_backend(backend);
        let adam = config::Optimizer { lr: 1e-4, ..config::Optimizer::default() };
        let optimizer = Optimizer::new(&adam, &network.parameters())?;
        Ok(Self { network, optimizer, batch: batch(args)? })
    }

    /// Makes one training step; returns its seconds and the loss before it.
    fn step(&mut self) -> Result<(f64, f64)> {
        let (recipe, mut stats) = (UpdateRecipe::default(), ShapeStats::counting());
        let input = StepInput { batch: &self.batch, from: None };
        let (seconds, update) =
            timed(|| step::update(&self.network, &mut self.optimizer, input, &recipe, &mut stats));
        let update = update?;
        if !update.grad_norm.is_some_and(f64::is_finite) {
            return Err("the gradient is not finite: nothing was learned in this step".into());
        }
        Ok((seconds, update.score.loss))
    }

    /// Makes a pass without gradients; returns its seconds and its loss.
    fn forward(&self) -> Result<(f64, f64)> {
        let mut stats = ShapeStats::counting();
        let input = StepInput { batch: &self.batch, from: None };
        let (seconds, result) = timed(|| step::evaluate(&self.network, input, &mut stats));
        Ok((seconds, result?.0.loss))
    }
}

fn batch(args: &Args) -> Result<Batch> {
    let (steps, samples) = (i64::from(args.steps), i64::from(args.batch));
    let on_device = (Kind::Float, Device::Cpu);
    Ok(Batch {
        inputs: Tensor::f_rand([steps, samples, 1], on_device)?,
        drive: None,
        targets: Tensor::f_randint(i64::from(CLASSES), [samples], (Kind::Int64, Device::Cpu))?,
        scored: samples,
        samples: args.batch.into(),
        weight: args.batch.into(),
        conditions: None,
        from_rest: true,
    })
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    #[expect(clippy::disallowed_methods, reason = "a stopwatch; no result depends on it")]
    let start = std::time::Instant::now();
    let result = work();
    (start.elapsed().as_secs_f64(), result)
}

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

fn run() -> Result<()> {
    let args = Args::parse(std::env::args().skip(1))?;
    let mut training = Training::new(&args)?;
    if args.serve { serve(&mut training) } else { once(&mut training, args.iters) }
}

fn serve(training: &mut Training) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready")?;
    for line in io::stdin().lock().lines() {
        let (seconds, loss) = match line?.as_str() {
            "step" => training.step()?,
            "forward" => training.forward()?,
            other => return Err(format!("no such request: `{other}`").into()),
        };
        writeln!(out, "{seconds} {loss}")?;
    }
    Ok(())
}

fn once(training: &mut Training, iters: usize) -> Result<()> {
    let first = training.step()?.0;
    let mut seconds = Vec::new();
    for _ in 0..iters.max(1) {
        seconds.push(training.step()?.0);
    }
    seconds.sort_by(f64::total_cmp);
    let forward = training.forward()?.0;
    let found = serde_json::json!({
        "first_s": first,
        "step_s": seconds[seconds.len() / 2],
        "min_s": seconds[0],
        "forward_s": forward,
        "peak_mb": peak_memory()?,
    });
    writeln!(io::stdout(), "{found}")?;
    Ok(())
}

/// Returns the peak memory of this process in MB, as Linux reports it.
fn peak_memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmHWM in /proc")?;
    Ok(kib.parse::<u64>()? / 1024)
}
