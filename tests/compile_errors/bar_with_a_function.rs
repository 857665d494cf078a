use flowlet::op;

fn main() {
    let _ = op::map(str::len) | |n: usize| n + 1;
}

// says: not a `Flow<usize, _>`
// says: a function of streams becomes a flow by `Flow::new`
