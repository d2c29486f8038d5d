//! Every metric that the agent takes of its machine, once: name, unit, class of data, kind, meaning, source.
//!
//! A [`Metric`] can be made nowhere else, so a collector cannot take a reading of one that is not here.
//! `docs/metrics.md` is this list; a test compares the two.

use slipway_proto::v1::DataClass;

/// From where a value counts, if it counts at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Grows from zero at each boot; travels with the boot id.
    Counter,
    /// Grows from zero at each start of the agent; travels with an id of that start.
    Run,
    /// Grows for as long as the thing lives, whatever boots.
    Total,
}

/// What a value is of, wherever in the machine it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    name: &'static str,
    unit: &'static str,
    class: DataClass,
    kind: Kind,
}

impl Metric {
    /// Its name; OpenTelemetry's where it has one.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// UCUM.
    pub fn unit(&self) -> &'static str {
        self.unit
    }

    /// What consent it needs.
    pub fn class(&self) -> DataClass {
        self.class
    }

    /// From where it counts.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a value that stayed the same says nothing new.
    pub fn is_quiet(&self) -> bool {
        self.kind != Kind::Gauge
    }
}

/// A metric, as it is explained to people.
#[derive(Debug)]
pub struct Entry {
    /// The metric.
    pub metric: Metric,
    /// What it means.
    pub meaning: &'static str,
    /// Where it is read.
    pub source: &'static str,
}

macro_rules! dictionary {
    ($($id:ident $name:literal $unit:literal $class:ident $kind:ident $meaning:literal < $source:literal)*) => {
        $(
            #[doc = $meaning]
            pub const $id: Metric =
                Metric { name: $name, unit: $unit, class: DataClass::$class, kind: Kind::$kind };
        )*

        /// The metric of this name, if there is one.
        pub fn by_name(name: &str) -> Option<Metric> {
            match name {
                $($name => Some($id),)*
                _ => None,
            }
        }

        /// All of them, in the order in which they are explained.
        pub const ALL: &[Entry] =
            &[$(Entry { metric: $id, meaning: $meaning, source: $source }),*];
    };
}

dictionary! {
    UPTIME "system.uptime" "s" Essential Gauge
        "Time since the kernel started" < "/proc/uptime"
    BOOTS "slipway.boots" "1" Essential Total
        "Boots that the agent saw, by boot id" < "`boots` in the state folder"
    UNCLEAN_REBOOTS "slipway.unclean_reboots" "1" Essential Total
        "Boots before which nobody had stopped the agent: power cuts, resets, panics" < "`boots` in the state folder"
    FILESYSTEM_UTILIZATION "system.filesystem.utilization" "1" Essential Gauge
        "Share of a file system that is used, as `df` counts" < "/proc/mounts, statvfs"
    FILESYSTEM_INODES "slipway.filesystem.inode_utilization" "1" Diagnostic Gauge
        "Share of a file system's inodes that is used" < "/proc/mounts, statvfs"

    LOAD_1M "system.cpu.load_average.1m" "1" Diagnostic Gauge
        "Processes that run or wait for the disk, over 1 minute" < "/proc/loadavg"
    LOAD_5M "system.cpu.load_average.5m" "1" Diagnostic Gauge
        "Processes that run or wait for the disk, over 5 minutes" < "/proc/loadavg"
    LOAD_15M "system.cpu.load_average.15m" "1" Diagnostic Gauge
        "Processes that run or wait for the disk, over 15 minutes" < "/proc/loadavg"
    MEMORY_AVAILABLE "system.linux.memory.available" "By" Diagnostic Gauge
        "Memory that a program could have without swapping" < "/proc/meminfo"
    MEMORY_UTILIZATION "system.memory.utilization" "1" Diagnostic Gauge
        "Share of the memory that is not available" < "/proc/meminfo"
    PRESSURE_CPU "slipway.pressure.cpu.some" "1" Diagnostic Gauge
        "Share of the last minute in which somebody waited for a processor" < "/proc/pressure/cpu"
    PRESSURE_MEMORY "slipway.pressure.memory.some" "1" Diagnostic Gauge
        "Share of the last minute in which somebody waited for memory" < "/proc/pressure/memory"
    PRESSURE_MEMORY_FULL "slipway.pressure.memory.full" "1" Diagnostic Gauge
        "Share of the last minute in which everybody waited for memory" < "/proc/pressure/memory"
    PRESSURE_IO "slipway.pressure.io.some" "1" Diagnostic Gauge
        "Share of the last minute in which somebody waited for a disk" < "/proc/pressure/io"
    PRESSURE_IO_FULL "slipway.pressure.io.full" "1" Diagnostic Gauge
        "Share of the last minute in which everybody waited for a disk" < "/proc/pressure/io"

    DISK_IO_TIME "system.disk.io_time" "s" Diagnostic Counter
        "Time in which a disk was busy" < "/sys/block/*/stat"
    DISK_READ_LATENCY "slipway.disk.read_latency" "s" Diagnostic Gauge
        "Time of a read, on average since the reading before" < "/sys/block/*/stat"
    DISK_WRITE_LATENCY "slipway.disk.write_latency" "s" Diagnostic Gauge
        "Time of a write, on average since the reading before" < "/sys/block/*/stat"
    DISK_IO_ERRORS "slipway.disk.io_errors" "{error}" Diagnostic Counter
        "Commands that a SCSI or SATA disk failed" < "/sys/block/*/device/ioerr_cnt"
    DISK_LIFE_USED "slipway.disk.life_used" "1" Diagnostic Gauge
        "Share of the life that the maker specified; may pass 1. eMMC: the worse of its two kinds of memory, in steps of 0.1"
        < "/sys/block/mmcblk*/device/life_time; smartctl"
    DISK_SPARE "slipway.disk.spare" "1" Diagnostic Gauge
        "Share of the spare memory that is left" < "smartctl"
    DISK_LIFETIME_WRITES "slipway.disk.lifetime_writes" "By" Diagnostic Total
        "Bytes written to an NVMe disk in its life" < "smartctl"
    EMMC_PRE_EOL "slipway.emmc.pre_eol" "1" Diagnostic Gauge
        "Spare blocks of an eMMC: 1 normal, 2 four fifths are used, 3 nine tenths"
        < "/sys/block/mmcblk*/device/pre_eol_info"
    EXT4_ERRORS "slipway.ext4.errors" "1" Diagnostic Total
        "Errors in the file system since it was checked" < "/sys/fs/ext4/*/errors_count"
    EXT4_LIFETIME_WRITES "slipway.ext4.lifetime_writes" "By" Diagnostic Total
        "Bytes written since the file system was made" < "/sys/fs/ext4/*/lifetime_write_kbytes"
    MTD_BAD_BLOCKS "slipway.mtd.bad_blocks" "{block}" Diagnostic Total
        "Blocks of a flash partition that are marked bad, also those from the factory" < "/sys/class/mtd/*/bad_blocks"
    MTD_CORRECTED_BITS "slipway.mtd.corrected_bits" "{bit}" Diagnostic Counter
        "Bits that the error correction put right" < "/sys/class/mtd/*/corrected_bits"
    MTD_ECC_FAILURES "slipway.mtd.ecc_failures" "{error}" Diagnostic Counter
        "Reads that it could not put right" < "/sys/class/mtd/*/ecc_failures"
    UBI_ERASE_COUNT "slipway.ubi.erase_count" "{erase}" Diagnostic Total
        "Erasures of the block that was erased most" < "/sys/class/ubi/*/max_ec"
    UBI_BAD_BLOCKS "slipway.ubi.bad_blocks" "{block}" Diagnostic Total
        "Blocks that are marked bad" < "/sys/class/ubi/*/bad_peb_count"
    UBI_RESERVED_BLOCKS "slipway.ubi.reserved_blocks" "{block}" Diagnostic Gauge
        "Good blocks held back to stand in for bad ones" < "/sys/class/ubi/*/reserved_for_bad"
    UBI_GOOD_BLOCKS "slipway.ubi.good_blocks" "{block}" Diagnostic Gauge
        "Blocks that are good" < "/sys/class/ubi/*/total_eraseblocks"

    SMART_PASSED "slipway.smart.passed" "1" Diagnostic Gauge
        "1: the disk's own judgement is that it works; 0: it expects to fail" < "smartctl"
    SMART_READ_ERROR_RATE "slipway.smart.read_error_rate" "1" Diagnostic Gauge
        "Attribute 1, raw; what it counts is the maker's choice" < "smartctl"
    SMART_REALLOCATED "slipway.smart.reallocated_sectors" "{sector}" Diagnostic Total
        "Attribute 5: sectors replaced by spare ones" < "smartctl"
    SMART_POWER_ON "slipway.smart.power_on_time" "h" Diagnostic Total
        "Attribute 9: time under power" < "smartctl"
    SMART_SPIN_RETRIES "slipway.smart.spin_retries" "1" Diagnostic Total
        "Attribute 10: starts of the motor that needed another try" < "smartctl"
    SMART_POWER_CYCLES "slipway.smart.power_cycles" "1" Diagnostic Total
        "Attribute 12: how often it was switched on" < "smartctl"
    SMART_UNCORRECTABLE "slipway.smart.reported_uncorrectable" "{error}" Diagnostic Total
        "Attribute 187: errors that could not be put right; NVMe: media errors" < "smartctl"
    SMART_TIMEOUTS "slipway.smart.command_timeouts" "1" Diagnostic Total
        "Attribute 188, raw: commands given up" < "smartctl"
    SMART_TEMPERATURE "slipway.smart.temperature" "Cel" Diagnostic Gauge
        "Temperature, by the disk's own sensor" < "smartctl"
    SMART_PENDING "slipway.smart.pending_sectors" "{sector}" Diagnostic Gauge
        "Attribute 197: sectors that could not be read and wait to be written" < "smartctl"
    SMART_OFFLINE_UNCORRECTABLE "slipway.smart.offline_uncorrectable" "{sector}" Diagnostic Gauge
        "Attribute 198: sectors that a scan could not read" < "smartctl"
    SMART_CRC_ERRORS "slipway.smart.crc_errors" "{error}" Diagnostic Total
        "Attribute 199: errors on the cable" < "smartctl"
    SMART_WARNING "slipway.smart.critical_warning" "1" Diagnostic Gauge
        "What an NVMe disk warns of, as bits; 0: nothing" < "smartctl"
    SMART_UNSAFE_SHUTDOWNS "slipway.smart.unsafe_shutdowns" "1" Diagnostic Total
        "How often an NVMe disk lost its power unprepared" < "smartctl"

    TEMPERATURE "hw.temperature" "Cel" Diagnostic Gauge
        "Temperature of a chip, a zone or a disk" < "/sys/class/hwmon/*/temp*_input, /sys/class/thermal/thermal_zone*/temp"
    FAN_SPEED "hw.fan.speed" "rpm" Diagnostic Gauge
        "Turns of a fan in a minute" < "/sys/class/hwmon/*/fan*_input"
    VOLTAGE "hw.voltage" "V" Diagnostic Gauge
        "Voltage of a supply, or of a battery" < "/sys/class/hwmon/*/in*_input, /sys/class/power_supply/*/voltage_now"
    HWMON_ALARMS "slipway.hwmon.alarms" "{alarm}" Diagnostic Gauge
        "Alarms of a monitoring chip that stand: too hot, too slow, too little voltage" < "/sys/class/hwmon/*/*_alarm"
    COOLING "slipway.thermal.cooling" "1" Diagnostic Gauge
        "How far a means against heat is used, 1 fully: a fan, or slowing down" < "/sys/class/thermal/cooling_device*/cur_state"
    CPU_THROTTLES "slipway.cpu.throttles" "1" Diagnostic Counter
        "How often the hottest core was slowed down for its heat" < "/sys/devices/system/cpu/cpu*/thermal_throttle"
    PACKAGE_THROTTLES "slipway.cpu.package_throttles" "1" Diagnostic Counter
        "How often the hottest processor was, as a whole" < "/sys/devices/system/cpu/cpu*/thermal_throttle"
    CPU_FREQUENCY "system.cpu.frequency" "Hz" Diagnostic Gauge
        "Clock of the processors, on average" < "/sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq"
    CPU_FREQUENCY_LIMIT "slipway.cpu.frequency_limit" "1" Diagnostic Gauge
        "The highest clock allowed now, of what the hardware can; the slowest processor's"
        < "/sys/devices/system/cpu/cpufreq/policy*/scaling_max_freq"

    BATTERY_CHARGE "hw.battery.charge" "1" Diagnostic Gauge
        "Charge of a battery" < "/sys/class/power_supply/*/capacity"
    BATTERY_TIME_LEFT "hw.battery.time_left" "s" Diagnostic Gauge
        "How long it lasts, by its own estimate" < "/sys/class/power_supply/*/time_to_empty_now"
    BATTERY_HEALTH "slipway.battery.health" "1" Diagnostic Gauge
        "What a full battery holds, of what it held when new" < "/sys/class/power_supply/*/{energy,charge}_full"
    BATTERY_CYCLES "slipway.battery.cycles" "{cycle}" Diagnostic Total
        "How often it was charged" < "/sys/class/power_supply/*/cycle_count"
    POWER_ONLINE "slipway.power.online" "1" Diagnostic Gauge
        "1: this supply from outside is there" < "/sys/class/power_supply/*/online"

    ECC_CORRECTED "slipway.memory.ecc_corrected" "{error}" Diagnostic Counter
        "Errors in memory that were put right" < "/sys/devices/system/edac/mc/mc*/ce_count"
    ECC_UNCORRECTED "slipway.memory.ecc_uncorrected" "{error}" Diagnostic Counter
        "Errors in memory that were not" < "/sys/devices/system/edac/mc/mc*/ue_count"
    PCIE_CORRECTABLE "slipway.pcie.correctable" "{error}" Diagnostic Counter
        "Errors on PCI Express that were put right; `pcie` is the sum, a device has its own once it has any"
        < "/sys/bus/pci/devices/*/aer_dev_correctable"
    PCIE_NONFATAL "slipway.pcie.nonfatal" "{error}" Diagnostic Counter
        "Errors that cost a transfer" < "/sys/bus/pci/devices/*/aer_dev_nonfatal"
    PCIE_FATAL "slipway.pcie.fatal" "{error}" Diagnostic Counter
        "Errors that cost the link" < "/sys/bus/pci/devices/*/aer_dev_fatal"

    OOM_KILLS "slipway.oom_kills" "1" Diagnostic Counter
        "Processes that the kernel killed for want of memory" < "/proc/vmstat"
    KERNEL_TAINT "slipway.kernel.taint" "1" Diagnostic Gauge
        "What makes the kernel doubt itself, as bits; 0: nothing" < "/proc/sys/kernel/tainted"
    KERNEL_OOPSES "slipway.kernel.oopses" "1" Diagnostic Counter
        "Faults of the kernel that it survived" < "/sys/kernel/oops_count"
    KERNEL_WARNINGS "slipway.kernel.warnings" "1" Diagnostic Counter
        "Warnings of the kernel about itself" < "/sys/kernel/warn_count"
    KERNEL_CRASH_RECORDS "slipway.kernel.crash_records" "1" Diagnostic Gauge
        "Records of crashes that lie in store" < "/sys/fs/pstore, /var/lib/systemd/pstore"
    WATCHDOG_RESET "slipway.watchdog.reset" "1" Diagnostic Gauge
        "1: this boot was the watchdog's doing" < "/sys/class/watchdog/*/bootstatus"
    WATCHDOG_STATUS "slipway.watchdog.boot_status" "1" Diagnostic Gauge
        "What the watchdog says of the boot, as bits" < "/sys/class/watchdog/*/bootstatus"
    FAILED_UNITS "slipway.failed_units" "{unit}" Diagnostic Gauge
        "Units of systemd that have failed" < "systemctl"

    NETWORK_ERRORS "system.network.errors" "{error}" Diagnostic Counter
        "Packets that a network card lost to errors, both ways" < "/sys/class/net/*/statistics"
    NETWORK_DROPPED "system.network.packet.dropped" "{packet}" Diagnostic Counter
        "Packets that were dropped, both ways" < "/sys/class/net/*/statistics"
    NETWORK_CARRIER "slipway.network.carrier_changes" "1" Diagnostic Counter
        "How often the cable was there or not there" < "/sys/class/net/*/carrier_changes"
    CLOCK_OFFSET "slipway.clock.offset" "s" Diagnostic Gauge
        "The machine's clock less the server's, to a second" < "the answer to a check-in"
    RTC_OFFSET "slipway.clock.rtc_offset" "s" Diagnostic Gauge
        "The battery-backed clock less trusted time, to a second" < "/sys/class/rtc/rtc*/since_epoch"

    AGENT_WRITTEN "slipway.agent.written" "By" Diagnostic Run
        "Bytes that the agent wrote to its state folder: journal, spool and all" < "the agent"
    SPOOL_WAITING "slipway.spool.waiting" "{reading}" Diagnostic Gauge
        "Readings that the server does not have yet" < "the agent"
    SPOOL_DROPPED "slipway.spool.dropped" "{reading}" Diagnostic Run
        "Readings that were given up for want of space" < "the agent"
    METRICS_REFUSED "slipway.metrics.refused" "1" Diagnostic Run
        "Values from programs of the device that were refused" < "the agent"
}

#[cfg(test)]
#[path = "dictionary_tests.rs"]
mod tests;
