//! What each command says of itself.

pub(super) const HELP: &str = "\
Keeps this machine up to date and tells its fleet how it is.

Usage: slipway-agent <COMMAND>

Commands:
  enroll    Make this machine a device of the fleet
  key       Print the public key, to be registered before the machine enrols
  run       Work until stopped
  install   Install a release from a file, without a network
  status    Say how this device is; works without the server and while the agent runs
  diagnose  Say what is wrong with this device and what to do; works without the server too
  consent   Say which data may leave this device, and show what may; works while the agent runs
  help      Print this, or the help of a command

Options:
  -h, --help     Print help
  -V, --version  Print version
";

/// One command: its help, whose second paragraph is its usage, and its options with what stands for a value.
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) options: &'static [(&'static str, &'static str)],
}

const ENROLL: Spec = Spec {
    name: "enroll",
    help: "\
Make this machine a device of the fleet. Can be repeated.

Usage: slipway-agent enroll --claim <FILE> --state <DIR> --slots <DIR> --hardware <MODEL> [OPTIONS]

Options:
      --claim <FILE>          Claim file, as `slipway claim create` or `slipway claim file` wrote it
      --state <DIR>           Folder for what the device knows; made when missing
      --slots <DIR>           Folder that stands for a disk with two slots; made when missing
      --hardware <MODEL>      Hardware model, for example gw-a
      --device-id <ID>        Name in the fleet [default: with a token /etc/machine-id, else the
                              host name; without one what the server knows it by]
      --manufacturer-cert <PEM>
                              Enrol with this certificate of its manufacturer, and those that lead
                              to the authority, instead of a token
      --manufacturer-key <PEM>
                              The key of that certificate
      --component <NAME>      Component that is updated [default: system]
      --health-command <CMD>  Run with `sh -c` during a trial; exit code 0 means healthy
      --server <URL>          Server to use instead of the one in the claim
      --slot-size <BYTES>     Size of a slot; 0 means that only the disk limits it [default: 0]
      --key-store <STORE>     Where the private key is kept: file or tpm [default: file]
      --tpm <TPM>             Device or socket of the TPM [default: /dev/tpmrm0]
  -h, --help                  Print help
",
    options: &[
        ("claim", "FILE"),
        ("state", "DIR"),
        ("slots", "DIR"),
        ("hardware", "MODEL"),
        ("device-id", "ID"),
        ("component", "NAME"),
        ("health-command", "CMD"),
        ("server", "URL"),
        ("slot-size", "BYTES"),
        ("key-store", "STORE"),
        ("tpm", "TPM"),
        ("manufacturer-cert", "PEM"),
        ("manufacturer-key", "PEM"),
    ],
};

const KEY: Spec = Spec {
    name: "key",
    help: "\
Print the public key in base64, for `slipway device import`; made when there is none.

Usage: slipway-agent key --state <DIR> [OPTIONS]

Options:
      --state <DIR>        Folder for what the device knows; made when missing
      --key-store <STORE>  Where the private key is kept: file or tpm [default: file]
      --tpm <TPM>          Device or socket of the TPM [default: /dev/tpmrm0]
  -h, --help               Print help
",
    options: &[("state", "DIR"), ("key-store", "STORE"), ("tpm", "TPM")],
};

const RUN: Spec = Spec {
    name: "run",
    help: "\
Work until stopped by SIGTERM or SIGINT.

Usage: slipway-agent run --state <DIR> [OPTIONS]

Options:
      --state <DIR>                   Folder that `enroll` made
      --replay <FILE>                 Add this recorded series, its last row as of now:
                                      seconds,component,metric,unit,class,value
      --telemetry-interval <SECONDS>  How often to read the machine, 1 to 86400
                                      [default: as configured]
  -h, --help                          Print help
",
    // The last reads the machine below another folder: for tests, and so not in the help.
    options: &[("state", "DIR"), ("replay", "FILE"), ("telemetry-interval", "SECONDS"), ("sysroot", "DIR")],
};

const INSTALL: Spec = Spec {
    name: "install",
    help: "\
Install the release of a bundle that `slipway release bundle` wrote; needs no network.

Usage: slipway-agent install --bundle <FILE> --state <DIR>

Options:
      --bundle <FILE>  The bundle
      --state <DIR>    Folder that `enroll` made
  -h, --help           Print help

The agent must not run meanwhile. What is interrupted goes on when the command is repeated.
Which bundles are taken says the line `bundles` in agent.toml: \"assigned\", \"signed\" or \"off\".
",
    options: &[("bundle", "FILE"), ("state", "DIR")],
};

const STATUS: Spec = Spec {
    name: "status",
    help: "\
Say how this device is; works without the server and while the agent runs.

Usage: slipway-agent status --state <DIR> [--output table|json]

Options:
      --state <DIR>      Folder that `enroll` made
      --output <FORMAT>  How to print it: table or json [default: table]
  -h, --help             Print help
",
    options: &[("state", "DIR"), ("output", "FORMAT")],
};

const DIAGNOSE: Spec = Spec {
    name: "diagnose",
    help: "\
Say what is wrong with this device and what to do about it; works while the agent runs.

Usage: slipway-agent diagnose --state <DIR> [--output table|json]

Options:
      --state <DIR>      Folder that `enroll` made
      --output <FORMAT>  How to print it: table or json [default: table]
  -h, --help             Print help

Looks at the files in the folder, the clock, the disks and the machine, and tries to reach the
server. Ends with exit code 1 when there is a problem, with 0 when there are warnings only.
",
    options: &[("state", "DIR"), ("output", "FORMAT"), ("sysroot", "DIR")],
};

const CONSENT: Spec = Spec {
    name: "consent",
    help: "\
Say which data may leave this device, and show what may; works while the agent runs.

Usage: slipway-agent consent --state <DIR> [--allow <CLASS>,...] [--refuse <CLASS>,...]

Options:
      --state <DIR>         Folder that `enroll` made
      --allow <CLASS>,...   Classes that may leave the device from now on
      --refuse <CLASS>,...  Classes that may not, not even what was kept of them already
  -h, --help                Print help

Classes: diagnostic, usage, location. Essential data always may leave the device.
",
    options: &[("state", "DIR"), ("allow", "CLASS"), ("refuse", "CLASS")],
};

pub(super) const COMMANDS: [&Spec; 7] = [&ENROLL, &KEY, &RUN, &INSTALL, &STATUS, &DIAGNOSE, &CONSENT];
