//! What a flow looks like.

use flowlet::{Flow, Semaphore, errors_in_turn, op, ordered};

fn all_stages() -> Flow<u32, Result<Vec<u32>, ()>> {
    Flow::identity()
        .map(|n| n)
        .filter(|_| true)
        .filter_map(Some)
        .flat_map(|n| [n])
        .inspect(|_| ())
        .take(7)
        .map_concurrent(1, async |n| n)
        .filter_concurrent(ordered(2), async |_: &u32| true)
        .filter_map_concurrent(Semaphore::new(3), async |n| Some(n))
        .flat_map_concurrent(ordered(Semaphore::new(4)), async |n| [n])
        .map(Ok)
        .try_map_concurrent(usize::MAX, async |n| Ok(n))
        .try_filter_concurrent(errors_in_turn(5), async |_: &u32| Ok(true))
        .try_filter_map_concurrent(errors_in_turn(ordered(6)), async |n| Ok(Some(n)))
        .try_flat_map_concurrent(7, async |n| Ok([n]))
        .try_batched(8)
        .then(Flow::new(|s| s))
}

const ALL_STEPS: [&str; 17] = [
    "map",
    "filter",
    "filter_map",
    "flat_map",
    "inspect",
    "take(7)",
    "map_concurrent(1)",
    "filter_concurrent(ordered(2))",
    "filter_map_concurrent(semaphore(3))",
    "flat_map_concurrent(ordered(semaphore(4)))",
    "map",
    "try_map_concurrent(18446744073709551615)",
    "try_filter_concurrent(errors_in_turn(5))",
    "try_filter_map_concurrent(errors_in_turn(ordered(6)))",
    "try_flat_map_concurrent(7)",
    "try_batched(8)",
    "function",
];

#[test]
#[cfg(target_pointer_width = "64")]
fn every_stage_is_shown_with_its_limit() {
    let flow = all_stages();
    assert_eq!(format!("{flow:?}"), format!("Flow [{}]", ALL_STEPS.join(", ")));

    let lines: String = ALL_STEPS.iter().map(|step| format!("├─ {step}\n")).collect();
    assert_eq!(flow.to_string(), format!("│\n{lines}▼"));

    let nodes: String =
        (1..).zip(ALL_STEPS).map(|(n, step)| format!("    step{n}[\"{step}\"]\n")).collect();
    let edges: String = (1..17).map(|n| format!("    step{n} --> step{}\n", n + 1)).collect();
    assert_eq!(flow.to_mermaid(), format!("flowchart TD\n{nodes}{edges}"));
}

#[test]
fn nothing_is_shown_of_an_identity() {
    let flow = Flow::<u32>::default();
    assert_eq!(format!("{flow:?}"), "Flow []");
    assert_eq!(flow.to_string(), "│\n▼");
    assert_eq!(flow.to_mermaid(), "flowchart TD\n");

    let joined = Flow::identity() | flow | op::take(1) | Flow::identity();
    assert_eq!(format!("{joined:?}"), "Flow [take(1)]");
}

/// Names within names, at the begin, in the middle, at the end, and one of nothing.
fn named() -> Flow<u32, Vec<u32>> {
    let inner = op::map(|n: u32| n).named("inner");
    let outer = (&inner | op::take(1) | &inner).named("outer".to_owned());
    let nothing = Flow::identity().named("nothing");
    outer | op::inspect(|_| ()) | nothing | (inner | op::batched(2)).named("last")
}

#[test]
fn named_flows_are_shown_as_such() {
    assert_eq!(
        format!("{:?}", named()),
        r#"Flow ["outer" ["inner" [map], take(1), "inner" [map]], inspect, "nothing" [], "last" ["inner" [map], batched(2)]]"#
    );
    assert_eq!(
        format!("{:#?}", op::map(|n: u32| n).named("inner") | op::take(1)),
        "Flow [\n    \"inner\" [\n        map,\n    ],\n    take(1),\n]"
    );
    assert_eq!(
        named().to_string(),
        "\
│
├─ outer
│  ├─ inner
│  │  └─ map
│  ├─ take(1)
│  └─ inner
│     └─ map
├─ inspect
├─ nothing
├─ last
│  ├─ inner
│  │  └─ map
│  └─ batched(2)
▼"
    );
    assert_eq!(
        named().to_mermaid(),
        r#"flowchart TD
    subgraph flow1["outer"]
        subgraph flow2["inner"]
            step1["map"]
        end
        step2["take(1)"]
        subgraph flow3["inner"]
            step3["map"]
        end
    end
    step4["inspect"]
    step5["nothing"]
    subgraph flow4["last"]
        subgraph flow5["inner"]
            step6["map"]
        end
        step7["batched(2)"]
    end
    step1 --> step2
    step2 --> step3
    step3 --> step4
    step4 --> step5
    step5 --> step6
    step6 --> step7
"#
    );
}

#[test]
fn names_break_no_picture() {
    let flow = |name: &'static str| op::take::<u32>(1).named(name);
    let label = |name| {
        let graph = flow(name).to_mermaid();
        let label = graph.lines().nth(1).unwrap().trim();
        label.strip_prefix("subgraph flow1[\"").unwrap().strip_suffix("\"]").unwrap().to_owned()
    };
    assert_eq!(label("fetch pages"), "fetch pages");
    assert_eq!(label("Seiten_über-holen v1.2"), "Seiten_über-holen v1.2");
    assert_eq!(label("say \"hi\""), "say #34;hi#34;");
    assert_eq!(label("a]b#c;d"), "a#93;b#35;c#59;d");
    assert_eq!(label("<b>&amp;"), "#60;b#62;#38;amp#59;");
    assert_eq!(label("1. *one* `two`"), "1#46; #42;one#42; #96;two#96;");
    assert_eq!(label("- _x_"), "#45; #95;x#95;");
    assert_eq!(label("two\nlines"), "two#10;lines");
    assert_eq!(label("back\\slash"), "back#92;slash");

    assert_eq!(flow("two\nlines").to_string(), "│\n├─ two\\nlines\n│  └─ take(1)\n▼");
    assert_eq!(format!("{:?}", flow("two\n\"lines\"")), r#"Flow ["two\n\"lines\"" [take(1)]]"#);
}

#[test]
fn a_semaphore_is_shown_with_its_limit_of_now() {
    let semaphore = Semaphore::new(4);
    let flow = op::map_concurrent(&semaphore, async |n: u32| n);
    semaphore.set_limit(6);
    assert_eq!(format!("{flow:?}"), "Flow [map_concurrent(semaphore(6))]");
}
