//! `cargo xtask boot-test`: do the firmware images of the demonstration boot? In a virtual machine, without hardware
//! support, to the line on the serial console that a firmware's own init prints.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock::Stopwatch;
use crate::images::{self, ext4};
use crate::tools;

/// How long one image may take on a busy machine with two cores.
const DEADLINE: Duration = Duration::from_secs(300);

/// Boots every image; fails with the end of the console where one does not come up.
pub fn run() -> Result<()> {
    let machine = Machine::of_this_architecture()?;
    let qemu = tools::find(machine.program).with_context(|| {
        format!(
            "{} is missing: apt-get install --no-install-recommends {} (as root)",
            machine.program, machine.debian
        )
    })?;
    let firmware = images::make(&|text| println!("{text}"))?;
    println!("images from {}", firmware.origin);
    for image in &firmware.images {
        let watch = Stopwatch::start();
        let dir = tempfile::tempdir()?;
        let [kernel, initrd] = ["vmlinuz", "initrd.img"].map(|name| dir.path().join(name));
        ext4::extract(&image.path, "/boot/vmlinuz", &kernel)?;
        ext4::extract(&image.path, "/boot/initrd.img", &initrd)?;
        let mut command = Command::new(&qemu);
        command
            .args(machine.arguments)
            .args(["-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-serial", "stdio"])
            .arg("-kernel")
            .arg(&kernel)
            .arg("-initrd")
            .arg(&initrd)
            .arg("-drive")
            .arg(format!("file={},if=virtio,format=raw,readonly=on", image.path.display()))
            .arg("-append")
            .arg(format!("console={} quiet panic=1 root=/dev/vda slipway.poweroff", machine.console));
        let (up, health) = console(command, image.version)?;
        let expected = if image.version == "2.1.0" { "health: failed" } else { "health: ok" };
        if !health.ends_with(expected) {
            bail!("{} booted, but said '{health}', not '{expected}'", image.version);
        }
        println!("{up}; {health} ({:.1} s)", watch.seconds());
    }
    Ok(())
}

/// How QEMU is called for the architecture of this machine, whose packages the images are made of.
struct Machine {
    program: &'static str,
    debian: &'static str,
    arguments: &'static [&'static str],
    console: &'static str,
}

impl Machine {
    fn of_this_architecture() -> Result<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self {
                program: "qemu-system-x86_64",
                debian: "qemu-system-x86",
                arguments: &["-M", "pc", "-cpu", "max"],
                console: "ttyS0",
            }),
            "aarch64" => Ok(Self {
                program: "qemu-system-aarch64",
                debian: "qemu-system-arm",
                arguments: &["-M", "virt", "-cpu", "cortex-a57"],
                console: "ttyAMA0",
            }),
            other => bail!("boot-test knows x86_64 and aarch64, not {other}"),
        }
    }
}

/// Runs the machine until its firmware said that it is up and how it is; returns the two lines.
fn console(mut command: Command, version: &str) -> Result<(String, String)> {
    let mut child =
        Guard(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start QEMU")?);
    let output = child.0.stdout.take().context("QEMU has no output")?;
    let (lines, console) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if lines.send(String::from_utf8_lossy(&line).trim().to_owned()).is_err() {
                break;
            }
        }
    });
    let watch = Stopwatch::start();
    let (mut up, mut seen) = (None, Vec::new());
    while let Some(left) = DEADLINE.checked_sub(watch.elapsed()) {
        let Ok(line) = console.recv_timeout(left) else {
            break;
        };
        if line.contains(&format!("{version} is up")) {
            up = Some(line.clone());
        } else if line.contains(&format!("{version} health: "))
            && let Some(up) = up
        {
            return Ok((up, line));
        }
        seen.push(line);
    }
    let tail = seen.len().saturating_sub(15);
    bail!("{version} did not come up; the end of its console:\n{}", seen[tail..].join("\n"))
}

/// A child that does not outlive the function that started it.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
