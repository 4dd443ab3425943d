//! Amounts are exact, and no worker is ever over-committed in any dimension.

use proptest::prelude::*;

use super::*;

fn amount(number: f64) -> GpuAmount {
    GpuAmount::from_number(number).unwrap()
}

fn of(cpus: u32, gpus: f64) -> Resources {
    Resources { gpus: amount(gpus), ..Resources::cpus(cpus) }
}

fn gpus(count: u32) -> FreeResources {
    FreeResources::of(ResourceOffer { cpus: 100, gpus: count, memory_mb: None })
}

/// Returns the GPUs of trials that take these amounts, one after the other.
fn placed(count: u32, wanted: &[f64]) -> Vec<Option<Vec<u32>>> {
    let mut free = gpus(count);
    let mut place = |wanted: &f64| {
        let granted = free.grant(&of(1, *wanted))?;
        free.take(&granted);
        Some(granted.gpus.ordinals)
    };
    wanted.iter().map(&mut place).collect()
}

#[test]
fn amounts_are_shares_in_thousandths_or_whole_gpus() {
    for (number, thousandths) in
        [(0.0, 0), (0.001, 1), (0.25, 250), (0.1, 100), (1.0, 1000), (64.0, 64_000)]
    {
        assert_eq!(amount(number).thousandths(), thousandths, "{number}");
        assert_eq!(amount(number).to_string(), number.to_string());
    }
    for wrong in [-0.25, 1.5, 0.0001, 0.333_333, 65.0, f64::NAN, f64::INFINITY] {
        assert!(GpuAmount::from_number(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn four_quarters_share_one_gpu_and_the_fifth_waits() {
    let quarter = [0.25; 5];
    let one = Some(vec![0]);
    assert_eq!(placed(1, &quarter), [one.clone(), one.clone(), one.clone(), one, None]);
}

#[test]
fn shares_never_span_gpus_and_whole_gpus_are_never_shared() {
    assert_eq!(placed(2, &[0.6, 0.6, 0.6]), [Some(vec![0]), Some(vec![1]), None]);
    assert_eq!(placed(2, &[0.4, 1.0, 0.6]), [Some(vec![0]), Some(vec![1]), Some(vec![0])]);
    assert_eq!(placed(3, &[0.1, 2.0, 1.0]), [Some(vec![0]), Some(vec![1, 2]), None]);
}

#[test]
fn memory_that_is_not_counted_keeps_nobody_waiting() {
    let wanted = Resources { memory_mb: u64::MAX, ..Resources::ONE_CPU };
    assert!(FreeResources::slots(1).grant(&wanted).is_some());
    let counted = FreeResources { memory_mb: Some(100), ..FreeResources::slots(8) };
    let forty = Resources { memory_mb: 40, ..Resources::ONE_CPU };
    assert_eq!(counted.clone().fill(&forty, 9), 2);
    assert_eq!(FreeResources { memory_mb: Some(30), ..counted }.grant(&forty), None);
}

#[test]
fn who_passes_a_waiting_trial_takes_nothing_that_it_waits_for() {
    // The trial waits for a GPU: others may have the slots that it does not need.
    let busy = FreeResources { gpus: vec![amount(0.5)], ..FreeResources::slots(4) };
    let beside = busy.without_reserved(&of(1, 1.0));
    assert_eq!(beside, FreeResources { gpus: vec![GpuAmount::NONE], ..FreeResources::slots(3) });
    // The trial waits for slots: others get no slot, and not its GPU either.
    let beside = FreeResources { cpus: 2, ..gpus(2) }.without_reserved(&of(3, 1.0));
    assert_eq!(
        beside,
        FreeResources { gpus: vec![GpuAmount::NONE, GpuAmount::ONE], ..FreeResources::slots(0) }
    );
}

prop_compose! {
    fn resources()(cpus in 1..9u32, kind in 0..4u32, share in 1..1000u32, memory_mb in 0..4000u64) -> Resources {
        let thousandths = if kind < 2 { share * (1 - kind) } else { (kind - 1) * 1000 };
        Resources { cpus, gpus: GpuAmount::from_thousandths(thousandths).unwrap(), memory_mb }
    }
}

prop_compose! {
    fn offer()(cpus in 0..17u32, gpus in 0..5u32, memory_mb in prop::option::of(0..9000u64)) -> ResourceOffer {
        ResourceOffer { cpus, gpus, memory_mb }
    }
}

proptest! {
    /// Trials come and go; the granted and the free amounts always add up exactly.
    #[test]
    fn no_worker_is_over_committed(
        offer in offer(),
        steps in prop::collection::vec((resources(), any::<bool>()), 1..60),
    ) {
        let mut running: Vec<(Resources, GrantedResources)> = Vec::new();
        for (wanted, leaves) in steps {
            if leaves && !running.is_empty() {
                running.remove(0);
            }
            let mut free = FreeResources::of(offer);
            for (_, granted) in &running {
                free.take(granted);
            }
            if let Some(granted) = free.grant(&wanted) {
                running.push((wanted, granted));
            }
            let cpus: u32 = running.iter().map(|(_, granted)| granted.cpus).sum();
            prop_assert!(cpus <= offer.cpus);
            let memory: u64 = running.iter().map(|(_, granted)| granted.memory_mb).sum();
            prop_assert!(offer.memory_mb.is_none_or(|most| memory <= most));
            for gpu in 0..offer.gpus {
                let mine = running.iter().filter(|(_, granted)| granted.gpus.ordinals.contains(&gpu));
                let shares: Vec<u32> = mine.map(|(_, granted)| granted.gpus.share.thousandths()).collect();
                prop_assert!(shares.iter().sum::<u32>() <= 1000, "GPU {gpu}: {shares:?}");
            }
            for (wanted, granted) in &running {
                let count = u32::try_from(granted.gpus.ordinals.len()).unwrap();
                prop_assert_eq!(count * granted.gpus.share.thousandths(), wanted.gpus.thousandths());
                prop_assert!(granted.gpus.ordinals.iter().all(|ordinal| *ordinal < offer.gpus));
            }
        }
    }

    /// Filling many trials at once gives the same as granting them one by one.
    #[test]
    fn many_are_counted_as_one_by_one(offer in offer(), wanted in resources(), most in 0..40u64) {
        let mut at_once = FreeResources::of(offer);
        let mut singly = at_once.clone();
        let count = at_once.fill(&wanted, most);
        let mut placed = 0;
        while let Some(granted) = singly.grant(&wanted).filter(|_| placed < most) {
            singly.take(&granted);
            placed += 1;
        }
        prop_assert_eq!((count, at_once), (placed, singly));
    }

    /// A trial that fits once others have ended still fits after any number of trials have passed it.
    #[test]
    fn nobody_delays_a_trial_that_waits(offer in offer(), wanted in resources(), passing in prop::collection::vec(resources(), 0..20)) {
        let mut free = FreeResources::of(offer);
        prop_assume!(free.grant(&wanted).is_some());
        for passing in passing {
            if let Some(granted) = free.without_reserved(&wanted).grant(&passing) {
                free.take(&granted);
            }
        }
        prop_assert!(free.grant(&wanted).is_some());
    }

    #[test]
    fn amounts_survive_json_and_the_journal(thousandths in 0..1001u32) {
        let amount = GpuAmount::from_thousandths(thousandths).unwrap();
        let json = serde_json::to_string(&amount).unwrap();
        prop_assert_eq!(serde_json::from_str::<GpuAmount>(&json).unwrap(), amount);
    }
}
