//! GPU discovery from every variable, on simulated machines and with the numbers that libtorch
//! would see.

use super::*;

fn variables(simulated: Option<&str>, cuda: Option<&str>) -> GpuVariables {
    let text = |text: Option<&str>| text.map(str::to_owned);
    GpuVariables { simulated: text(simulated), cuda: text(cuda), ..GpuVariables::default() }
}

fn names(inventory: &GpuInventory) -> Vec<&str> {
    inventory.gpus.iter().map(|gpu| gpu.name.as_str()).collect()
}

fn devices(inventory: &GpuInventory) -> Vec<u32> {
    inventory.gpus.iter().map(|gpu| gpu.device.unwrap()).collect()
}

#[test]
fn gpu_lists_follow_the_rules_of_cuda() {
    let machine = "GPU-aaaa1111,GPU-aabb2222,GPU-cccc3333";
    let [a, b, c] = ["GPU-aaaa1111", "GPU-aabb2222", "GPU-cccc3333"];
    for (list, expected) in [
        ("0", &[a][..]),
        ("2,0", &[c, a]),
        (" 1 , 2 ", &[b, c]),
        ("GPU-cccc3333,GPU-aaaa1111", &[c, a]),
        // A prefix of a UUID suffices if it is unique.
        ("GPU-c", &[c]),
        ("GPU-aa", &[]),
        // No GPU at all.
        ("", &[]),
        ("-1", &[]),
        ("NoDevFiles", &[]),
        // The list ends at the first entry that names no GPU.
        ("0,3,1", &[a]),
        ("1,-1,0", &[b]),
        ("0,GPU-ffff,1", &[a]),
        ("2x,1", &[c, b]),
        // A GPU that is named twice voids the whole list.
        ("0,1,0", &[]),
        ("0,GPU-aaaa1111", &[]),
    ] {
        let found = GpuInventory::find(&variables(Some(machine), Some(list)), || panic!("asked"));
        assert_eq!(names(&found), expected, "{list}");
        assert!(found.gpus.iter().all(|gpu| gpu.device.is_none()), "{list}");
    }
    let all = GpuInventory::find(&variables(Some(machine), None), || panic!("asked"));
    assert_eq!((names(&all), all.is_simulated), (vec![a, b, c], true));
}

#[test]
fn gpu_names_are_unchanged_and_devices_are_numbered() {
    for (list, seen, expected) in [
        ("2,5", 2, &["2", "5"][..]),
        ("GPU-12345678-aaaa,GPU-87654321-bbbb", 2, &["GPU-12345678-aaaa", "GPU-87654321-bbbb"]),
        ("MIG-5c89852c-d268-5f02-b6a7", 1, &["MIG-5c89852c-d268-5f02-b6a7"]),
        // libtorch decides: an index that the machine does not have.
        ("0,7", 1, &["0"]),
        ("0", 0, &[]),
    ] {
        let found = GpuInventory::find(&variables(None, Some(list)), || seen);
        assert_eq!(names(&found), expected, "{list}");
        let count = u32::try_from(expected.len()).unwrap();
        assert_eq!(devices(&found), (0..count).collect::<Vec<_>>(), "{list}");
        assert_eq!(found.selectors, expected, "{list}");
    }
    let counted = GpuInventory::find(&GpuVariables::default(), || 2);
    assert_eq!((names(&counted), devices(&counted)), (vec!["0", "1"], vec![0, 1]));
    assert_eq!(GpuInventory::find(&GpuVariables::default(), || 0), GpuInventory::default());
}

#[test]
fn a_process_uses_one_mig_device() {
    let list = "MIG-a,MIG-b,MIG-c";
    for mut found in [
        GpuInventory::find(&variables(Some(list), None), || panic!("asked")),
        GpuInventory::find(&variables(Some(list), Some(list)), || panic!("asked")),
    ] {
        assert_eq!(names(&found), ["MIG-a"]);
        assert_eq!(found.selectors, ["MIG-a", "MIG-b", "MIG-c"]);
        let said = found.keep(Some(3)).unwrap();
        assert!(said.contains("asked to offer 3 GPUs (`--gpus`), and sees 1"), "{said}");
        assert!(said.contains("start a worker for each"), "{said}");
    }
}

#[test]
fn slurm_gpus_are_node_indices_with_or_without_confinement() {
    let slurm = |list: &str, seen| {
        let variables = GpuVariables { slurm: Some(list.to_owned()), ..GpuVariables::default() };
        let found = GpuInventory::find(&variables, || seen);
        let names: Vec<String> = found.gpus.iter().map(|gpu| gpu.name.clone()).collect();
        (names.join(","), devices(&found))
    };
    // Confined: the process sees two, which are 2 and 3 on the node.
    assert_eq!(slurm("2,3", 2), ("2,3".to_owned(), vec![0, 1]));
    assert_eq!(slurm("2-3", 2), ("2,3".to_owned(), vec![0, 1]));
    // Not confined: it sees all four and leaves those of other jobs alone.
    assert_eq!(slurm("2,3", 4), ("2,3".to_owned(), vec![2, 3]));
    assert_eq!(slurm("0-1,3", 8), ("0,1,3".to_owned(), vec![0, 1, 3]));
    assert_eq!(slurm("5", 2), (String::new(), vec![]));
    // CUDA's own variable, which Slurm sets, too, takes precedence.
    let both = GpuVariables { slurm: Some("2".to_owned()), ..variables(None, Some("0")) };
    assert_eq!(names(&GpuInventory::find(&both, || 1)), ["0"]);
}

#[test]
fn a_container_sees_the_gpus_of_its_runtime() {
    let container = |list: &str, seen| {
        let container = Some(list.to_owned());
        let found =
            GpuInventory::find(&GpuVariables { container, ..GpuVariables::default() }, || seen);
        let names: Vec<String> = found.gpus.iter().map(|gpu| gpu.name.clone()).collect();
        (names.join(","), found.selectors.join(","))
    };
    assert_eq!(container("GPU-a,GPU-b", 2), ("GPU-a,GPU-b".to_owned(), "0,1".to_owned()));
    // The default of GPU images, even without a GPU.
    assert_eq!(container("all", 2), ("0,1".to_owned(), "0,1".to_owned()));
    assert_eq!(container("all", 0), (String::new(), String::new()));
    for none in ["void", "none", ""] {
        assert_eq!(container(none, 0).0, "", "{none}");
    }
}

#[test]
fn missing_gpus_are_reported() {
    let two = || GpuInventory::find(&GpuVariables::default(), || 2);
    for (wanted, kept, says) in [
        (None, 2, false),
        (Some(0), 0, false),
        (Some(1), 1, false),
        (Some(2), 2, false),
        (Some(3), 2, true),
    ] {
        let mut found = two();
        assert_eq!(found.keep(wanted).is_some(), says, "{wanted:?}");
        assert_eq!(found.gpus.len(), kept, "{wanted:?}");
    }
    assert_eq!(two().keep(Some(4)).unwrap(), "was asked to offer 4 GPUs (`--gpus`), and sees 2");
}
