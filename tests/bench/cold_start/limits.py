"""The limits of this machine, measured by `rekindle doctor` between the rounds of the same run."""

import json
import statistics
import subprocess


class DiskLimit:
    """What the disk under `folder` gives to O_DIRECT reads; it swings, so it is asked repeatedly."""

    def __init__(self, binaries, folder):
        self.command = [binaries / "rekindle", "--json", "doctor", "--data-dir", folder]
        self.bytes_per_second = []

    def measure(self):
        done = subprocess.run(self.command, check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
        self.bytes_per_second.append(json.loads(done.stdout)["limits"]["disk_bytes_per_second"])

    def median(self):
        return statistics.median(self.bytes_per_second)

    def text(self):
        low, high = min(self.bytes_per_second), max(self.bytes_per_second)
        return (f"{self.median() / 1e9:.2f} GB/s ({low / 1e9:.2f} to {high / 1e9:.2f}, "
                f"{len(self.bytes_per_second)} times)")


def disk_goal(image_bytes, bytes_per_second, warm_seconds):
    """Milliseconds: 1.1 x max(the image at the disk's limit, a warm answer) + 5."""
    return 1.1e3 * max(image_bytes / bytes_per_second, warm_seconds) + 5
