//! Terms of other tools that sweep files of networks name differently, and examples for messages.

use rheo_core::schema::{RemedyExamples, Vocabulary};
use rheo_core::suggest::Aliases;

/// Terms for messages about sweeps of networks.
pub(crate) const WORDS: Vocabulary = Vocabulary {
    aliases: ALIASES,
    foreign_keys: &[
        ("program", TRIALS_RUN_NETWORKS),
        ("command", TRIALS_RUN_NETWORKS),
        ("controller", "write `network: {controller: ...}` if the units of the network are meant"),
    ],
    numbers: &["epochs", "lr", "hidden", "interval"],
    examples: RemedyExamples {
        path: "training.optimizer.lr",
        parameter: "network.hidden: {values: [32, 64]}",
        condition: "network.kind: adaptive",
        constraint: "training.batch <= network.hidden",
        group: "[network.n0, network.s0]",
    },
};

const TRIALS_RUN_NETWORKS: &str =
    "delete it: trials run the networks and tasks of `network` and `task`";

const ALIASES: Aliases = &[
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
    (&["gpus", "ngpus", "numgpus", "gpufraction"], "resources.gpus"),
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
    // One letter from `cpu`, which is the opposite.
    (&["gpu", "nvidia"], "cuda"),
    (&["fp32", "float", "single"], "float32"),
    (&["fp64", "double"], "float64"),
];
