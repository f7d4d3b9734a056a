//! The examples run and reach what they promise.

#[path = "../examples/custom_operator/main.rs"]
#[allow(dead_code)]
mod custom_operator;
#[path = "../examples/digits.rs"]
#[allow(dead_code)]
mod digits;
#[path = "../examples/inspect.rs"]
#[allow(dead_code)]
mod inspect;

#[test]
fn digits_are_recognised_on_held_out_pictures() {
    let right = digits::run().expect("the example runs");
    assert!(right > 0.97, "{right} of the held-out pictures");
}

/// x counts from -6 to 9: the maxima are -1 (0 after ReLU), 1, 7 and 9, the last three in the second, third and fourth
/// window.
#[test]
fn inspect_computes_what_its_graph_says() {
    let (y, dx) = inspect::run().expect("the example runs");
    assert_eq!(y, [17.0 / 4.0]);
    let mut expected = [0.0; 16];
    for place in [7, 13, 15] {
        expected[place] = 0.25;
    }
    assert_eq!(dx, expected);
}

#[test]
fn an_operator_from_outside_the_crate_is_checked_and_trained() {
    custom_operator::run().unwrap_or_else(|error| panic!("{error}"));
}
