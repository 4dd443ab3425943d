//! Words of sweep files: names that are none, words of other tools, values that say "nothing".

use rheo_tests::TestBench;

const BASE: &str =
    "task: {kind: digits, pool: 2, train_size: 40, validation_size: 20, test_size: 20}
network: {hidden: 4}
";

#[test]
fn selectors_are_no_names_of_sweeps() {
    let bench = TestBench::default();
    for name in ["last", "all"] {
        let file = bench.file("name.yaml", &format!("# first\nname: {name}\n{BASE}"));
        for command in ["preview", "submit", "run"] {
            let said = bench.run(&[command, file]).expect(2);
            assert!(said.err.contains("name.yaml:2:7"), "{}", said.err);
            assert!(said.err.contains(&format!("help: write `{name}-1`")), "{}", said.err);
        }
        bench.run(&["submit", bench.file("b.yaml", &format!("name: {name}-1\n{BASE}"))]).expect(0);
    }
    // Nor is one suggested.
    let said = bench.run(&["preview", bench.file("name.yaml", &format!("name: LAST\n{BASE}"))]);
    assert!(said.expect(2).err.contains("help: write `last-1`"));
}

#[test]
fn words_of_other_tools_lead_to_the_general_field() {
    let bench = TestBench::default();
    for (word, field) in [
        ("lr", "training.optimizer.lr"),
        ("learning_rate", "training.optimizer.lr"),
        ("training.optimizer.learning_rate", "training.optimizer.lr"),
        ("weight_decay", "training.optimizer.weight_decay"),
        ("batch_size", "training.batch"),
        ("epochs", "training.epochs"),
        ("hidden_size", "network.hidden"),
        ("num_hidden", "network.hidden"),
    ] {
        let text = format!("name: near\n{BASE}parameters:\n  {word}: {{values: [1, 2]}}\n");
        let said = bench.run(&["preview", bench.file("near.yaml", &text)]).expect(2);
        assert!(said.err.contains("near.yaml:5:3"), "{}", said.err);
        assert!(said.err.contains(&format!("did you mean `{field}`?")), "{word}: {}", said.err);
    }
    for (word, metric) in [
        ("accuracy", "validation.accuracy"),
        ("val_loss", "validation.loss"),
        ("val_acc", "validation.accuracy"),
        ("loss", "validation.loss"),
        ("test_acc", "test.accuracy"),
    ] {
        let text = format!("name: near\n{BASE}metric: {{name: {word}, goal: maximize}}\n");
        let said = bench.run(&["preview", bench.file("near.yaml", &text)]).expect(2);
        assert!(said.err.contains(&format!("did you mean `{metric}`?")), "{word}: {}", said.err);
    }
    // At the top level and inside of a mapping.
    for (text, help) in [
        ("lr: 0.1\n", "write `training: {optimizer: {lr: ...}}`"),
        ("training: {batch_size: 10}\n", "did you mean `training.batch`?"),
        ("training: {optimizer: {learning_rate: 0.1}}\n", "did you mean `training.optimizer.lr`?"),
    ] {
        let text = format!("name: near\n{BASE}{text}");
        let said = bench.run(&["preview", bench.file("near.yaml", &text)]).expect(2);
        assert!(said.err.contains(help), "{}", said.err);
    }
}

#[test]
fn a_value_where_a_mapping_is_expected_is_told_its_field() {
    let bench = TestBench::default();
    for (text, help) in [
        ("metric: val_loss", "write `metric: {name: validation.loss, goal: minimize}`"),
        ("metric: accuracy", "write `metric: {name: validation.accuracy, goal: maximize}`"),
        ("network: lstm", "write `network: {kind: lstm}`"),
        ("network: 64", "write `network: {hidden: 64}`"),
        ("training: {optimizer: adam}", "write `optimizer: {kind: adam}`"),
        ("training: {optimizer: 0.01}", "write `optimizer: {lr: 0.01}`"),
        ("training: {schedule: cosine}", "write `schedule: {kind: cosine}`"),
        ("training: adam", "write `training: {optimizer: {kind: adam}}`"),
        ("resources: gpu", "write `resources: {device: cuda}`"),
        ("retry: 3", "write `retry: {error: 3}`"),
        ("evaluate: sine", "write `[{kind: sine}]`"),
        ("analyze: [shapes]", "write `{kind: shapes}`"),
        ("replicates: three", "write `replicates: 3`"),
    ] {
        let text = format!("name: near\n{text}\n");
        let said = bench.run(&["preview", bench.file("near.yaml", &text)]).expect(2);
        assert!(said.err.contains(help), "{text}: {}", said.err);
        let mistakes = said.err.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(mistakes, 1, "{text}: {}", said.err);
    }
}

#[test]
fn exponents_that_look_like_values_are_warned_of_by_every_command() {
    let bench = TestBench::default();
    let text = format!(
        "name: lu\n{BASE}training: {{epochs: 1, batch: 20}}\nmethod: random\nrun_cap: 1\nparameters:\n  training.optimizer.lr: {{distribution: log_uniform, min: 0.0001, max: 0.1}}\n"
    );
    let file = bench.file("lu.yaml", &text);
    for command in ["preview", "submit", "run"] {
        let said = bench.run(&[command, file]).expect(0);
        for expected in ["warning: ", "lu.yaml:", "from 1.0001 to 1.1052", "log_uniform_values"] {
            assert!(said.err.contains(expected), "{command} {expected}: {}", said.err);
        }
    }
    let exponents = text.replace("min: 0.0001, max: 0.1", "min: -9.2, max: -2.3");
    let said = bench.run(&["preview", bench.file("lu.yaml", &exponents)]).expect(0);
    assert_eq!(said.err, "");
}

#[test]
fn texts_that_say_nothing_get_a_remedy() {
    let bench = TestBench::default();
    for (value, field, help) in [
        ("\"null\"", "training: {clip_norm: VALUE}", "write `null`, without quotes"),
        ("None", "training: {clip_norm: VALUE}", "write `null`, without quotes"),
        ("None", "resources: {timeout: VALUE}", "write `null`, without quotes"),
        ("\"null\"", "training: {epochs: VALUE}", "delete it for the default"),
        ("None", "training: {epochs: VALUE}", "delete it for the default"),
        ("None", "parameters: {training.clip_norm: {values: [1.0, VALUE]}}", "write `null`"),
    ] {
        let text = format!("name: nothing\n{}\n", field.replace("VALUE", value));
        let said = bench.run(&["preview", bench.file("nothing.yaml", &text)]).expect(2);
        assert!(said.err.contains(help), "{field} {value}: {}", said.err);
    }
}
