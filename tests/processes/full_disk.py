"""A small disk of the tests' own, which can be filled to the last byte."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SIZE_MEGABYTES = 48


@dataclass
class Disk:
    """A file system in memory, mounted at a folder."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        options = f"size={SIZE_MEGABYTES}m,mode=0700"
        _run("mount", "-t", "tmpfs", "-o", options, "connector-tests", str(self.folder))

    def fill(self) -> None:
        """Leave no room for anything."""
        part = b"\0" * 4096
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(part)
            except OSError:
                return  # Full, as was wanted.

    def make_room(self) -> None:
        """Take out what filled it."""
        (self.folder / "ballast").unlink(missing_ok=True)

    def remove(self) -> None:
        """Give the memory back."""
        self.release(self.folder)

    @staticmethod
    def release(folder: Path) -> None:
        """Unmount what a run that was killed may have left."""
        if os.path.ismount(folder):
            _run("umount", "--lazy", str(folder))

    @staticmethod
    def can_be() -> bool:
        """Say whether we may mount."""
        return os.geteuid() == 0 and Path("/proc/mounts").exists()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
