use idunno::history::*;
use idunno::*;
fn main() {
    let name = std::env::args().nth(1).unwrap();
    let seeds: u64 = std::env::args().nth(2).map_or(1, |s| s.parse().unwrap());
    let source = std::fs::read_to_string(&name).unwrap();
    let plan = scenario::Plan::read(&source, &name).unwrap();
    for seed in 0..seeds {
        struct S {
            c: check::Checker,
            v: Vec<Record>,
        }
        impl Sink for S {
            fn record(&mut self, r: &Record) {
                self.c.record(r);
                self.v.push(r.clone());
            }
        }
        let mut s = S { c: check::Checker::new(&plan, seed), v: vec![] };
        let t = std::time::Instant::now();
        let o = sim::run(&plan, seed, &mut s, &|| false);
        let v = s.c.finish(o.ended_at);
        println!(
            "seed {seed} {:?} ended {} events {} wall {:?} records {}",
            o.unfinished,
            o.ended_at,
            o.events,
            t.elapsed(),
            s.v.len()
        );
        for x in v.violations.iter().take(5) {
            println!("  {x}");
        }
        if std::env::args().nth(3).is_some() {
            for r in &s.v {
                let t = format!("{r:?}");
                println!("{}", &t[..t.len().min(260)]);
            }
        }
    }
}
