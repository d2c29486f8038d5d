//! Releases that one person cannot publish: drafts, signatures of several people, thresholds.

use std::{fs, path::Path, process::Output};

use slipway_tests::{
    fleet::{HARDWARE, PRODUCT},
    processes::attempt,
    world::World,
};

/// The command line beside a server, with what it said and did.
struct Office {
    world: World,
}

impl Office {
    /// A company of threes: two of three root keys, two of three for targets, two of three publishers.
    async fn open() -> Self {
        let office = Office { world: World::start().await };
        let words = office.path("words");
        fs::write(&words, "correct horse battery\n").expect("a passphrase");
        let said = office.ok(&[
            "trust",
            "init",
            "--keys",
            &office.path("keys"),
            "--root-keys",
            "3",
            "--targets-keys",
            "3",
            "--targets-threshold",
            "2",
            "--publisher-keys",
            "3",
            "--passphrase-file",
            &words,
        ]);
        assert!(said.contains("root-1.pem root-2.pem root-3.pem") && said.contains("2 of 3"), "{said}");
        // Everybody goes home with one key of each role, and the root that he saw being made.
        for (number, person) in (1..).zip(["ann", "bob", "eve"]) {
            fs::create_dir(office.path(person)).expect("a bag");
            fs::copy(office.path("keys/root.json"), office.path(&format!("{person}/root.json")))
                .expect("a copy");
            for role in ["root", "targets", "publisher"] {
                let name = format!("{role}-{number}.pem");
                fs::rename(office.path(&format!("keys/{name}")), office.path(&format!("{person}/{name}")))
                    .expect("a key");
            }
        }
        office
    }

    fn path(&self, name: &str) -> String {
        self.world.path(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let profile = self.path("server/client.toml");
        let all = [&["--profile", profile.as_str()], arguments].concat();
        tokio::task::block_in_place(|| attempt("slipway", &all))
    }

    /// What it said on both streams.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output);
        assert!(output.status.success(), "{}\n{said}", arguments.join(" "));
        said
    }

    fn refused(&self, arguments: &[&str], code: &str) -> String {
        let output = self.run(arguments);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{}\n{said}", arguments.join(" "));
        assert!(said.contains(&format!("see docs/errors/{code}.md")), "{said}");
        said
    }

    fn draft(&self, version: &str, out: &str) -> String {
        let image = self.path(&format!("{version}.img"));
        fs::write(&image, format!("firmware {version}")).expect("an image");
        let (keys, out) = (self.path("keys"), self.path(out));
        let mut line = vec!["release", "draft", &image, "--version", version, "--product", PRODUCT];
        line.extend(["--hardware", HARDWARE, "--new-hardware", "--keys", &keys, "--out", &out]);
        self.ok(&line)
    }

    fn sign_line(&self, draft: &str, person: &str, roles: &[&str]) -> Vec<String> {
        let number = ["ann", "bob", "eve"].iter().position(|name| *name == person).expect("a person") + 1;
        let mut line: Vec<String> = ["release", "sign"].map(str::to_owned).into();
        line.push(self.path(draft));
        for role in roles {
            line.extend(["--key".to_owned(), self.path(&format!("{person}/{role}-{number}.pem"))]);
        }
        line.extend(["--yes".to_owned(), "--passphrase-file".to_owned(), self.path("words")]);
        line
    }

    fn sign(&self, draft: &str, person: &str, roles: &[&str]) -> String {
        let line = self.sign_line(draft, person, roles);
        self.ok(&line.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn publish(&self, drafts: &[&str]) -> Vec<String> {
        let mut line: Vec<String> = ["release", "publish"].map(str::to_owned).into();
        line.extend(drafts.iter().map(|draft| self.path(draft)));
        line
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn words(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).collect()
}

fn copy_folder(from: &str, to: &str) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = Path::new(to).join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_folder(&entry.path().to_string_lossy(), &target.to_string_lossy()),
            false => drop(fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_publish_and_one_cannot() {
    let office = Office::open().await;
    // One person alone is told so before anything is sent.
    let bag = office.path("ann");
    for name in ["publisher-1.pub", "publishers.json"] {
        fs::copy(office.path(&format!("keys/{name}")), format!("{bag}/{name}")).expect("a copy");
    }
    let image = office.path("alone.img");
    fs::write(&image, "firmware").expect("an image");
    let mut line = vec!["release", "publish", &image, "--version", "1.0.0", "--product", PRODUCT];
    let passphrase = office.path("words");
    line.extend(["--hardware", HARDWARE, "--keys", &bag, "--passphrase-file", &passphrase]);
    let said = office.refused(&line, "SIGNATURES_MISSING");
    assert!(said.contains("2 keys of publisher") && said.contains("slipway release sign"), "{said}");

    // The first release brings the delegation, which the holders of the targets keys sign.
    let said = office.draft("1.0.0", "draft");
    assert!(
        said.contains("+ product pump: 2 of 3 keys to sign") && said.contains("+ release 1.0.0"),
        "{said}"
    );
    assert!(said.contains("nothing is published yet"), "{said}");
    let first = office.publish(&["draft"]);
    let said = office.refused(&words(&first), "METADATA_REFUSED");
    assert!(said.contains("targets is signed by 0 of the 2 keys that it needs; 2 more of these"), "{said}");
    let said = office.sign("draft", "bob", &["targets", "publisher"]);
    assert!(said.contains("+ release 1.0.0: counter 1") && said.contains("system on gw-a: 14 B"), "{said}");
    let said = office.sign("draft", "eve", &["targets"]);
    assert!(
        said.contains("pump") && said.contains("1 missing") && !said.contains("nothing is missing"),
        "{said}"
    );
    let said = office.refused(&words(&first), "METADATA_REFUSED");
    assert!(
        said.contains("the metadata of pump is signed by 1 of the 2 keys that it needs; 1 more"),
        "{said}"
    );
    for person in ["1", "3"] {
        let public = fs::read_to_string(office.path(&format!("keys/publisher-{person}.pub"))).expect("a key");
        assert!(said.contains(public.trim()), "whose keys may sign:\n{said}");
    }
    assert!(!office.ok(&["release", "list"]).contains("1.0.0"));
    let said = office.sign("draft", "ann", &["publisher"]);
    assert!(said.contains("nothing is missing"), "{said}");
    office.ok(&words(&first));
    assert!(office.ok(&["release", "list"]).contains("1.0.0"));

    // A root key may sign nothing of a release, and a key of another company nothing at all.
    office.draft("2.0.0", "second");
    let line = office.sign_line("second", "ann", &["root"]);
    let said = office.refused(&words(&line), "KEY_NOT_NAMED");
    assert!(said.contains("may sign nothing in this draft"), "{said}");
    office.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_signed_at_the_same_time_meet_and_the_slower_of_two_drafts_is_made_anew() {
    let office = Office::open().await;
    office.draft("1.0.0", "first");
    for person in ["ann", "bob"] {
        office.sign("first", person, &["targets", "publisher"]);
    }
    office.ok(&words(&office.publish(&["first"])));

    // The same draft in two bags.
    office.draft("2.0.0", "north");
    office.draft("2.0.0", "south");
    copy_folder(&office.path("north"), &office.path("north-too"));
    office.sign("north", "ann", &["publisher"]);
    office.sign("north-too", "eve", &["publisher"]);
    let alone = office.publish(&["north-too"]);
    office.refused(&words(&alone), "METADATA_REFUSED");
    for person in ["bob", "eve"] {
        office.sign("south", person, &["publisher"]);
    }
    office.ok(&words(&office.publish(&["north", "north-too"])));
    assert!(office.ok(&["release", "list"]).contains("2.0.0"));

    // Two publishers, one version: the other is told to draft again, and keeps nothing half done.
    let dry = office.publish(&["south"]);
    let said = office.refused(&words(&dry), "PUBLISHED_MEANWHILE");
    assert!(said.contains("make a new draft"), "{said}");
    let line = office.sign_line("south", "ann", &["publisher"]);
    let said = office.refused(&words(&line), "PUBLISHED_MEANWHILE");
    assert!(said.contains("what is published changed since this was drafted"), "{said}");
    // Without a network the draft's own record is what is compared.
    let mut offline = office.sign_line("south", "ann", &["publisher"]);
    offline.push("--offline".to_owned());
    office.ok(&words(&offline));
    let listed = office.ok(&["release", "list"]);
    assert_eq!(listed.matches("2.0.0").count(), 1, "{listed}");
    office.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_comes_from_a_descriptor_and_never_from_an_argument() {
    let world = World::start().await;
    let profile = world.path("server/client.toml");
    let slipway = slipway_tests::processes::program("slipway");
    let shell = |script: &str| {
        tokio::task::block_in_place(|| {
            std::process::Command::new("sh")
                .args(["-c", script])
                .env("SLIPWAY_PROFILE", &profile)
                .env("SLIPWAY", &slipway)
                .current_dir(world.path(""))
                .output()
                .expect("a shell")
        })
    };
    let made = shell("echo correct horse battery | \"$SLIPWAY\" trust init --keys keys --passphrase-fd 0");
    assert!(made.status.success(), "{}", text(&made));
    let pem = fs::read_to_string(world.path("keys/publisher.pem")).expect("a key");
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{pem}");
    fs::write(world.path("image"), b"firmware").expect("an image");
    let publish =
        "\"$SLIPWAY\" release publish image --version 1.0.0 --hardware gw-a --new-hardware --keys keys";
    let refused = shell(&format!("echo wrong horse battery | {publish} --passphrase-fd 0"));
    assert!(text(&refused).contains("see docs/errors/PASSPHRASE_WRONG.md"), "{}", text(&refused));
    let refused = shell(&format!("{publish} </dev/null"));
    assert!(text(&refused).contains("see docs/errors/PASSPHRASE_REQUIRED.md"), "{}", text(&refused));
    let done = shell(&format!("exec 3<<END\ncorrect horse battery\nEND\n{publish} --passphrase-fd 3"));
    assert!(done.status.success(), "{}", text(&done));
    let help = shell("\"$SLIPWAY\" trust init --help");
    assert!(!text(&help).contains("--passphrase <"), "{}", text(&help));
    world.stop().await;
}
