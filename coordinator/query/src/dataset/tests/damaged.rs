//! Tests of missing and damaged parts.
use rheo_core::name::TableName;

use super::*;

#[test]
fn a_missing_or_damaged_part_is_reported_and_nothing_removed() {
    everywhere(|world| {
        let dataset = world.dataset();
        let journal = four_parts(&dataset);
        let file = world.file(&journal.parts[1]);
        let whole = world.files()[&file].clone();
        let notices = |defect: Defect| {
            let dataset = world.dataset();
            let recovered = dataset.recover(&known(&journal.parts, &[]), ASIDE).unwrap();
            assert_eq!(recovered.removed, Vec::<String>::new());
            assert_eq!(recovered.damaged, dataset.damaged());
            let [damaged] = &recovered.damaged[..] else { panic!("{recovered:?}") };
            assert_eq!((&damaged.part, &damaged.defect), (&journal.parts[1], &defect));
            assert!(damaged.file.ends_with(&file), "{damaged}");
            let absent = dataset.find_absent(&journal.parts).unwrap();
            assert_eq!(absent, recovered.damaged);
        };
        world.put(&file, &whole[1..]);
        notices(Defect::Size { found: whole.len() as u64 - 1 });
        world.remove(&file);
        notices(Defect::Missing);
        assert_eq!(world.files().len(), 3, "nothing else was touched");
    });
}

#[test]
fn a_damaged_sweep_does_not_prevent_recovery_of_others() {
    everywhere(|world| {
        let dataset = world.dataset();
        let journal = four_parts(&dataset);
        let other = SweepName::parse("other").unwrap();
        let stray = dataset.write_part(&TableName::TRIALS, &other, 8..=9, [batch(5, "completed")]);
        world.remove(&world.file(&journal.parts[0]));
        let recovered = world.dataset().recover(&known(&journal.parts, &[]), ASIDE).unwrap();
        assert_eq!(recovered.damaged.len(), 1);
        assert_eq!(recovered.set_aside, [world.file(&stray.unwrap())]);
    });
}

/// Flips one bit of a file.
fn flip(world: &TestDataset, file: &str, at: usize) {
    let mut bytes = world.files()[file].to_vec();
    bytes[at] ^= 1;
    world.put(file, &bytes);
}

#[test]
fn any_flipped_bit_is_detected_and_prevents_a_merge() {
    everywhere(|world| {
        let dataset = world.dataset();
        let journal = four_parts(&dataset);
        let part = &journal.parts[0];
        let length = usize::try_from(part.bytes).unwrap();
        for at in (0..length).step_by(length / 20) {
            flip(&world, &world.file(part), at);
            for looked in [world.dataset().inspect(part), world.dataset().check(part)] {
                let Err(Error::Damaged(damaged)) = looked else { panic!("byte {at}") };
                assert_eq!(damaged.defect, Defect::Content);
            }
            let merged = compact(&dataset, &journal);
            assert!(matches!(merged, Err(Error::Damaged(_))), "byte {at}: {merged:?}");
            assert_eq!(dataset.damaged().len(), 1);
            flip(&world, &world.file(part), at);
            world.dataset().inspect(part).unwrap();
        }
        assert!(compact(&dataset, &journal).unwrap().is_some());
    });
}

#[test]
fn a_damaged_part_is_set_aside_in_a_hidden_folder() {
    everywhere(|world| {
        let dataset = world.dataset();
        let journal = four_parts(&dataset);
        flip(&world, &world.file(&journal.parts[0]), 100);
        dataset.inspect(&journal.parts[0]).unwrap_err();
        let aside = dataset.set_aside(&journal.parts[0], "damaged-today").unwrap().unwrap();
        assert!(aside.ends_with(".parquet.damaged-today"), "{aside}");
        assert_eq!(dataset.damaged(), []);
        let mut kept = world.names(&journal.parts[1..]);
        kept.insert(0, format!(".damaged/{}.damaged-today", world.file(&journal.parts[0])));
        assert_eq!(world.listed(), kept);
        assert_eq!(
            dataset.recover(&known(&journal.parts[1..], &[]), ASIDE).unwrap().removed,
            Vec::<String>::new()
        );
        assert_eq!(world.listed(), kept, "it stays there");
    });
}

#[test]
fn rows_of_a_trial_that_starts_over_are_removed() {
    everywhere(|world| {
        let dataset = world.dataset();
        let mut journal = four_parts(&dataset);
        journal.retractions = vec![Retraction { every_table: true, ..retract(3, 99) }];
        assert!(world.queried(&dataset, &journal, dataset.pin()).iter().all(|row| row.0 != 3));
        let compaction = compact(&dataset, &journal).unwrap().unwrap();
        dataset.publish(&compaction).unwrap();
        assert!(world.seen_in_place().iter().all(|row| row.0 != 3));
    });
}
