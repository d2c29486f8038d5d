use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_772_323_200);

fn model() -> Model {
    let text = str::to_owned;
    Model { product: text("pump"), hardware: text("gw-a"), component: text("motor"), unit: text("Cel") }
}

fn levels(devices: u32, add: f64) -> Vec<Level> {
    let level = |n: u32| {
        let high = 50.0 + add + f64::from(n % 7);
        Level { now: high, long: high, high, low: high, deviation: 1.0, is_rate: false }
    };
    (0..devices).map(level).collect()
}

fn look(before: &Learned, levels: &[Level], now: Timestamp) -> Learned {
    before.relearned([(&model(), levels)], Side::Above, now)
}

#[test]
fn nothing_holds_until_ten_devices_are_known() {
    let learning = look(&Learned::default(), &levels(7, 0.0), NOW);
    let [bound] = &learning.bounds[..] else { panic!("{learning:?}") };
    assert_eq!((bound.devices, bound.fence), (7, None));
    assert!(learning.is_due(NOW), "it looks again at once");
    let learned = look(&learning, &levels(10, 0.0), NOW);
    assert_eq!(learned.bounds[0].fence.unwrap().devices, 10);
    assert!(!learned.is_due(NOW) && learned.is_due(NOW.after(DAY)));
}

#[test]
fn stays_while_it_hardly_moves_and_goes_when_it_does() {
    let first = look(&Learned::default(), &levels(70, 0.0), NOW);
    let next = look(&first, &levels(75, 0.1), NOW.after(DAY));
    assert_eq!(next.bounds[0].fence, first.bounds[0].fence);
    assert_eq!(next.bounds[0].learned_at, NOW.after(DAY), "found to hold again");
    let moved = look(&next, &levels(70, 20.0), NOW.after(DAY * 2));
    assert_ne!(moved.bounds[0].fence, first.bounds[0].fence);
    let other = look(&Learned { factor: 3.0, ..next }, &levels(70, 0.0), NOW);
    assert!(other.bounds[0].fence.unwrap().value < first.bounds[0].fence.unwrap().value, "another factor");
}

#[test]
fn what_can_no_longer_be_learned_holds_for_a_month() {
    let first = look(&Learned::default(), &levels(12, 0.0), NOW);
    let fewer = look(&first, &levels(9, 0.0), NOW.after(DAY * 5));
    assert_eq!(fewer.bounds, first.bounds);
    let gone = fewer.relearned([], Side::Above, NOW.after(DAY * 29));
    assert_eq!(gone.bounds, first.bounds);
    assert_eq!(look(&gone, &levels(9, 0.0), NOW.after(DAY * 31)).bounds, []);
}

#[test]
fn the_bounds_of_a_limit_are_so_many() {
    let models: Vec<Model> =
        (0..80).map(|n| Model { component: format!("motor-{n:02}"), ..model() }).collect();
    let levels = levels(12, 0.0);
    let learned =
        Learned::default().relearned(models.iter().map(|model| (model, &levels[..])), Side::Above, NOW);
    assert_eq!(learned.bounds.len(), MAX_BOUNDS);
}
