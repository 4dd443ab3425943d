//! Names that other tools give to what our sweep files call otherwise.

/// Words of other tools as [`plain`] writes them, and the path or name that is meant.
pub(super) const WORDS: [(&[&str], &str); 43] = [
    (
        &["lr", "learningrate", "lr0", "initlr", "initiallr", "baselr", "initiallearningrate"],
        "training.optimizer.lr",
    ),
    (&["optimizer", "optimiser", "optim", "optimizername"], "training.optimizer.kind"),
    (&["weightdecay", "wd", "l2", "l2penalty", "l2reg"], "training.optimizer.weight_decay"),
    (&["momentum", "sgdmomentum"], "training.optimizer.momentum"),
    (&["beta1", "b1", "adambeta1"], "training.optimizer.beta1"),
    (&["beta2", "b2", "adambeta2"], "training.optimizer.beta2"),
    (&["eps", "epsilon", "adameps", "adamepsilon"], "training.optimizer.epsilon"),
    (
        &["batchsize", "batch", "bs", "bsz", "minibatch", "minibatchsize", "trainbatchsize"],
        "training.batch",
    ),
    (
        &["epochs", "epoch", "nepochs", "numepochs", "maxepochs", "numtrainepochs"],
        "training.epochs",
    ),
    (
        &[
            "clip",
            "gradclip",
            "clipgrad",
            "gradientclip",
            "clipgradnorm",
            "clipnorm",
            "maxgradnorm",
        ],
        "training.clip_norm",
    ),
    (&["patience", "earlystopping", "earlystoppingpatience"], "training.early_stop"),
    (&["scheduler", "lrscheduler", "lrschedule", "schedule"], "training.schedule.kind"),
    (&["gamma", "lrdecay", "lrgamma", "decayrate"], "training.schedule.factor"),
    (&["warmup", "warmupepochs", "warmupsteps"], "training.schedule.warmup"),
    (&["precision", "dtype"], "training.precision"),
    (&["shuffle"], "training.shuffle"),
    (
        &[
            "hiddensize",
            "hiddenunits",
            "hiddendim",
            "hiddenlayersize",
            "numhidden",
            "nhidden",
            "units",
            "nunits",
            "numunits",
            "neurons",
            "nneurons",
            "numneurons",
            "rnnsize",
            "rnnunits",
            "width",
        ],
        "network.hidden",
    ),
    (
        &[
            "model",
            "modeltype",
            "modelname",
            "net",
            "network",
            "networktype",
            "arch",
            "architecture",
            "cell",
            "celltype",
            "rnntype",
            "kind",
            "activation",
            "activationfunction",
            "nonlinearity",
        ],
        "network.kind",
    ),
    (&["dataset", "task", "taskname", "benchmark"], "task.kind"),
    (&["data", "datadir", "datapath", "dataroot"], "task.data"),
    (&["seqlen", "seqlength", "sequencelength", "length"], "task.length"),
    (&["noise", "noisestd", "noiselevel"], "task.noise"),
    (&["trainsize", "ntrain", "numtrain", "trainsamples"], "task.train_size"),
    (&["valsize", "validsize", "validationsize", "nval", "valsamples"], "task.validation_size"),
    (&["testsize", "ntest", "numtest", "testsamples"], "task.test_size"),
    (&["seed", "randomseed", "randomstate", "rngseed"], "seed"),
    (&["device", "gpu", "cuda", "usecuda"], "resources.device"),
    (&["threads", "nthreads", "numthreads", "cpus", "njobs"], "resources.threads"),
    (&["timeout", "timelimit", "maxtime"], "resources.timeout"),
    (
        &[
            "accuracy",
            "acc",
            "valacc",
            "valaccuracy",
            "validacc",
            "validaccuracy",
            "validationacc",
            "validationaccuracy",
            "evalacc",
            "evalaccuracy",
            "devacc",
            "devaccuracy",
            "top1",
        ],
        "validation.accuracy",
    ),
    (&["loss", "valloss", "validloss", "validationloss", "evalloss", "devloss"], "validation.loss"),
    (&["trainacc", "trainaccuracy", "trainingacc", "trainingaccuracy"], "train.accuracy"),
    (&["trainloss", "trainingloss"], "train.loss"),
    (&["testacc", "testaccuracy"], "test.accuracy"),
    (&["testloss"], "test.loss"),
    (&["choices", "options", "choice", "grid"], "values"),
    (&["low", "lower", "lowerbound", "minimum", "from"], "min"),
    (&["high", "upper", "upperbound", "maximum", "to"], "max"),
    (&["dist", "type", "prior", "scale"], "distribution"),
    (&["step", "stepsize", "quantum"], "q"),
    (&["mean", "loc"], "mu"),
    (&["std", "stddev", "stdev"], "sigma"),
    (&["weights", "probs", "p"], "probabilities"),
];

/// Values of other tools as [`plain`] writes them, and ours.
const VALUES: [(&[&str], &str); 3] = [
    // One letter from `cpu`, which is the opposite.
    (&["gpu", "nvidia"], "cuda"),
    (&["fp32", "float", "single"], "float32"),
    (&["fp64", "double"], "float64"),
];

/// The value that a word of another tool stands for.
pub(super) fn value(word: &str) -> Option<&'static str> {
    let word = plain(word);
    VALUES.iter().find(|(words, _)| words.contains(&word.as_str())).map(|(_, meant)| *meant)
}

/// The path or name that a word of another tool stands for.
pub(crate) fn path(word: &str) -> Option<&'static str> {
    let word = plain(word);
    WORDS.iter().find(|(words, _)| words.contains(&word.as_str())).map(|(_, meant)| *meant)
}

/// A word without case and separators: `learning_rate`, `learningRate` and `learning-rate` are one.
fn plain(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}
